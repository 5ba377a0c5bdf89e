"""What waits for one peer: in order, bounded, and what is lost when it reads too slowly."""

import asyncio

from validator.node.frames import Priority
from validator.node.outbox import MOST_BYTES, MOST_FRAMES, Outbox

VOTES, BLOCKS, BATCHES = Priority


def all_of(outbox: Outbox) -> list[bytes]:
    async def take() -> list[bytes]:
        found = []
        while outbox.waiting_bytes:
            found.append(await outbox.get())
        return found

    return asyncio.run(take())


def test_votes_go_before_blocks_and_blocks_before_batches() -> None:
    outbox = Outbox()
    for priority in (BATCHES, BLOCKS, VOTES, BATCHES, VOTES):
        outbox.put(priority.name.encode(), priority)
    assert all_of(outbox) == [b"VOTES", b"VOTES", b"BLOCKS", b"BATCHES", b"BATCHES"]


def test_of_votes_the_oldest_goes_when_full() -> None:
    outbox = Outbox()
    for number in range(MOST_FRAMES + 5):
        outbox.put(b"%d" % number, VOTES)
    found = all_of(outbox)
    assert (found[0], found[-1], len(found)) == (b"5", b"1004", MOST_FRAMES)


def test_of_answers_the_newest_is_lost_when_full() -> None:
    outbox = Outbox()
    for number in range(MOST_FRAMES + 5):
        outbox.put(b"%d" % number, BLOCKS)
    assert all_of(outbox)[-1] == b"999"


def test_bytes_are_bounded_for_each_priority_and_one_large_frame_goes_alone() -> None:
    outbox = Outbox()
    large, half = bytes(MOST_BYTES + 1), bytes(MOST_BYTES // 2 + 1)
    for priority in Priority:
        for frame in (large, half, b"small", half):
            outbox.put(frame, priority)
    assert outbox.waiting_bytes == len(b"small" + half) + 2 * len(large)


def test_a_new_connection_begins_with_nothing() -> None:
    outbox = Outbox()
    outbox.put(b"old", VOTES)
    outbox.clear()
    assert (outbox.waiting_bytes, all_of(outbox)) == (0, [])
