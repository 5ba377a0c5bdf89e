"""What counts as a message, as justification, as evidence; who proposes; how long a round is."""

from dataclasses import replace
from typing import Any

import pytest

from tests.consensus.hand import (
    DIGEST,
    HEIGHT,
    NAMES,
    NETWORK,
    OTHER,
    OTHER_BLOCK,
    SIGNERS,
    VALIDATORS,
    certificate,
    change,
    commit,
    prepare,
    proposal,
    signed,
)
from validator.consensus.evidence import Evidence, contradict
from validator.consensus.justification import Committee, Unjustified, check_claim, check_proposal
from validator.consensus.messages import (
    Message,
    PreparedCertificate,
    encode_message,
    open_message,
)
from validator.consensus.proposer import Decided, ineligible, leader, order, window
from validator.consensus.timeouts import Timeouts
from wire import cbor
from wire.block import seal_message
from wire.errors import BadSignature, Malformed, Refused
from wire.keys import EDDSA, SoftSigner

CHANGES = tuple(change(name, 1) for name in "abc")
PREPARED = (change("a", 2, certificate()), change("b", 2), change("c", 2))
MESSAGES: list[Message] = [
    proposal("a"),
    proposal("b", 1, changes=CHANGES),
    proposal("c", 2, changes=PREPARED, prepares=certificate().prepares),
    prepare("c"),
    commit("d", 3),
    change("a", 4),
    change("a", 4, certificate(2)),
]
COMMITTEE = Committee(HEIGHT, NAMES, 3, 1)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda each: f"{each.kind}-{each.round}")
def test_a_message_survives_the_wire_and_no_changed_bit_does(message: Message) -> None:
    data = encode_message(message)
    assert open_message(data, NETWORK, VALIDATORS) == message
    with pytest.raises(BadSignature):
        open_message(data, b"\x12" * 32, VALIDATORS)
    block_at = data.find(message.block) if hasattr(message, "block") else -1
    for position in range(0, len(data), 3):
        if block_at <= position < block_at + 5:
            continue  # The digest, not the signature, covers the block.
        wrong = bytearray(data)
        wrong[position] ^= 1 << position % 8
        with pytest.raises(Refused):
            open_message(bytes(wrong), NETWORK, VALIDATORS)


def test_a_strangers_and_a_forgers_messages_are_refused() -> None:
    stranger = replace(prepare("a"), sender="z")
    forged = replace(prepare("a"), signature=SIGNERS["b"].sign(b"x"))
    for message in (stranger, forged):
        with pytest.raises(BadSignature):
            open_message(encode_message(message), NETWORK, VALIDATORS)


def test_a_forged_attachment_spoils_the_message() -> None:
    known = PreparedCertificate(
        (prepare("a"), prepare("b"), replace(prepare("c"), signature=bytes(64)))
    )
    for message in (change("d", 1, known), proposal("b", 1, prepares=known.prepares)):
        with pytest.raises(BadSignature):
            open_message(encode_message(message), NETWORK, VALIDATORS)


def test_a_flood_of_attachments_is_refused_before_it_is_checked() -> None:
    many = proposal("b", 1, prepares=tuple(prepare("a") for _ in range(9)))
    with pytest.raises(Malformed):
        open_message(encode_message(many), NETWORK, VALIDATORS)


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xa0", b"\x81\x63abc", bytes(40)])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        open_message(data, NETWORK, VALIDATORS)


def test_a_commit_is_the_blocks_seal() -> None:
    expected = seal_message(NETWORK, HEIGHT, 2, DIGEST)
    assert commit("a", 2).signed_bytes(NETWORK) == expected


def test_no_signature_of_one_kind_is_one_of_another() -> None:
    signed_bytes = {
        each.signed_bytes(NETWORK)
        for each in (proposal("a"), prepare("a"), commit("a"), change("a", 0))
    }
    assert len(signed_bytes) == 4


