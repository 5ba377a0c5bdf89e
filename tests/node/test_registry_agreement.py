"""Registry transactions and agreement: whoever proposes, whatever is lost, all have the same."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.app.enrolments import Enrolment
from tests.app.village import BOOK, INTERVAL_S
from tests.node.square import NAMES, Square
from validator.app.application import Application
from validator.consensus.messages import COMMIT, PREPARE, PROPOSAL, Message
from wire.transaction import Transaction


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


def enrolment(square: Square, meter: str = "c9") -> Transaction:
    """An enrolment for the interval after the next."""
    from_s = (int(time.time()) // INTERVAL_S + 2) * INTERVAL_S
    return Enrolment(square.genesis, meter=meter, from_s=from_s).transaction()


def heights_of(square: Square, transaction: Transaction) -> list[int | None]:
    changes = [node.app.registries.change(transaction.id) for node in square.nodes.values()]
    return [None if each is None else each.height for each in changes]


async def all_have(square: Square, transaction: Transaction) -> int:
    """Wait until all have it; returns the one height at which they do."""
    await square.until(lambda: None not in heights_of(square, transaction))
    [height] = set(heights_of(square, transaction))
    assert height is not None
    return height


@pytest.mark.parametrize("holder", NAMES)
def test_what_one_validator_holds_is_in_a_block_when_it_proposes(
    square: Square, holder: str
) -> None:
    async def scenario() -> None:
        square.start(*NAMES)
        transaction = enrolment(square)
        square.nodes[holder].mempool.add_change(transaction)
        height = await all_have(square, transaction)
        blocks = [node.store.block(height) for node in square.nodes.values()]
        assert {each.block.content.proposer for each in blocks if each} == {holder}
        first = square.nodes["val-1"].app.registries
        assert [node.app.registries == first for node in square.nodes.values()] == [True] * 4

    run(scenario)


@pytest.mark.parametrize("lost", [PROPOSAL, PREPARE, COMMIT])
def test_a_round_that_is_lost_loses_no_transaction_and_repeats_none(
    square: Square, lost: str
) -> None:
    def deaf(message: Message, *_: str) -> bool:
        return message.kind != lost or message.round > 0

    async def scenario() -> None:
        square.passes = deaf
        square.start(*NAMES)
        transaction = enrolment(square)
        for node in square.nodes.values():
            node.mempool.add_change(transaction)
        height = await all_have(square, transaction)
        await square.until(
            lambda: min(node.driver.tip.height for node in square.nodes.values()) > height + 2
        )
        carried = [
            each
            for number in range(1, height + 3)
            if (stored := square.nodes["val-1"].store.block(number)) is not None
            for each in stored.block.transactions
        ]
        assert carried == [transaction.encoded]
        assert [node.driver.halted for node in square.nodes.values()] == [""] * 4

    run(scenario)


@pytest.mark.parametrize("lost", NAMES)
def test_a_sealed_enrolment_outlives_a_power_cut_of_everybody(square: Square, lost: str) -> None:
    """All four commit, nobody hears it, the power fails, and one does not come back."""

    def hushed(message: Message, *_: str) -> bool:
        return message.kind != COMMIT

    def committed() -> int:
        slots = [
            [slot for slot in node.state.votes(1) if slot.kind == COMMIT]
            for node in square.nodes.values()
        ]
        return sum(map(bool, slots))

    async def scenario() -> None:
        square.passes = hushed
        square.start(*NAMES)
        transaction = enrolment(square)
        for node in square.nodes.values():
            node.mempool.add_change(transaction)
        await square.until(lambda: committed() == 4)
        square.kill(*NAMES)
        square.passes = lambda *_: True
        square.start(*(name for name in NAMES if name != lost))
        assert await all_have(square, transaction) == 1

    run(scenario)


def test_two_that_exclude_each_other_end_as_one_everywhere(square: Square) -> None:
    async def scenario() -> None:
        square.start(*NAMES)
        one = enrolment(square)
        other = Enrolment(square.genesis, from_s=one.from_s, nonce=bytes(16)).transaction()
        for number, node in enumerate(square.nodes.values()):
            node.mempool.add_change((one, other)[number % 2])
        await square.until(
            lambda: all(node.app.registries.changes for node in square.nodes.values())
        )
        await square.until(
            lambda: min(node.driver.tip.height for node in square.nodes.values()) >= 6
        )
        ids = {tuple(c.id for c in node.app.registries.changes) for node in square.nodes.values()}
        assert ids in ({(one.id,)}, {(other.id,)})

    run(scenario)


def test_a_ledger_read_again_gives_the_registries_that_ran(square: Square) -> None:
    async def scenario() -> None:
        square.start(*NAMES)
        for meter in ("c7", "c8", "c9"):
            transaction = enrolment(square, meter)
            square.nodes["val-1"].mempool.add_change(transaction)
            await all_have(square, transaction)
        node = square.nodes["val-3"]
        again = Application(square.genesis)
        again.restore(node.store.state_rows())
        assert again.registries == node.app.registries
        assert again.state.root == node.app.state.root
        replayed = Application(square.genesis)
        for height in range(1, node.store.height + 1):
            stored = node.store.block(height)
            assert stored is not None
            header, transactions = stored.block.content, stored.block.transactions
            execution = replayed.finalize_block(height, header.time_ms, transactions, {}, BOOK)
            assert execution.state_root == header.state_root
            replayed.commit(execution)
        assert replayed.registries == again.registries

    run(scenario)
