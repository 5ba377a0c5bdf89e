"""What a driver remembers over a power cut, and what it does when its disk or peers fail it."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.node.square import NAMES, Square
from validator.consensus.messages import COMMIT, Message
from validator.node.shelf import StateShelf
from wire.witness import Batch


@pytest.fixture
def square(tmp_path: Path) -> Iterator[Square]:
    square = Square(tmp_path)
    yield square
    square.kill(*list(square.nodes))


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await test()

    asyncio.run(bounded())


def heights(square: Square) -> list[int]:
    return [node.driver.tip.height for node in square.nodes.values()]


def voted(square: Square, kind: str) -> dict[str, bytes]:
    """For each node the digest bytes of its newest vote of that kind at its height."""
    found = {}
    for node in square.nodes.values():
        slots = node.state.votes(node.driver.machine.height)
        of_kind = [slot for slot in slots if slot.kind == kind]
        if of_kind:
            found[node.name] = of_kind[-1].message[-32:]
    return found


def interval(square: Square, slot: int) -> Batch:
    return square.village.batch(square.village.close(slot).values(), slot)


def test_blocks_go_on_when_one_validator_is_away(square: Square) -> None:
    async def scenario() -> None:
        square.start(*NAMES[1:])
        await square.until(lambda: min(heights(square)) >= 5)
        assert [node.driver.halted for node in square.nodes.values()] == [""] * 3

    run(scenario)


@pytest.mark.parametrize("lost", NAMES)
def test_what_a_quorum_has_sealed_outlives_a_power_cut_of_everybody(
    square: Square, lost: str
) -> None:
    """All four commit, nobody hears it, the power fails, and one does not come back."""

    def hushed(message: Message, *_: str) -> bool:
        return message.kind != COMMIT

    async def scenario() -> None:
        square.passes = hushed
        square.start(*NAMES)
        await square.until(lambda: len(voted(square, COMMIT)) == 4)
        [digest] = set(voted(square, COMMIT).values())
        square.kill(*NAMES)
        square.passes = lambda *_: True
        square.start(*(name for name in NAMES if name != lost))
        await square.until(lambda: min(heights(square)) >= 1)
        blocks = [node.store.block(1) for node in square.nodes.values()]
        assert {None if each is None else each.block.digest for each in blocks} == {digest}

    run(scenario)


def test_a_batch_that_only_the_proposer_holds_is_fetched_before_a_vote(square: Square) -> None:
    async def scenario() -> None:
        square.start(*NAMES)
        batch = interval(square, 0)
        square.nodes["val-2"].mempool.add(batch)
        await square.until(
            lambda: all(node.store.result(batch.batch_id) for node in square.nodes.values())
        )
        assert [node.store.reading_count() for node in square.nodes.values()] == [5] * 4

    run(scenario)


def test_one_batch_of_a_sequence_is_final_and_its_twin_is_forgotten(square: Square) -> None:
    async def scenario() -> None:
        square.start(*NAMES)
        readings = list(square.village.close(0).values())
        twins = [square.village.batch(each, 0, sequence=0) for each in (readings, readings[:2])]
        for number, node in enumerate(square.nodes.values()):
            node.mempool.add(twins[number % 2])
            node.mempool.add(twins[1 - number % 2])
        await square.until(
            lambda: all(node.store.reading_count() for node in square.nodes.values())
        )
        assert [len(node.mempool) for node in square.nodes.values()] == [0] * 4

    run(scenario)


def test_a_validator_whose_disk_fails_stops_speaking_and_the_others_go_on(square: Square) -> None:
    async def scenario() -> None:
        square.start(*NAMES)
        await square.until(lambda: min(heights(square)) >= 1)
        broken = square.nodes["val-1"]
        broken.store.close()
        await square.until(lambda: broken.driver.halted != "")
        height = max(heights(square))
        others = [node for node in square.nodes.values() if node is not broken]
        await square.until(lambda: min(each.driver.tip.height for each in others) >= height + 4)
        assert broken.driver.tip.height <= height

    run(scenario)


def mistake(*_: object) -> None:
    raise ZeroDivisionError("a mistake of this program")


@pytest.mark.parametrize("where", ["a timer", "a final block", "a signature"])
def test_a_validator_with_a_fault_of_its_own_stops_and_says_why(
    square: Square, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Whatever it was doing; asyncio alone would write it into a log and go on by half."""

    async def scenario() -> None:
        square.start(*NAMES)
        await square.until(lambda: min(heights(square)) >= 1)
        broken = square.nodes["val-1"]
        if where == "a timer":
            monkeypatch.setattr(broken.driver, "_execute", mistake)
        elif where == "a final block":
            monkeypatch.setattr(broken.driver, "on_final", mistake)
        else:
            monkeypatch.setattr(broken.driver.voice._signers[0], "sign", mistake)
        await square.until(lambda: "a mistake of this program" in broken.driver.halted)
        height = max(heights(square))
        others = [node for node in square.nodes.values() if node is not broken]
        await square.until(lambda: min(each.driver.tip.height for each in others) >= height + 4)
        assert broken.driver.tip.height <= height + 1

    run(scenario)


