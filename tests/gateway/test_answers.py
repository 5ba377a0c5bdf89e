"""Only what proves something changes the spool, and it changes it once."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.config import BatchConfig
from gateway.delivery.outbox import Outbox
from gateway.delivery.receipts import Receipts
from gateway.delivery.spool import Spool
from gateway.delivery.witnessing import Statements, Witness
from hsm.signstate import SignState, WitnessSigner
from tests.gateway.authorities import Authorities
from tests.gateway.street import START_S, SigningMeter, StepClock
from tests.gateway.world import METER, WITNESS, World, make_genesis
from wire import cbor
from wire.answer import BatchReceipt
from wire.keys import EDDSA, SoftSigner
from wire.reading import SignedReading
from wire.results import ALREADY_ACCEPTED, LATE
from wire.witness import Batch, WitnessPosition

COUNT = 3
UNKNOWN_METER, BAD_SIGNATURE = 11, 14


class Scene:
    """Three batches of one reading each, published and unanswered."""

    def __init__(self, world: World, spool: Spool, batches: list[Batch]) -> None:
        self.authorities: Authorities = world.authorities
        self.clock = StepClock(START_S + 7200)
        self.spool = spool
        self.batches = batches
        self.receipts = Receipts(Outbox(spool), world.genesis, self.clock)

    async def states(self) -> dict[str, int]:
        found = await self.spool.counts()
        names = ("queued", "published", "final", "refused", "duplicates")
        return {name: found[name] for name in names if found[name]}


def play(folder: Path, act: Callable[[Scene], Awaitable[None]]) -> None:
    async def scene() -> None:
        world = make_genesis()
        spool = await Spool.open(folder / "spool.sqlite")
        try:
            await act(Scene(world, spool, await publish(folder, world, spool)))
        finally:
            await spool.close()

    asyncio.run(scene())


async def publish(folder: Path, world: World, spool: Spool) -> list[Batch]:
    meter = SigningMeter("m2", "node-m2", METER)
    for number in range(COUNT):
        meter.close(START_S + 900 * number)
    records = [SignedReading.open(each) for each in meter.records]
    await spool.keep_records("m2", records, COUNT, 0)
    outbox = Outbox(spool)
    state = SignState(folder / "signstate")
    statements = Statements(
        "gw-1", world.genesis.topic_name, lambda: WitnessPosition(0, 0, 0, 0, 0), True
    )
    clock = StepClock(START_S + 900 * COUNT)
    signer = WitnessSigner(WITNESS, state)
    await Witness(outbox, signer, statements, BatchConfig(1, 0), clock, lambda: 0).step()
    state.close()
    found = []
    for sequence in range(COUNT):
        batch = await outbox.batch(sequence)
        assert batch is not None
        await outbox.published([sequence])
        found.append(batch)
    return found


def test_receipts_may_come_in_any_order_and_more_than_once(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        answers = [scene.authorities.receipt(each) for each in scene.batches]
        assert await scene.receipts.take(answers[2]) == 2
        assert await scene.receipts.take(answers[2]) is None
        assert await scene.states() == {"published": 2, "final": 1}
        for answer in reversed(answers):
            await scene.receipts.take(answer)
        assert await scene.states() == {"final": COUNT}
        assert scene.receipts.counts == {"settled": 3, "repeated": 2}

    play(tmp_path, act)


def changed(receipt: bytes, **changes: Any) -> bytes:
    content = cbor.decode(receipt)[1]
    return replace(BatchReceipt.from_map(content), **changes).encoded


def test_answers_that_prove_nothing_change_nothing(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        mine, other = scene.batches[:2]
        good = scene.authorities.receipt(mine)
        stranger = make_genesis()
        keys = {name: SoftSigner.generate(EDDSA) for name in stranger.authorities.keys}
        foreign = Authorities(stranger.genesis, keys)
        wrong = [
            b"",
            b"garbage",
            good[:-1],
            good + b"\0",
            scene.authorities.receipt(mine, seals=2),
            foreign.receipt(mine),
            changed(scene.authorities.receipt(other), batch_id=mine.batch_id),
            changed(good, reading_results=()),
            *(_flipped(good, place) for place in range(4, len(good), 7)),
        ]
        before = await scene.states()
        for answer in wrong:
            assert await scene.receipts.take(answer) is None, answer.hex()
        assert await scene.states() == before == {"published": COUNT}
        assert await scene.receipts.take(good) == 0

    play(tmp_path, act)


def _flipped(answer: bytes, place: int) -> bytes:
    return answer[:place] + bytes([answer[place] ^ 1]) + answer[place + 1 :]


@pytest.mark.parametrize(
    ("code", "states"),
    [
        (0, {"final": 1}),
        (ALREADY_ACCEPTED, {"final": 1, "duplicates": 1}),
        (LATE, {"final": 1}),
        (UNKNOWN_METER, {"queued": 1}),
        (BAD_SIGNATURE, {"refused": 1}),
        (9999, {"refused": 1}),
    ],
)
def test_a_results_code_decides_what_becomes_of_a_reading(
    tmp_path: Path, code: int, states: dict[str, int]
) -> None:
    async def act(scene: Scene) -> None:
        await scene.receipts.take(scene.authorities.receipt(scene.batches[0], code))
        assert await scene.states() == {"published": COUNT - 1} | states

    play(tmp_path, act)


def test_one_liar_cannot_refuse_a_batch(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        batch = scene.batches[0]
        for _ in range(3):
            assert (
                await scene.receipts.take(scene.authorities.refusal(batch, "val-a", BAD_SIGNATURE))
                is None
            )
        assert await scene.states() == {"published": COUNT}
        answer = scene.authorities.refusal(batch, "val-b", BAD_SIGNATURE)
        assert await scene.receipts.take(answer) == 0
        assert await scene.states() == {"published": COUNT - 1, "refused": 1}

    play(tmp_path, act)


def test_a_refused_batch_whose_fault_can_be_cured_is_witnessed_again(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        batch = scene.batches[0]
        await scene.receipts.take(scene.authorities.refusal(batch, "val-a", BAD_SIGNATURE))
        await scene.receipts.take(scene.authorities.refusal(batch, "val-b", UNKNOWN_METER))
        assert await scene.states() == {"published": COUNT - 1, "queued": 1}
        # The old batch may still turn out to be final: then nothing is lost by it either.
        assert await scene.receipts.take(scene.authorities.receipt(batch)) is None

    play(tmp_path, act)
