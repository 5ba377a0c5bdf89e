"""The light client follows validator sets by seals alone; genesis files name their network."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wire import cbor
from wire.block import Commit, Header, ValidatorSet, seal_message, verify_commit
from wire.errors import BadSignature, Malformed, Refused, TooFewSeals
from wire.genesis import Genesis
from wire.keys import EDDSA, SoftSigner
from wire.light import (
    Checkpoint,
    LightClient,
    SetChange,
    WrongHeader,
    WrongNetwork,
    decode_changes,
    encode_changes,
)

SIGNERS = {
    name: SoftSigner.from_private(EDDSA, bytes([7] * 31 + [n])) for n, name in enumerate("abcdefg")
}
NETWORK = b"\x55" * 32


def validators(names: str) -> ValidatorSet:
    return ValidatorSet(tuple((name, SIGNERS[name].public) for name in names))


def header(height: int, now: str, following: str, network: bytes = NETWORK) -> Header:
    zero = bytes(32)
    hashes = (validators(now).hash, validators(following).hash)
    return Header(1, network, height, height * 1000, zero, "a", *hashes, *([zero] * 7))


def commit(content: Header, signed_by: str, members: str) -> Commit:
    message = seal_message(content.network, content.height, 0, content.digest)
    seals = []
    for name in signed_by:
        index = validators(members).index(name)
        assert index is not None
        seals.append((index, SIGNERS[name].sign(message)))
    return Commit(0, content.digest, tuple(seals))


def change(height: int, before: str, after: str, signed_by: str) -> SetChange:
    content = header(height, before, after)
    return SetChange(content.encoded, commit(content, signed_by, before), validators(after))


def test_a_set_is_followed_from_change_to_change() -> None:
    client = LightClient(NETWORK, validators("abcd"))
    changes = [change(5, "abcd", "abcde", "abc"), change(9, "abcde", "bcde", "abce")]
    client.follow(changes)
    client.follow(changes)
    later = header(12, "bcde", "bcde")
    assert client.verify_header(later.encoded, commit(later, "cde", "bcde")) == later
    early = header(3, "abcd", "abcd")
    assert client.verify_header(early.encoded, commit(early, "abd", "abcd")) == early


def test_a_retired_set_seals_nothing_any_more() -> None:
    client = LightClient(NETWORK, validators("abcd"))
    client.follow([change(5, "abcd", "bcde", "abc")])
    forged = header(6, "abcd", "abcd")
    with pytest.raises(WrongHeader):
        client.verify_header(forged.encoded, commit(forged, "abc", "abcd"))


def test_a_change_that_the_old_set_has_not_sealed_is_refused() -> None:
    for bad in (
        change(5, "abcd", "efg", "ab"),
        SetChange(
            header(5, "abcd", "bcde").encoded,
            commit(header(5, "abcd", "bcde"), "abc", "abcd"),
            validators("efg"),
        ),
        change(5, "efg", "efg", "efg"),
    ):
        client = LightClient(NETWORK, validators("abcd"))
        with pytest.raises(Refused):
            client.follow([bad])
        assert client.validators(100) == validators("abcd")


names = st.sets(st.sampled_from("abcdefg"), min_size=4).map(lambda found: "".join(sorted(found)))


@settings(max_examples=60, deadline=None)
@example([("abcd", set()), ("abcd", set("abc"))])
@example([("abcde", set("ab")), ("abcd", set("abcd"))])
@given(st.lists(st.tuples(names, st.sets(st.sampled_from("abcdefg"))), min_size=1, max_size=4))
def test_a_set_that_q_of_the_one_before_have_not_sealed_is_never_followed(
    history: list[tuple[str, set[str]]],
) -> None:
    """Whatever is told: a client ends at the newest set that unbroken seals lead to."""
    client, now = LightClient(NETWORK, validators("abcd")), "abcd"
    for place, (following, signed_by) in enumerate(history):
        sealers = "".join(sorted(signed_by & set(now)))
        told = change(5 * (place + 1), now, following, sealers)
        before = client.newest
        known = validators(now) == before
        if known and len(sealers) >= before.quorum:
            client.follow([told])
            assert client.newest == validators(following)
        else:
            with pytest.raises(Refused):
                client.follow([told])
            assert client.newest == before
        now = following


def test_what_changes_nothing_is_not_remembered() -> None:
    client = LightClient(NETWORK, validators("abcd"))
    client.follow([change(height, "abcd", "abcd", "abc") for height in range(2, 30)])
    assert client.sets == (validators("abcd"),)


def test_changes_travel_as_a_list() -> None:
    told = [change(5, "abcd", "abcde", "abc"), change(9, "abcde", "bcde", "abce")]
    assert decode_changes(encode_changes(told)) == told
    for wrong in (b"", b"\xa0", b"\x81\x01", encode_changes(told)[:-1]):
        with pytest.raises(Malformed):
            decode_changes(wrong)


def test_a_checkpoint_file_is_read_back_and_says_what_its_header_says() -> None:
    content = header(5, "abcd", "abcde")
    checkpoint = Checkpoint(content.encoded, validators("abcde"))
    assert Checkpoint.decode(checkpoint.encoded) == checkpoint
    wrong = Checkpoint(content.encoded, validators("abcd"))
    for data in (wrong.encoded, b"", checkpoint.encoded[:-1], cbor.encode([2, b"", []])):
        with pytest.raises(Malformed):
            Checkpoint.decode(data)


def test_a_checkpoint_of_another_network_is_refused() -> None:
    found = Genesis.from_json(json.dumps(genesis()))
    checkpoint = Checkpoint(header(5, "abcd", "abcd").encoded, validators("abcd"))
    with pytest.raises(WrongNetwork):
        LightClient.of(found, checkpoint)


def test_another_network_is_refused() -> None:
    client = LightClient(NETWORK, validators("abcd"))
    other = header(1, "abcd", "abcd", network=b"\x56" * 32)
    with pytest.raises(WrongNetwork):
        client.verify_header(other.encoded, commit(other, "abc", "abcd"))


@pytest.mark.parametrize(("count", "quorum"), [(1, 1), (2, 2), (3, 2), (4, 3), (7, 5), (10, 7)])
def test_quorum_is_two_thirds_of_n_in_integers(count: int, quorum: int) -> None:
    members = tuple((f"v{n:03}", SoftSigner.generate(EDDSA).public) for n in range(count))
    assert ValidatorSet(members).quorum == quorum


def test_a_commit_counts_distinct_validators_and_stands_whole() -> None:
    members = validators("abcd")
    content = header(1, "abcd", "abcd")
    good = commit(content, "abd", "abcd")
    verify_commit(good, members, NETWORK, 1)
    assert Commit.decode(good.encoded) == good
    with pytest.raises(TooFewSeals):
        verify_commit(commit(content, "ab", "abcd"), members, NETWORK, 1)
    with pytest.raises(BadSignature):
        verify_commit(good, members, NETWORK, 2)
    stranger = Commit(0, good.digest, (*good.seals, (9, bytes(64))))
    with pytest.raises(BadSignature):
        verify_commit(stranger, members, NETWORK, 1)
    twice = [0, good.digest, [[0, good.seals[0][1]]] * 3]
    with pytest.raises(Malformed):
        Commit.from_items(twice)


def test_a_validator_set_has_no_member_twice_and_is_ordered() -> None:
    a, b = (SIGNERS[name].public for name in "ab")
    for members in ((), (("b", b), ("a", a)), (("a", a), ("a", b)), (("a", a), ("b", a))):
        with pytest.raises(Malformed):
            ValidatorSet(members)


def genesis(**changes: Any) -> dict[str, Any]:
    key = SIGNERS["a"].public.text
    return {
        "format": 1,
        "name": "n",
        "time_ms": 0,
        "paced_time": False,
        "parameters": {},
        "authorities": [],
        "validators": [{"id": "a", "authority": "a", "key": key}],
        "gateways": [],
        "meters": [],
        "zones": [],
        "unmetered": [],
    } | changes


def test_a_networks_id_is_that_of_its_content_not_of_its_spelling() -> None:
    text = json.dumps(genesis())
    spaced = json.dumps(dict(reversed(genesis().items())), indent=7)
    first, second = Genesis.from_json(text), Genesis.from_json(spaced)
    assert first.network == second.network
    assert first.topic_name == f"n-{first.network.hex()[:8]}"
    assert Genesis.from_json(json.dumps(genesis(time_ms=1))).network != first.network


@pytest.mark.parametrize(
    "wrong",
    [
        {"format": 2},
        {"name": "a b"},
        {"time_ms": -1},
        {"paced_time": 1},
        {"parameters": []},
        {"validators": []},
        {"validators": [{"id": "a"}]},
        {"validators": [{"id": "a", "authority": "a", "key": "eddsa:00"}]},
        {"surprise": 1},
        {"parameters": {"k": 1.5}},
        {"parameters": {"k": "\ud800"}},
    ],
)
def test_a_genesis_file_with_a_fault_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        Genesis.from_json(json.dumps(genesis(**wrong)))


def test_a_genesis_file_nested_too_deeply_is_refused() -> None:
    text = json.dumps(genesis()).replace('"unmetered": []', '"unmetered": ' + "[" * 900 + "]" * 900)
    with pytest.raises(Malformed):
        Genesis.from_json(text)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"format": 1, "format": 1}'])
def test_what_is_no_genesis_file_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        Genesis.from_json(text)