@pytest.mark.parametrize(
    ("words", "bad"),
    [
        ("attachments in round 0", proposal("a", 0, changes=CHANGES)),
        ("no round changes", proposal("b", 1)),
        ("two of them", proposal("b", 1, changes=CHANGES[:2])),
        ("one sender thrice", proposal("b", 1, changes=(CHANGES[0],) * 3)),
        ("of another round", proposal("c", 2, changes=CHANGES)),
        ("prepares without a claim", proposal("b", 1, changes=CHANGES, prepares=(prepare("a"),))),
        ("the claim is not proved", proposal("c", 2, changes=PREPARED)),
        (
            "proved by two",
            proposal("c", 2, changes=PREPARED, prepares=certificate().prepares[:2]),
        ),
        (
            "another value than the prepared one",
            proposal("c", 2, (OTHER, OTHER_BLOCK), PREPARED, certificate(0, OTHER).prepares),
        ),
        (
            "two values claimed for one round",
            proposal(
                "c",
                2,
                changes=(*PREPARED[:2], change("c", 2, certificate(0, OTHER))),
                prepares=certificate().prepares,
            ),
        ),
        (
            "an older claim although a newer is there",
            proposal(
                "d",
                3,
                changes=(
                    change("a", 3, certificate(0)),
                    change("b", 3, certificate(1, OTHER)),
                    change("c", 3),
                ),
                prepares=certificate(0).prepares,
            ),
        ),
    ],
)
def test_a_proposal_without_justification_is_refused(words: str, bad: Any) -> None:
    with pytest.raises(Unjustified):
        check_proposal(bad, COMMITTEE)


def test_justified_proposals_say_whether_the_value_is_new() -> None:
    assert check_proposal(proposal("a"), COMMITTEE)
    assert check_proposal(proposal("b", 1, changes=CHANGES), COMMITTEE)
    again = proposal("c", 2, changes=PREPARED, prepares=certificate().prepares)
    assert not check_proposal(again, COMMITTEE)


@pytest.mark.parametrize(
    "bad",
    [
        change("a", 1, certificate(1)),
        replace(change("a", 2, certificate()), prepares=certificate().prepares[:2]),
        replace(change("a", 2, certificate()), prepares=(prepare("a"),) * 3),
        replace(change("a", 2, certificate()), prepares=certificate(1).prepares),
        replace(change("a", 2), prepares=certificate().prepares),
    ],
    ids=["not older", "two prepares", "one sender thrice", "other round", "no claim"],
)
def test_a_claim_without_proof_is_refused(bad: Any) -> None:
    with pytest.raises(Unjustified):
        check_claim(bad, COMMITTEE)


CONTRADICTIONS: dict[str, tuple[Message, Message]] = {
    "double-proposal": (proposal("a"), proposal("a", content=(OTHER, OTHER_BLOCK))),
    "double-prepare": (prepare("a"), prepare("a", digest=OTHER)),
    "double-commit": (commit("a"), commit("a", digest=OTHER)),
    "double-round-change": (change("a", 2), change("a", 2, certificate())),
    "amnesia": (commit("a", 1), change("a", 3, certificate(0))),
}


@pytest.mark.parametrize("kind", CONTRADICTIONS)
def test_each_kind_of_evidence_is_verified_by_anyone(kind: str) -> None:
    evidence = Evidence(*CONTRADICTIONS[kind])
    assert (evidence.kind, evidence.sender) == (kind, "a")
    opened = Evidence.open(evidence.encoded, NETWORK, VALIDATORS)
    assert (opened.offence, opened.encoded) == (evidence.offence, evidence.encoded)
    assert opened.offence.kind == kind
    framed = replace(CONTRADICTIONS[kind][1], sender="b")
    with pytest.raises(Refused):
        Evidence.open(Evidence(CONTRADICTIONS[kind][0], framed).encoded, NETWORK, VALIDATORS)


@pytest.mark.parametrize("kind", CONTRADICTIONS)
def test_evidence_is_said_in_one_way_only(kind: str) -> None:
    first, second = CONTRADICTIONS[kind]
    once = Evidence(first, second).encoded
    if kind != "amnesia":
        assert Evidence(second, first).encoded == once
    one, other = cbor.decode(once)
    for bad in (cbor.encode([other, one]), once + b"\0", cbor.encode([one, other, other])):
        with pytest.raises(Refused):
            Evidence.open(bad, NETWORK, VALIDATORS)


@pytest.mark.parametrize("kind", ["double-proposal", "double-round-change"])
def test_evidence_holds_no_block_and_no_attachment(kind: str) -> None:
    first, second = CONTRADICTIONS[kind]
    whole = sorted(encode_message(each) for each in (first, second))
    with pytest.raises(Malformed, match="nothing else"):
        Evidence.open(cbor.encode(whole), NETWORK, VALIDATORS)
    assert len(Evidence(first, second).encoded) < len(cbor.encode(whole))


AMNESIAS: dict[str, Message] = {
    "nothing prepared": change("a", 3),
    "older than the commit": change("a", 3, certificate(0)),
    "another value in its round": change("a", 3, certificate(1, OTHER)),
}


