"""The witness: closes batches and asks the token for one signature each.

Decides when a batch closes (by count, by how long its oldest reading has waited, or at once when
nothing more is to come for the newest interval) and what its statement says. The statement is
durable before the token is asked, and the sign-state keeps each sequence's bytes, so that a crash
anywhere leads to the same statement again.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from gateway.config import BatchConfig
from gateway.delivery.outbox import OpenBatch, Outbox, Waiting, live_from_s
from gateway.timing import NetworkClock, quality_of
from gateway.watchdog import Heart, woken
from hsm.signstate import DoubleSign, WitnessSigner
from wire.errors import Refused, Unavailable
from wire.witness import (
    WitnessPosition,
    WitnessStatement,
    assemble,
    readings_root,
    to_be_signed,
)

_log = structlog.get_logger()

_LOOK_S = 0.25
_AWAY_S = 1.0
_REFUSED_S = 10.0
_NO_BATCH = bytes(32)


@dataclass(frozen=True, slots=True)
class Statements:
    """What every statement of this gateway says."""

    gateway: str
    """Gateway id."""

    network: str
    """Network name with the first 8 hex digits of its id."""

    position: Callable[[], WitnessPosition]
    """Tells where it stands."""

    paced: bool
    """Whether network time is paced by a simulator."""


class Witness:
    """Closes and signs batches."""

    def __init__(
        self,
        outbox: Outbox,
        signer: WitnessSigner,
        statements: Statements,
        limits: BatchConfig,
        clock: NetworkClock,
        finished_s: Callable[[], int],
    ) -> None:
        """Take what it needs.

        Args:
            outbox: where batches are kept.
            signer: the witness key, guarded.
            statements: what every statement says.
            limits: when batches close.
            clock: network time.
            finished_s: start of the newest interval that every live meter has delivered.
        """
        self._outbox = outbox
        self._signer = signer
        self._statements = statements
        self._limits = limits
        self._clock = clock
        self._finished_s = finished_s
        self._leap = 1
        self.witnessed = asyncio.Event()
        """Set when a batch can be published."""
        self.token = "ready"
        """`ready` or `away`."""
        self.reason = ""
        """Why the token cannot sign; empty when it can."""
        self.heart = Heart("witness")

    async def run(self, queued: asyncio.Event) -> None:
        """Witness for ever; `queued` is set by those who queue readings."""
        while True:
            self.heart.beat()
            queued.clear()
            try:
                due_ms = await self.step()
            except Unavailable as reason:
                await self._away(str(reason), _AWAY_S)
            except DoubleSign:
                await self._leap_over()
            except Refused as reason:
                await self._away(str(reason), _REFUSED_S)
            else:
                await self._wait(queued, due_ms)

    async def step(self) -> int | None:
        """Close and sign what is due.

        Returns the network time at which the next batch is due, None when nothing waits.

        Raises:
            Unavailable: the token is away; the open batch waits for it.
        """
        while (batch := await self._outbox.unsigned()) is not None:
            await self._sign(batch)
        while True:
            # After each batch of the backlog live readings come first again.
            dues = await self._dues_ms()
            due_ms = {live: each for live, each in dues.items() if each is not None}
            now_ms = self._clock.now_ms()
            lane = next((live for live, each in due_ms.items() if each <= now_ms), None)
            if lane is None:
                return min(due_ms.values(), default=None)
            await self._open(lane)
            self.heart.beat()

    async def _dues_ms(self) -> dict[bool, int | None]:
        """When the next batch of the live lane and of the backlog closes; None: nothing waits."""
        finished_s = self._finished_s()
        lanes = await self._outbox.waiting(
            self._clock.now_ms(), live_from_s(self._clock.now_ms()), self._limits.max_readings
        )
        settled = not any(lane.count for lane in lanes) or not await self._outbox.any_closed()
        return {
            live: self._due_ms(lane, settled and finished_s >= lane.newest_start_s)
            for live, lane in zip((True, False), lanes, strict=True)
        }

    def _due_ms(self, lane: Waiting, complete: bool) -> int | None:
        if not lane.count:
            return None
        ahead = lane.oldest_ms > self._clock.now_ms()  # Queued by a clock that was set back since.
        if complete or ahead or lane.count >= self._limits.max_readings:
            return min(lane.oldest_ms, self._clock.now_ms())
        return lane.oldest_ms + 1000 * self._limits.max_wait_s

    async def _open(self, live: bool) -> None:
        now_ms = self._clock.now_ms()
        readings = await self._outbox.pick(
            live_from_s(self._clock.now_ms()), live, self._limits.max_readings
        )
        if not readings:
            return
        last = await self._outbox.last()
        quality = quality_of(self._statements.paced)
        statement = WitnessStatement(
            gateway=self._statements.gateway,
            network=self._statements.network,
            witnessed_at_s=now_ms // 1000,
            sequence=0 if last is None else last[0] + self._leap,
            tree_size=len(readings),
            previous=_NO_BATCH if last is None else last[1],
            position=self._statements.position(),
            clock_quality=quality.quality,
            clock_error_ms=quality.error_ms,
            root=readings_root([each.encoded for each in readings]),
        )
        protected, _ = to_be_signed(statement, self._signer.public)
        batch = OpenBatch(statement.sequence, protected, statement.root)
        await self._outbox.open_batch(batch, readings)
        await self._sign(batch)

    async def _sign(self, batch: OpenBatch) -> None:
        signature = await asyncio.to_thread(self._signer.sign, batch.sequence, batch.message)
        witness = assemble(batch.protected, batch.root, signature)
        await self._outbox.keep_witness(batch.sequence, witness)
        self.token, self.reason, self._leap = "ready", "", 1
        self.witnessed.set()

    async def _leap_over(self) -> None:
        """The key has signed other batches than this spool remembers: the spool was lost once.

        Their sequences stay used; leap over them in growing steps.
        """
        batch = await self._outbox.unsigned()
        if batch is not None:
            _log.error("the key knows more batches than the spool", sequence=batch.sequence)
            await self._outbox.abandon(batch.sequence)
        self._leap *= 2

    async def _away(self, reason: str, pause_s: float) -> None:
        if self.token == "ready":
            _log.warning("the token cannot sign; batches wait", reason=reason)
        self.token, self.reason = "away", reason
        await asyncio.sleep(pause_s)

    async def _wait(self, queued: asyncio.Event, due_ms: int | None) -> None:
        """Until more is queued, or a while later when something waits already."""
        pause_s = None
        if due_ms is not None:
            pause_s = min(_LOOK_S, self._clock.real_s_until(due_ms))
        await woken(queued, pause_s)
