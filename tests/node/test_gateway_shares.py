"""One gateway's flood of good batches keeps nobody else's batch out of the next blocks."""

import asyncio

import pytest

from tests.app.village import Village, block_ms
from validator.node import mempool
from validator.node.inbox import Inbox
from validator.node.mempool import Mempool
from wire.witness import Batch

READINGS = 5
"""Of each batch here."""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Mempool:
    """Room for six batches, four of them one gateway's."""
    monkeypatch.setattr(mempool, "MOST_READINGS", 6 * READINGS)
    monkeypatch.setattr(mempool, "MOST_OF_A_GATEWAY", 5 * READINGS)
    return Mempool()


def batches(village: Village, *gateways: str) -> list[Batch]:
    """One interval after the other, witnessed by these."""
    return [
        village.batch(village.close(slot).values(), slot, gateway)
        for slot, gateway in enumerate(gateways)
    ]


def kept(pool: Mempool) -> str:
    return "".join(each.witness.statement.gateway[-1] for each in pool.waiting())


def test_who_has_less_than_a_share_finds_room_in_a_full_mempool(small: Mempool) -> None:
    flood = batches(Village(), *["gw-a"] * 6)
    others = batches(Village(), *["gw-b"] * 4)
    assert [small.add(each) for each in flood] == [True] * 5 + [False], "a bound of its own"
    assert [small.add(each) for each in others] == [True] * 3 + [False], "an equal share, no more"
    assert kept(small) == "aaabbb"
    assert small.waiting()[:3] == flood[:3], "the newest of who has most gave way"
    assert not small.add(flood[5]), "what gave way does not come back at the others' cost"
    assert small.readings == 6 * READINGS


def test_a_share_grows_again_when_others_have_gone(small: Mempool) -> None:
    flood, others = batches(Village(), *["gw-a"] * 5), batches(Village(), "gw-b", "gw-b")
    for each in (*flood, *others):
        small.add(each)
    for each in others:
        small.remove(each.batch_id)
    assert [small.add(each) for each in flood] == [True] * 5
    for each in flood:
        small.remove(each.batch_id)
    assert (len(small), small.readings) == (0, 0)


def test_a_crowded_block_has_something_of_each_gateway() -> None:
    village = Village()
    flood = batches(village, *["gw-a"] * 4)
    late = village.batch(village.close(4).values(), 4, "gw-b")
    picked = village.pick(block_ms(4), [*flood, late], 3 * READINGS)
    assert picked == [flood[0], flood[1], late], "and the oldest interval comes first"


def test_who_found_no_room_goes_first_in_the_next_block() -> None:
    """A backlog of old intervals that never ends, and one live batch; a block has room for one."""
    village = Village()
    *flood, late = batches(village, *["gw-a"] * 4, "gw-b")
    assert village.pick(block_ms(4), [*flood, late], READINGS) == [flood[0]]
    village.commit([flood[0]], 4)
    assert village.pick(block_ms(5), [*flood[1:], late], READINGS) == [late]
    village.commit([late], 5)
    assert village.pick(block_ms(6), flood[1:], READINGS) == [flood[1]]


def test_messages_are_taken_in_turns_and_a_flood_pushes_out_its_own() -> None:
    async def taken() -> list[tuple[str, bytes]]:
        inbox = Inbox(4, 1_000)
        inbox.put("b", b"1")
        for number in range(9):
            inbox.put("a", bytes([number]))
        inbox.put("c", b"1")
        assert len(inbox) == 4
        found = [await inbox.get() for _ in range(4)]
        waiting = asyncio.ensure_future(inbox.get())
        await asyncio.sleep(0)
        inbox.put("d", b"1")
        return [*found, await waiting]

    told = asyncio.run(taken())
    assert told == [("b", b"1"), ("a", b"\x07"), ("c", b"1"), ("a", b"\x08"), ("d", b"1")]


@pytest.mark.parametrize("size", [300, 0], ids=["large", "empty"])
def test_a_flood_of_large_or_empty_messages_pushes_out_its_own(size: int) -> None:
    async def taken() -> list[str]:
        inbox = Inbox(20, 1_000)
        for number in range(30):
            inbox.put("flood", bytes(size))
            if number < 3:
                inbox.put("honest", bytes(100))
        return [(await inbox.get())[0] for _ in range(len(inbox))]

    found = asyncio.run(taken())
    assert found.count("honest") == 3
    assert found[:4] == ["honest", "flood"] * 2 or found[:4] == ["flood", "honest"] * 2
