"""The reader: closes readings of meters that cannot sign, and signs them with its own key.

Decides what the reader says of itself and in which order things become durable: the boundary read
and the settled payload in one transaction, then the signature. A token that is away delays
signatures, never readings; after a crash the same payload is signed again.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from importlib import resources

import structlog

from gateway.delivery.intervals import (
    Chain,
    ClosedReading,
    ReaderState,
    Sample,
    close,
    really_apart,
    spans_one_interval,
)
from gateway.delivery.spool import Spool
from gateway.meters.decode import Registers, runs_backwards
from gateway.polling.schedule import INTERVAL_S, WRONG_CLOCK_S
from gateway.registered import PolledMeter
from gateway.timing import NetworkClock, quality_of
from gateway.watchdog import Heart, woken
from wire.cose import Sign1
from wire.errors import Refused, Unavailable
from wire.keys import PublicKey

_log = structlog.get_logger()

_LEGALLY_RELEVANT = (
    "meters/templates.py",
    "meters/template.py",
    "meters/template_file.py",
    "meters/decode.py",
    "meters/words.py",
    "meters/obis.py",
    "lines/readout.py",
    "lines/readout_line.py",
    "meters/energy.py",
    "polling/probing.py",
    "polling/samples.py",
    "polling/holes.py",
    "lines/frames.py",
    "delivery/intervals.py",
    "delivery/reader.py",
)
SignAll = Callable[[Sequence[bytes]], list[bytes]]
"""Raw COSE signatures over messages, all or none; raises Unavailable or Refused."""

_AT_ONCE = 64
_LINGER_S = 0.02
"""Meters are read one right after the other: a moment later more readings can be signed at once."""

_AWAY_S = 1.0
_REFUSED_S = 10.0


def software_id() -> bytes:
    """Prefix of the SHA-256 of the code that reads, decodes and closes, 4 bytes (field 16)."""
    folder = resources.files("gateway")
    digest = hashlib.sha256()
    for name in _LEGALLY_RELEVANT:
        digest.update((folder / name).read_bytes())
    return digest.digest()[:4]


class Reader:
    """Closes and signs."""

    def __init__(self, spool: Spool, clock: NetworkClock, public: PublicKey, paced: bool) -> None:
        self._spool = spool
        self._clock = clock
        self._public = public
        self._paced = paced
        self._software_id = software_id()
        self._boots = self._born_s = 0
        self._newest: dict[str, Sample] = {}
        self._set_back: set[str] = set()
        self._fallen_from: dict[str, Registers] = {}
        self.closed = asyncio.Event()
        """Set when a reading waits for its signature."""
        self.queued = asyncio.Event()
        """Set when a reading waits for a witness."""
        self.gaps = 0
        """Intervals without a reading since the start."""
        self.token = "ready"
        """`ready` or `away`."""
        self.reason = ""
        """Why the token cannot sign; empty when it can."""
        self.heart = Heart("reader")

    async def begin(self, genesis_s: int) -> None:
        """Count this start; the reader's own time counts from the last boundary on.

        Args:
            genesis_s: network time of the genesis: before it nothing can have been operating.
        """
        start_s = self._clock.now_ms() // 1000 // INTERVAL_S * INTERVAL_S
        life = await self._spool.begin_life(max(0, start_s - genesis_s))
        self._boots = life.boots
        self._born_s = start_s - life.operating_s
        self.closed.set()
        self.queued.set()

    async def keep_sample(self, meter: PolledMeter, sample: Sample) -> None:
        """Keep a boundary read, and close the interval that it ends when both ends are there."""
        known = await self._spool.meter(meter.id)
        before, chain = known.sample, known.chain
        if before is not None and 0 <= before.boundary_s - sample.boundary_s <= WRONG_CLOCK_S:
            # The clock went back: what was closed once is not closed again.
            if sample.boundary_s < before.boundary_s and meter.id not in self._set_back:
                self._set_back.add(meter.id)
                _log.warning("the clock was set back", meter=meter.id, to_s=sample.boundary_s)
            return
        operating_s = max(0, sample.boundary_s - self._born_s)
        closed: ClosedReading | None = None
        believed = self._believed(meter.id, before, sample)
        if before is not None and believed and spans_one_interval(before, sample):
            state = ReaderState(
                self._public, self._boots, operating_s, quality_of(self._paced), self._software_id
            )
            closed = close(before, sample, meter.subject, state, chain)
            chain = Chain(closed.sig_hash, chain.events)
        elif before is not None:
            self.gaps += 1
            chain = Chain(chain.previous, chain.events + 1)
            _log.warning("interval without a reading", meter=meter.id, end_s=sample.boundary_s)
        if not await self._spool.keep_sample(meter.id, sample, closed, chain, operating_s):
            self.gaps += 1
            _log.error(
                "another reading of this interval is kept already; this one is kept apart",
                meter=meter.id,
                end_s=sample.boundary_s,
            )
        self._newest[meter.id] = sample
        if closed is not None:
            self.closed.set()

    def _believed(self, meter: str, before: Sample | None, sample: Sample) -> bool:
        """Whether what passed since `before` can be told: by the clock, and by the registers."""
        set_back = meter in self._set_back
        self._set_back.discard(meter)
        fallen_from = self._fallen_from.pop(meter, None)
        if before is None:
            return True
        if runs_backwards(before.registers, sample.registers):
            self._fallen_from[meter] = before.registers
        elif fallen_from is not None and not runs_backwards(fallen_from, sample.registers):
            _log.warning("a register fell and came back", meter=meter, end_s=sample.boundary_s)
            return False
        newest = self._newest.get(meter)
        if self._paced or newest is None or newest.boundary_s != before.boundary_s:
            return not set_back
        if not really_apart(newest, sample):
            _log.warning("the clock was set in between", meter=meter, end_s=sample.boundary_s)
            return False
        return not set_back

    async def run(self, sign_all: SignAll) -> None:
        """Sign what was closed, for ever, as much at once as the token takes in one exchange."""
        while True:
            self.heart.beat()
            self.closed.clear()
            waiting = await self._spool.unsigned(_AT_ONCE)
            if not waiting:
                await woken(self.closed)
                await asyncio.sleep(_LINGER_S)
                continue
            try:
                signatures = await asyncio.to_thread(sign_all, [each.message for each in waiting])
            except (Unavailable, Refused) as reason:
                if self.token == "ready":
                    _log.warning("the token cannot sign; readings wait", reason=str(reason))
                self.token, self.reason = "away", str(reason)
                await asyncio.sleep(_AWAY_S if isinstance(reason, Unavailable) else _REFUSED_S)
                continue
            self.token, self.reason = "ready", ""
            pairs = zip(waiting, signatures, strict=True)
            await self._spool.queue(
                [
                    (each, Sign1(each.protected, each.payload, signature).encoded)
                    for each, signature in pairs
                ],
                self._clock.now_ms(),
            )
            self.queued.set()
