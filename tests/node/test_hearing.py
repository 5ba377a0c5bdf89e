"""Consensus messages that arrive: which are worth a signature check, and how often."""

from dataclasses import replace

import pytest

from tests.app.village import signer
from validator.consensus.messages import Message, Prepare, Proposal, RoundChange, encode_message
from validator.node import hearing
from validator.node.hearing import Hearing
from wire import cbor
from wire.block import ValidatorSet
from wire.errors import BadSignature, Malformed

NETWORK, HASH, TIP = bytes(32), bytes(32), 10
NAMES = ("val-1", "val-2")
MEMBERS = ValidatorSet(tuple((name, signer(name).public) for name in NAMES))


def signed(message: Message) -> bytes:
    signature = signer(message.sender).sign(message.signed_bytes(NETWORK))
    return encode_message(replace(message, signature=signature))


def vote(height: int, sender: str = "val-1", round_number: int = 0) -> bytes:
    return signed(Prepare(height, round_number, sender, HASH))


@pytest.fixture
def ears() -> Hearing:
    return Hearing(NETWORK, lambda _: MEMBERS)


def test_a_message_is_checked_once_and_delivered_each_time(ears: Hearing) -> None:
    data = vote(TIP + 1)
    found = [ears.open(data, TIP) for _ in range(1_000)]
    assert {type(each) for each in found} == {Prepare}
    assert ears.opened == 1


@pytest.mark.parametrize("height", [0, TIP - 1, TIP + 3, 2**64 - 1])
def test_what_is_too_old_or_too_early_costs_no_signature_check(ears: Hearing, height: int) -> None:
    unsigned = encode_message(Prepare(height, 0, "val-1", HASH))
    assert ears.open(unsigned, TIP) is None
    assert ears.opened == 0


@pytest.mark.parametrize("height", [TIP, TIP + 1, TIP + 2])
def test_late_seals_the_present_height_and_the_next_are_heard(ears: Hearing, height: int) -> None:
    assert ears.open(vote(height), TIP) is not None


def test_what_was_heard_of_an_old_height_is_not_delivered_again(ears: Hearing) -> None:
    data = vote(TIP)
    assert ears.open(data, TIP) is not None
    assert ears.open(data, TIP + 1) is None


def test_what_did_not_stand_is_not_remembered_as_if_it_had(ears: Hearing) -> None:
    unsigned = encode_message(Prepare(TIP + 1, 0, "val-1", HASH))
    for _ in range(2):
        with pytest.raises(BadSignature):
            ears.open(unsigned, TIP)


def test_the_set_may_change_under_it() -> None:
    sets = [MEMBERS]
    ears = Hearing(NETWORK, lambda _: sets[0])
    stranger = vote(TIP + 1, "val-3")
    with pytest.raises(BadSignature):
        ears.open(stranger, TIP)
    sets[0] = ValidatorSet((*MEMBERS.members, ("val-3", signer("val-3").public)))
    assert ears.open(stranger, TIP) is not None


def test_its_memory_is_bounded(ears: Hearing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "MOST_KEPT", 10)
    monkeypatch.setattr(hearing, "MOST_KEPT_BYTES", 5_000)
    for number in range(20):
        ears.open(vote(TIP + 1, round_number=number), TIP)
    ears.open(vote(TIP + 1, round_number=19), TIP)
    assert ears.opened == 20
    ears.open(vote(TIP + 1, round_number=9), TIP)
    assert ears.opened == 21
    proposal = signed(Proposal(TIP + 1, 0, "val-2", HASH, bytes(6_000)))
    for _ in range(2):
        ears.open(proposal, TIP)
    assert ears.opened == 23


def test_a_message_of_very_many_items_is_refused_undecoded(ears: Hearing) -> None:
    items = RoundChange(TIP + 1, 1, "val-1", None, None).items()
    with pytest.raises(Malformed, match="CBOR items"):
        ears.open(cbor.encode([*items[:6], [0] * 100_000]), TIP)
