"""What a frame is, before it is read: its kind, its size, the number of its items."""

import pytest

from validator.consensus.messages import (
    Commit,
    Message,
    Prepare,
    Proposal,
    RoundChange,
    encode_message,
)
from validator.node.frames import HEAD, KINDS, MAX_FRAME, RATES, check_size, decode, kind_of
from wire import cbor
from wire.errors import Malformed

HASH = bytes(32)
LATE = 2**64 - 1, 2**32 - 1
NAME = "v" * 33
MANY = tuple(Prepare(*LATE, NAME, HASH) for _ in range(67))
"""A quorum of a hundred validators."""

CHANGES = tuple(RoundChange(*LATE, NAME, 1, HASH) for _ in range(67))
MESSAGES: dict[str, Message] = {
    "prepare": Prepare(*LATE, NAME, HASH),
    "commit": Commit(*LATE, NAME, HASH),
    "round-change": RoundChange(*LATE, NAME, LATE[1] - 1, HASH, prepares=MANY),
    "proposal": Proposal(*LATE, NAME, HASH, bytes(3_900_000), HASH * 2, CHANGES, MANY),
}
FRAMES = {
    **{name: ["consensus", encode_message(message)] for name, message in MESSAGES.items()},
    "status": ["status", LATE[0]],
    "ping": ["ping", bytes(8)],
    "pong": ["pong", bytes(8)],
    "evidence": ["evidence", bytes(1_000)],
    "transaction": ["transaction", bytes(8 * 1024)],
    "get-block": ["get-block", HASH],
    "get-batch": ["get-batch", HASH],
    "get-final": ["get-final", LATE[0], LATE[0]],
    "block": ["block", HASH, bytes(3_900_000)],
    "batch": ["batch", HASH, bytes(512 * 1024)],
    "final": ["final", LATE[0], *[bytes(30_000)] * 256],
}


def test_every_kind_is_tried_here() -> None:
    assert set(FRAMES) == set(KINDS)


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_says_what_it_is_in_its_first_bytes_and_the_largest_honest_one_fits(
    name: str,
) -> None:
    data = cbor.encode(FRAMES[name])
    kind = kind_of(data[:HEAD])
    assert kind.name == name
    assert len(data) <= kind.most_bytes <= MAX_FRAME
    assert decode(data, kind) == FRAMES[name]


@pytest.mark.parametrize("name", FRAMES)
def test_every_question_has_a_rate_and_every_answer_a_question(name: str) -> None:
    kind = KINDS[name]
    assert bool(kind.rate) != (name in {each.answer for each in KINDS.values()})
    assert not kind.rate or RATES[kind.rate].at_once >= kind.cost


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\x80",
        b"\x81",
        b"\x82\x01",
        b"\xa0",
        b"\x9f\x66status",
        b"\x82\x66stat",
        b"\x82\x62\xff\xff",
        cbor.encode(["nonsense"]),
        cbor.encode(["consensus"]),
        cbor.encode(["consensus", 1]),
        cbor.encode(["consensus", b""]),
        cbor.encode(["consensus", cbor.encode(["nonsense"])]),
        cbor.encode(["consensus", cbor.encode(["status", 1])])[:12],
        cbor.encode({"status": 1}),
    ],
)
def test_what_says_nothing_known_is_refused(head: bytes) -> None:
    with pytest.raises(Malformed):
        kind_of(head[:HEAD])


@pytest.mark.parametrize(
    "bomb",
    [
        [0] * 100_000,
        [[]] * 100_000,
        {number: 0 for number in range(50_000)},
        [[[[0] * 10_000] * 10]],
        [cbor.Tag(1_000, [0] * 10_000)],
    ],
)
def test_what_is_made_of_too_many_items_is_refused_before_it_is_decoded(bomb: object) -> None:
    with pytest.raises(Malformed, match="more than 6000"):
        check_size(cbor.encode(bomb), 6_000)


def test_an_array_that_only_claims_to_be_long_is_refused_as_well() -> None:
    with pytest.raises(Malformed, match="more than"):
        check_size(b"\x9b" + b"\xff" * 8, 6_000)


def test_strings_count_once_however_long_and_are_bounded_apart() -> None:
    check_size(cbor.encode([b"\x80" * 100_000, "text"]), 3)
    with pytest.raises(Malformed, match="a string of 100000 bytes"):
        check_size(cbor.encode([bytes(100_000)]), 3, 99_999)


def test_a_frame_of_more_items_than_its_kind_has_is_refused() -> None:
    data = cbor.encode(["status", *range(20)])
    with pytest.raises(Malformed):
        decode(data, kind_of(data))
