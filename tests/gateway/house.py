"""A gateway from the reading on, with everything around it that can fail.

Real are spool, outbox, reader, witness, receipts and sign-state, over a real file. Around them: a
token that can be unplugged, a broker that can be away and lose things, validators that remember
what is on their ledger, a clock that can be set. What doctor says is taken from the same words.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gateway.config import BatchConfig
from gateway.delivery.intervals import Sample, Subject
from gateway.delivery.outbox import Outbox
from gateway.delivery.overview import overview
from gateway.delivery.reader import Reader
from gateway.delivery.receipts import Receipts
from gateway.delivery.room import Room
from gateway.delivery.spool import Spool
from gateway.delivery.witnessing import Statements, Witness
from gateway.meters import templates
from gateway.meters.decode import Limits, Registers
from gateway.operation.symptoms import symptoms
from gateway.registered import PolledMeter
from hsm.signstate import DoubleSign, SignState, WitnessSigner
from tests.gateway.street import START_S, SigningMeter, StepClock, until
from tests.gateway.world import METER, READER, WITNESS, make_genesis
from wire.errors import Unavailable
from wire.keys import PublicKey
from wire.reading import SignedReading
from wire.results import ALREADY_ACCEPTED
from wire.witness import Batch, WitnessPosition

UNKNOWN_METER = 11
TEMPLATE = templates.load("eastron-sdm630")
POLLED = PolledMeter(
    "m1", 1, TEMPLATE, Subject("m1", "node-m1", bytes(8), TEMPLATE.hash), Limits(20_000, 10)
)


class HouseToken:
    """The token: both keys; why it cannot sign now, and how often it was asked to."""

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.asked = 0

    @property
    def public(self) -> PublicKey:
        return WITNESS.public

    def sign(self, message: bytes) -> bytes:
        self._ask()
        return WITNESS.sign(message)

    def sign_all(self, messages: Sequence[bytes]) -> list[bytes]:
        self._ask()
        return [READER.sign(each) for each in messages]

    def _ask(self) -> None:
        self.asked += 1
        if self.fault is not None:
            raise self.fault


class House:
    """One gateway over one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.world = make_genesis()
        self.clock = StepClock(START_S + 1)
        self.meter = SigningMeter("m2", "node-m2", METER)
        self.import_wh = 1_000
        self.token = HouseToken()
        self.broker = True
        self.chance = random.Random(4)
        self.ledger: dict[tuple[str, int], bytes] = {}
        self.again: list[tuple[str, int]] = []
        """Readings that came to the ledger with other content than before."""
        self.batches: list[Batch] = []
        """Everything that was published, in order."""
        self.answers: list[bytes] = []
        """Answers on their way."""
        self.said: list[str] = []
        """What doctor says is not well, while it is not."""
        self.unkept = 0
        """Boundaries of the meter that cannot sign at which nothing could be kept."""
        self.hold: Callable[[list[bytes]], list[bytes]] = lambda answers: answers

    async def open(self, room: Room | None = None) -> None:
        """Start the gateway."""
        self.spool = await Spool.open(self.folder / "spool.sqlite", room)
        self.outbox = Outbox(self.spool)
        self.reader = Reader(self.spool, self.clock, READER.public, True)
        self.state = SignState(self.folder / "spool.signstate")
        statements = Statements(
            "gw-1", self.world.genesis.topic_name, lambda: WitnessPosition(0, 0, 0, 0, 0), True
        )
        self.witness = Witness(
            self.outbox,
            WitnessSigner(self.token, self.state),
            statements,
            BatchConfig(500, 0),
            self.clock,
            lambda: START_S,
        )
        self.receipts = Receipts(self.outbox, self.world.genesis, self.clock)
        await self.reader.begin(START_S)
        self._signing = asyncio.ensure_future(self.reader.run(self.token.sign_all))

    async def close(self) -> None:
        """End the gateway; everything else stays."""
        self._signing.cancel()
        await asyncio.gather(self._signing, return_exceptions=True)
        self.state.close()
        await self.spool.close()

    async def start_again(self) -> None:
        await self.close()
        await self.open()

    async def live(self, intervals: int, rest: bool = True) -> None:
        """Let intervals pass: both meters are read, and what can go on its way goes."""
        for _ in range(intervals):
            await self.boundary()
            if rest:
                await self.work()

    async def boundary(self) -> None:
        """One interval ends, and its readings are kept."""
        start_s = self.clock.now_ms() // 1000 // 900 * 900
        self.clock.move_to(start_s + 901)
        self.import_wh += 250
        self.meter.close(start_s, self.import_wh)
        sample = Sample(start_s + 900, Registers(self.import_wh, 0), bytes(8), 20)
        await self.reader.keep_sample(POLLED, sample)
        await self.fetch()

    async def fetch(self) -> None:
        """Take what the signing meter has and the spool has not."""
        first = max(0, (await self.spool.meter("m2")).next_sequence)
        records = [SignedReading.open(each) for each in self.meter.records[first:]]
        await self.spool.keep_records("m2", records, len(self.meter.records), self.clock.now_ms())

    async def work(self) -> None:
        """Sign, witness, publish, judge answers: as far as each can now."""
        if self.token.fault is None:
            await self.signed()
            await self.witnessed()
        await self.delivered()

    async def delivered(self) -> None:
        """Publish, and judge the answers."""
        if self.broker:
            await self.publish()
        answers, self.answers = self.hold(self.answers), []
        for answer in answers:
            await self.receipts.take(answer)

    async def signed(self) -> None:
        self.reader.closed.set()
        async with asyncio.timeout(10):
            while (await self.spool.counts())["closed"]:
                await asyncio.sleep(0.002)

    async def witnessed(self) -> None:
        """As the witness runs, until nothing is due."""
        while True:
            try:
                await self.witness.step()
            except DoubleSign:
                await self.witness._leap_over()
            else:
                return

    async def publish(self) -> None:
        """Send every batch that has no answer; validators answer at once."""
        for sequence in await self.outbox.sendable(0, True, [], 10_000):
            batch = await self.outbox.batch(sequence)
            assert batch is not None
            self.batches.append(batch)
            self.answers.append(self.world.authorities.receipt(batch, self._judge(batch)))
            await self.outbox.published([sequence])

    def _judge(self, batch: Batch) -> list[int]:
        codes = []
        for encoded in batch.readings:
            signed = SignedReading.open(encoded)
            place = (signed.reading.meter, signed.reading.sequence)
            known = self.ledger.setdefault(place, signed.sig_hash)
            if known is not signed.sig_hash and known != signed.sig_hash:
                self.again.append(place)
            codes.append(0 if known is signed.sig_hash else ALREADY_ACCEPTED)
        return codes

    async def refuse_for_now(self) -> None:
        """Validators do not know the meters of what was published last; nothing is on a ledger."""
        for batch in self.batches:
            if await self.outbox.find(batch.batch_id) is None:
                continue
            for encoded in batch.readings:
                reading = SignedReading.open(encoded).reading
                self.ledger.pop((reading.meter, reading.sequence), None)
            await self.receipts.take(self.world.authorities.receipt(batch, UNKNOWN_METER))

    async def report(self) -> dict[str, Any]:
        """As the status page gives it."""
        faults = [each.reason for each in (self.reader, self.witness) if each.reason]
        return {
            **await overview(self.spool, self.clock.now_ms()),
            "token": "away" if faults else "ready",
            "token_reason": faults[0] if faults else "",
            "broker": "connected" if self.broker else "away",
            "broker_refusal": "",
            "answers": dict(self.receipts.counts),
            "time": "known",
            "clock": {"quality": 2, "error_ms": 3, "skew_missing_s": 10, "meters": {}},
            "place": {"receiver": "none", "moved": False, "source": "survey", "accuracy_m": 1.0},
            "configuration": "as in its file",
            "buses": {},
            "meters": {},
            "meter_errors": {},
        }

    async def look(self) -> None:
        """Remember what doctor finds wrong now."""
        found = symptoms(await self.report())
        self.said += [f"{each.what}: {each.words}" for each in found if not each.good]

    async def unplug(self, fault: Exception) -> None:
        """The token cannot sign any more, and the gateway has noticed."""
        self.token.fault = fault
        await self.boundary()
        self.reader.closed.set()
        await until(lambda: self.reader.reason)

    async def settle(self) -> None:
        """Everything is well again: work until nothing waits."""
        self.token.fault, self.broker = None, True
        self.hold = lambda answers: answers
        await self.start_again()
        for _ in range(3):
            await self.work()

    async def check(self, lost: int = 0) -> None:
        """Nothing is lost, nothing is twice.

        Args:
            lost: readings of the meter that cannot sign that may be missing.
        """
        counts = await self.spool.counts()
        assert [counts[name] for name in ("closed", "queued", "witnessed", "published")] == [0] * 4
        assert counts["refused"] == 0
        assert self.again == []
        mine = {sequence for meter, sequence in self.ledger if meter == "m2"}
        assert mine == set(range(len(self.meter.records)))
        polled = sum(meter == "m1" for meter, _ in self.ledger)
        most = len(self.meter.records) - 1 - self.unkept
        assert most - lost <= polled <= most
        sequences: dict[int, set[bytes]] = {}
        for batch in self.batches:
            sequences.setdefault(batch.witness.statement.sequence, set()).add(batch.batch_id)
        assert {len(each) for each in sequences.values()} == {1}


def away() -> Exception:
    return Unavailable("the token is away: it was pulled out")