def test_a_disk_that_is_good_again_heals_no_other_fault(square: Square) -> None:
    async def scenario() -> None:
        square.start(*NAMES)
        driver = square.nodes["val-1"].driver
        driver.pause("the disk takes no writes")
        driver.halt("a mistake")
        driver._resume("the disk takes no writes")
        assert driver.halted == "a mistake"

    run(scenario)


def test_a_full_disk_silences_a_validator_until_room_is_made(square: Square) -> None:
    async def scenario() -> None:
        square.start(*NAMES)
        await square.until(lambda: min(heights(square)) >= 1)
        full = square.nodes["val-1"]
        database = full.store._database
        [pages] = database.execute("PRAGMA page_count").fetchone()
        database.execute(f"PRAGMA max_page_count = {pages}")
        await square.until(lambda: "disk is full" in full.driver.halted)
        height = max(heights(square))
        await square.until(lambda: max(heights(square)) >= height + 4)
        database.execute("PRAGMA max_page_count = 1000000")
        await square.until(lambda: full.driver.halted == "")
        await square.until(lambda: full.driver.tip.height >= height + 4)

    run(scenario)


class Worn:
    """A disk that cannot be read."""

    def execute(self, *_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")


def test_a_state_that_cannot_be_read_silences_a_validator_until_it_can(square: Square) -> None:
    """What is not found for want of a disk is not taken for what is not there."""

    async def scenario() -> None:
        square.start(*NAMES)
        await square.until(lambda: min(heights(square)) >= 1)
        worn = square.nodes["val-1"]
        shelf = StateShelf(square.folder / "val-1" / "ledger.sqlite")
        worn.app.restore(worn.store.state_rows_in_memory(), shelf)
        sound, shelf._database = shelf._database, Worn()  # type: ignore[assignment]
        batch = interval(square, 0)
        for node in square.nodes.values():
            node.mempool.add(batch)
            node.driver.nudge()
        await square.until(lambda: "cannot be read" in worn.driver.halted)
        others = [node for node in square.nodes.values() if node is not worn]
        await square.until(lambda: all(not len(each.mempool) for each in others))
        assert worn.store.result(batch.batch_id) is None
        shelf._database = sound
        height = max(heights(square))
        await square.until(lambda: worn.driver.tip.height >= height + 4)
        assert worn.driver.halted == ""
        assert worn.store.result(batch.batch_id) is not None
        shelf.close()

    run(scenario)


def test_a_block_carries_every_seal_of_its_parent_that_came_in_time(square: Square) -> None:
    async def scenario() -> None:
        square.start(*NAMES)
        await square.until(lambda: min(heights(square)) >= 8)
        store = square.nodes["val-1"].store
        carried = [len(commit.seals) for _, commit in store.headers(2, 8)]
        assert max(carried) == 4

    run(scenario)
