"""The validator set changes while blocks go on: one joins, one leaves, a key is rotated."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.app.village import signer
from tests.node.square import NAMES, Square
from validator.consensus.evidence import Evidence
from validator.consensus.messages import UNSIGNED, Prepare
from validator.node.set_changes import SetChanges
from wire.errors import Refused
from wire.governance import ChangeParameters, ChangeValidators, Governing, ValidatorStep
from wire.light import LightClient, WrongHeader
from wire.transaction import Transaction, payload_of

AUTHORITIES = ("MEA", "PEA")
NONCES = count()


@pytest.fixture
def square(tmp_path: Path) -> Iterator[Square]:
    # Rounds are long enough for a machine that has much else to do.
    square = Square(tmp_path, round_timeout_ms=400, round_timeout_cap_ms=3_000)
    yield square
    square.kill(*list(square.nodes))


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(120):
            await test()

    asyncio.run(bounded())


def signed(square: Square, body: Governing, *signers: str) -> Transaction:
    nonce = next(NONCES).to_bytes(16, "big")
    found = Transaction.of(payload_of(square.genesis.network, nonce, 10_000, body))
    for name in (*AUTHORITIES, *signers):
        found = found.with_signature(signer(name))
    return found


def submit(square: Square, transaction: Transaction) -> None:
    for node in square.nodes.values():
        node.mempool.add_change(transaction)
        node.driver.nudge()


def newest(square: Square) -> bytes:
    node = next(iter(square.nodes.values()))
    return node.app.ruling.rosters[-1].hash


async def change(square: Square, step: ValidatorStep, *signers: str) -> int:
    """Decide a change and wait for the first height at which it holds everywhere."""
    eras = len(next(iter(square.nodes.values())).app.ruling.rosters)
    submit(square, signed(square, ChangeValidators(newest(square), (step,)), *signers))
    nodes = square.nodes.values()
    await square.until(lambda: all(len(node.app.ruling.rosters) > eras for node in nodes))
    first = next(iter(nodes)).app.ruling.rosters[-1].first
    await reached(square, first)
    return first


async def reached(square: Square, height: int) -> None:
    nodes = square.nodes.values()
    await square.until(lambda: all(node.driver.tip.height >= height for node in nodes))


def joins(name: str) -> ValidatorStep:
    return ValidatorStep("add", name, "MEA", signer(name).public)


def sealers(square: Square, name: str, height: int) -> set[str]:
    node = square.nodes[name]
    stored = node.store.block(height)
    assert stored is not None
    ids = node.app.ruling.validators(height).ids
    return {ids[index] for index, _ in stored.commit.seals}


def check_from_genesis(square: Square, name: str) -> LightClient:
    """Every header of a ledger stands for who has the genesis file and the changes alone."""
    node = square.nodes[name]
    changes = SetChanges(node.store, lambda: node.app.ruling)
    client = LightClient.of(square.genesis)
    client.follow(changes.upto())
    for height in range(1, node.driver.tip.height + 1):
        stored = node.store.block(height)
        assert stored is not None
        client.verify_header(stored.block.header, stored.commit)
    return client


def check_what_is_known(square: Square, name: str, firsts: tuple[int, ...]) -> None:
    """Who has followed up to a set needs only what came after it, and less does not do."""
    node = square.nodes[name]
    changes = SetChanges(node.store, lambda: node.app.ruling)
    newest = node.store.block(node.driver.tip.height)
    assert newest is not None
    for place, first in enumerate((1, *firsts)):
        client = LightClient.of(square.genesis)
        client.follow(changes.upto(first))
        assert client.known == first
        rest = changes.upto(known=client.known)
        assert len(rest) == len(firsts) - place
        if rest:
            with pytest.raises(WrongHeader):
                client.verify_header(newest.block.header, newest.commit)
        client.follow(rest)
        client.verify_header(newest.block.header, newest.commit)
        assert changes.upto(known=client.known) == ()


def check_checkpoint(square: Square, name: str, first: int) -> None:
    """A checkpoint proves later blocks, through the changes after it, and no earlier ones."""
    node = square.nodes[name]
    changes = SetChanges(node.store, lambda: node.app.ruling)
    checkpoint = changes.checkpoint(first - 1)
    assert checkpoint is not None
    client = LightClient.of(square.genesis, checkpoint)
    client.follow(changes.upto())
    blocks = [node.store.block(height) for height in range(first - 1, node.driver.tip.height + 1)]
    headers = [(each.block.header, each.commit) for each in blocks if each is not None]
    for header, commit in headers[1:]:
        client.verify_header(header, commit)
    with pytest.raises(WrongHeader, match="older than the checkpoint"):
        client.verify_header(*headers[0])


def same_ledgers(square: Square, height: int) -> bool:
    blocks = set()
    for node in square.nodes.values():
        stored = node.store.block(height)
        assert stored is not None
        blocks.add(stored.block.digest)
    return len(blocks) == 1


def test_a_fifth_joins_one_leaves_and_a_key_is_rotated(square: Square) -> None:
    async def scenario() -> None:
        square.keys["val-3"] = ["val-3", "val-3 again"]
        square.start(*NAMES)
        await reached(square, 2)
        joined = await change(square, joins("val-5"), "val-5")
        # It starts with nothing, draws level, and from then on its vote counts.
        square.start("val-5")
        await reached(square, joined + 1)
        square.kill("val-1")
        after = max(node.driver.tip.height for node in square.nodes.values())
        await reached(square, after + 3)
        assert "val-5" in sealers(square, "val-2", after + 2)
        # Five without one need all four; who leaves goes on as an observer.
        left = await change(square, ValidatorStep("remove", "val-2"))
        await reached(square, left + 3)
        observer = square.nodes["val-2"]
        assert not observer.driver.halted
        assert [observer.state.votes(height) for height in range(left, left + 3)] == [[]] * 3
        assert "val-2" not in sealers(square, "val-3", left + 1)
        # The same process signs with the other key from its first height on.
        turned = await change(
            square,
            ValidatorStep("rotate", "val-3", key=signer("val-3 again").public),
            "val-3 again",
        )
        await reached(square, turned + 2)
        assert "val-3" in sealers(square, "val-4", turned + 1)
        for name in square.nodes:
            client = check_from_genesis(square, name)
            assert client.newest.key("val-3") == signer("val-3 again").public
            check_checkpoint(square, name, joined)
            check_what_is_known(square, name, (joined, left, turned))
        assert same_ledgers(square, turned + 1)
        square.start("val-1")
        await reached(square, turned + 3)
        assert same_ledgers(square, turned + 3)

    run(scenario)


def test_a_power_cut_of_everybody_in_the_midst_of_a_change_loses_nothing(square: Square) -> None:
    async def scenario() -> None:
        square.start(*NAMES)
        await reached(square, 1)
        body = ChangeValidators(newest(square), (joins("val-5"),))
        submit(square, signed(square, body, "val-5"))
        node = square.nodes["val-1"]
        await square.until(lambda: len(node.app.ruling.rosters) == 2)
        square.kill(*NAMES)
        square.start(*NAMES, "val-5")
        first = square.nodes["val-1"].app.ruling.rosters[-1].first
        await reached(square, first + 5)
        assert len(square.nodes["val-5"].app.ruling.validators(first)) == 5
        assert same_ledgers(square, first + 5)
        check_from_genesis(square, "val-5")

    run(scenario)


def test_parameters_hold_two_blocks_later_and_stand_in_the_header(square: Square) -> None:
    async def scenario() -> None:
        square.start(*NAMES)
        await reached(square, 1)
        tables = square.nodes["val-1"].app.ruling.tables
        values = (("block_interval_ms", 60), ("deadline_intervals", 9))
        submit(square, signed(square, ChangeParameters(tables[-1].hash, values)))
        nodes = square.nodes.values()
        await square.until(lambda: all(len(node.app.ruling.tables) == 2 for node in nodes))
        before, after = square.nodes["val-1"].app.ruling.tables
        await reached(square, after.first + 1)
        hashes = []
        for height in range(after.first - 1, after.first + 1):
            stored = square.nodes["val-2"].store.block(height)
            assert stored is not None
            hashes.append(stored.block.content.params_hash)
        assert hashes == [before.hash, after.hash]
        assert square.nodes["val-2"].app.registries.base.parameters.deadline_intervals == 9
        assert square.nodes["val-2"].driver._pacing.timing.interval_s == 0.06

    run(scenario)


def test_evidence_is_judged_by_the_set_of_its_height(square: Square) -> None:
    """Who has left is still answerable for what it did, and for nothing that it could not do."""

    def evidence(height: int) -> bytes:
        votes = []
        for digest in (b"\1" * 32, b"\2" * 32):
            vote = Prepare(height, 0, "val-5", digest, UNSIGNED)
            seal = signer("val-5").sign(vote.signed_bytes(square.genesis.network))
            votes.append(Prepare(height, 0, "val-5", digest, seal))
        return Evidence(votes[0], votes[1]).encoded

    async def scenario() -> None:
        square.start(*NAMES)
        await reached(square, 1)
        joined = await change(square, joins("val-5"), "val-5")
        square.start("val-5")
        left = await change(square, ValidatorStep("remove", "val-5"))
        blocks = square.nodes["val-1"].pool._blocks
        assert blocks.open_evidence(evidence(joined)).sender == "val-5"
        assert blocks.open_evidence(evidence(left - 1)).sender == "val-5"
        for height in (joined - 1, left):
            with pytest.raises(Refused):
                blocks.open_evidence(evidence(height))
        for node in square.nodes.values():
            node.pool.hear(evidence(joined))
        told = [node.app for node in square.nodes.values()]
        await square.until(lambda: all(len(app.offences()) == 1 for app in told))
        assert told[0].offences()[0][0].validator == "val-5"

    run(scenario)