@pytest.mark.parametrize("claim", AMNESIAS)
def test_each_way_to_forget_a_commit_is_amnesia(claim: str) -> None:
    evidence = Evidence(commit("a", 1), AMNESIAS[claim])
    assert Evidence.open(evidence.encoded, NETWORK, VALIDATORS).kind == "amnesia"


def test_two_messages_that_agree_are_no_evidence() -> None:
    for pair in ((prepare("a"), prepare("a")), (commit("a", 1), change("a", 3, certificate(1)))):
        with pytest.raises(Malformed, match="do not contradict"):
            Evidence.open(Evidence(*pair).encoded, NETWORK, VALIDATORS)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (prepare("a"), prepare("a")),
        (prepare("a"), prepare("a", 1, OTHER)),
        (prepare("a"), prepare("b", 0, OTHER)),
        (commit("a"), prepare("a", 1, OTHER)),
        (commit("a", 1), change("a", 3, certificate(1))),
        (commit("a", 1), change("a", 3, certificate(2, OTHER))),
        (change("a", 2), change("a", 3, certificate())),
    ],
)
def test_what_an_honest_validator_may_sign_is_no_evidence(first: Message, second: Message) -> None:
    assert not contradict(first, second)


def test_a_signature_in_another_shape_is_no_second_vote() -> None:
    again = signed(prepare("a"))
    assert not contradict(prepare("a"), replace(again, signature=bytes(64)))


def test_rounds_double_and_never_overflow() -> None:
    timeouts = Timeouts(2_000, 30_000)
    assert [timeouts.round_ms(number) for number in (0, 1, 2, 3, 4, 5)] == [
        2_000,
        4_000,
        8_000,
        16_000,
        30_000,
        30_000,
    ]
    assert timeouts.round_ms(2**32 - 1) == 30_000
    assert Timeouts(1_000, 10**9).round_ms(2**32 - 1) == 64_000, "clamped before it is shifted"
    assert timeouts.resend_ms(0) == 1_000


def test_proposers_follow_the_parents_and_wrap() -> None:
    assert order(VALIDATORS, None, ()) == ("a", "b", "c", "d")
    assert order(VALIDATORS, "b", ()) == ("c", "d", "a", "b")
    assert order(VALIDATORS, "d", ()) == ("a", "b", "c", "d")
    assert order(VALIDATORS, "bb", ()) == ("c", "d", "a", "b"), "one that has left the set"
    assert leader(("a", "b"), 5) == "b"


def history(silent: str = "", failing: str = "") -> list[Decided]:
    sealers = frozenset(name for name in NAMES if name != silent)
    failed = (failing,) if failing else ()
    members = frozenset(NAMES)
    return [Decided("a", failed, sealers, members) for _ in range(window(VALIDATORS))]


def test_a_silent_or_failing_validator_proposes_last_and_at_most_f_do() -> None:
    assert order(VALIDATORS, "a", history(silent="b")) == ("c", "d", "a", "b")
    assert order(VALIDATORS, "a", history(failing="b")) == ("c", "d", "a", "b")
    assert ineligible(VALIDATORS, history(silent="c", failing="b")) == {"c"}
    assert ineligible(VALIDATORS, history()) == frozenset()
    assert ineligible(VALIDATORS, history(silent="b")[:-1]) == frozenset(), "too short a history"


def test_one_seal_brings_a_validator_back() -> None:
    recent = history(silent="b")
    recent[-1] = Decided("a", (), frozenset(NAMES), frozenset(NAMES))
    assert ineligible(VALIDATORS, recent) == frozenset()


def test_who_has_joined_within_the_window_is_given_its_time() -> None:
    old, sealers = frozenset("abc"), frozenset("abc")
    recent = [Decided("a", (), sealers, old) for _ in range(window(VALIDATORS))]
    assert ineligible(VALIDATORS, recent) == frozenset()
    recent[-1] = Decided("a", (), sealers, frozenset(NAMES))
    assert ineligible(VALIDATORS, recent) == frozenset()
    assert ineligible(VALIDATORS, history(silent="d")) == {"d"}


def test_a_decided_blocks_proposer_did_not_fail() -> None:
    everyone = frozenset(NAMES)
    recent = [Decided("b", ("b",), everyone, everyone) for _ in range(window(VALIDATORS))]
    assert ineligible(VALIDATORS, recent) == frozenset()


def test_keys_are_compared_whole() -> None:
    other = SoftSigner.generate(EDDSA)
    message = prepare("a")
    forged = replace(message, signature=other.sign(message.signed_bytes(NETWORK)))
    with pytest.raises(BadSignature):
        open_message(encode_message(forged), NETWORK, VALIDATORS)
