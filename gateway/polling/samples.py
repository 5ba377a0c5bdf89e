"""Boundary reads of meters that cannot sign: what was read, and whether it is believed.

Decides that a doubtful value is read a second time, after the other meters, that a block with a
hole is read in pieces, and that two pieces whose replies look alike are kept apart by a fence. What
the words mean is for `meters.decode`; what becomes of a sample, for `delivery.reader`.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable

import structlog

from gateway.delivery.intervals import Sample
from gateway.lines.frames import DeviceRefused, Garbled, Request
from gateway.meters.decode import confirms, decode, doubt, evidence
from gateway.meters.energy import Ask
from gateway.meters.template import Block
from gateway.polling.fences import Shape, shape
from gateway.polling.holes import Holes, pieces
from gateway.polling.probing import check
from gateway.registered import PolledMeter
from gateway.timing import NetworkClock
from wire.errors import Refused

_log = structlog.get_logger()

NO_REGISTER, NO_VALUE = 2, 3
"""Exceptions with which meters refuse a block that has a hole in it."""

Fence = Callable[[PolledMeter], Awaitable[None]]
"""Asks a meter its fence."""


class Doubtful(Refused):
    """What was read is read again a little later, when a reply that came twice has gone by."""

    code = "doubtful"


class Disagreement(Garbled):
    """Two reads of one register do not go together."""

    code = "disagreement"


class Samples:
    """The last believed sample of each meter, and how the next one is got."""

    def __init__(self, ask: Ask, fence: Fence, clock: NetworkClock) -> None:
        self.last: dict[str, Sample | None] = {}
        """What was believed last, by meter."""
        self._ask, self._fence = ask, fence
        self._clock = clock
        self._holes: dict[str, Holes] = defaultdict(Holes)
        self._bases: dict[str, int] = {}
        self._doubtful: dict[str, Sample] = {}

    def forget(self, meter: str) -> None:
        """The meter failed: what answers next may be another one."""
        self._bases.pop(meter, None)

    async def take(self, meter: PolledMeter, boundary_s: int) -> Sample:
        """Read the meter once; a doubtful value is believed when a second call confirms it.

        Raises:
            Doubtful: ask again in a while.
            Disagreement: the second read does not confirm the first.
            NoValue, NoSuchModel: the meter has no value to give.
            DeviceRefused, Garbled, Unavailable: what the line says.
        """
        now = await self._read(meter, boundary_s)
        before, first = self.last[meter.id], self._doubtful.pop(meter.id, None)
        if first is not None and first.boundary_s != boundary_s:
            first = None
        reason = "" if before is None else _doubt(before, now, meter)
        if not reason:
            if first is not None:
                _log.info("first read dismissed", meter=meter.id)
            return now
        if first is None:
            self._doubtful[meter.id] = now
            raise Doubtful(reason)
        elapsed_ms = now.offset_ms - first.offset_ms
        if not confirms(first.registers, now.registers, elapsed_ms, meter.limits):
            raise Disagreement(f"two reads disagree, and {reason}")
        _log.warning("doubtful value confirmed", meter=meter.id, reason=reason)
        return now

    async def _read(self, meter: PolledMeter, boundary_s: int) -> Sample:
        template = meter.template
        seen: set[Shape] = set()

        async def ask(request: Request, silence_ms: int) -> tuple[int, ...]:
            if shape(request) in seen:
                await self._fence(meter)
            seen.add(shape(request))
            return await self._ask(request, silence_ms)

        if meter.id not in self._bases:
            self._bases[meter.id] = await check(ask, meter.unit, template)
        words: tuple[int, ...] = ()
        for block in template.energy_registers.blocks:
            words += await self._block(ask, meter, block, len(words))
        offset_ms = self._clock.now_ms() - boundary_s * 1000
        machine_s = time.clock_gettime(time.CLOCK_BOOTTIME) - offset_ms / 1000
        before = self.last[meter.id]
        found = decode(template, words, before.registers if before else None)
        return Sample(boundary_s, found, evidence(template, words), offset_ms, machine_s)

    async def _block(
        self, ask: Ask, meter: PolledMeter, block: Block, offset: int
    ) -> tuple[int, ...]:
        """Read a block in one piece, or else what is needed of it; the rest is then zeros."""
        holes, now_s = self._holes[meter.id], asyncio.get_running_loop().time()
        parts = pieces(block, offset, meter.template.energy_registers.used)
        if not holes.splits(block, now_s) or parts == [block]:
            try:
                words = await ask(self._request(meter, block), meter.template.silence_ms)
            except DeviceRefused as reason:
                if reason.exception not in (NO_REGISTER, NO_VALUE) or parts == [block]:
                    raise
                holes.refused(block, now_s)
            else:
                holes.answered(block)
                return words
        found = [0] * block.words
        for part in parts:
            at = part.address - block.address
            request = self._request(meter, part)
            found[at : at + part.words] = await ask(request, meter.template.silence_ms)
        return tuple(found)

    def _request(self, meter: PolledMeter, block: Block) -> Request:
        address = self._bases[meter.id] + block.address
        return Request(meter.unit, block.function, address, block.words)


def _doubt(before: Sample, now: Sample, meter: PolledMeter) -> str:
    elapsed_ms = 1000 * (now.boundary_s - before.boundary_s) + now.offset_ms - before.offset_ms
    return doubt(before.registers, now.registers, elapsed_ms, meter.limits)
