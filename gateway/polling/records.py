"""Catching up with meters that sign: from where the spool stands, record by record.

Decides how many records are fetched in one go, that a bad one is fetched again before it is kept
apart with its bytes, and that one which the meter cannot show is asked for several times before it
is given up. What a record is, and when it is bad, is for `polling.window`.
"""

from collections import Counter
from enum import Enum, auto

import structlog

from gateway.delivery.spool import NEVER, Spool
from gateway.polling import window
from gateway.registered import SigningMeter
from gateway.timing import NetworkClock
from wire.reading import SignedReading

_log = structlog.get_logger()

_AT_ONCE = 8
_FETCH_TRIES = 2
MISSES = 20
"""A record that its meter says it has, and does not show so often, is given up: the pauses between
the tries grow, so that this takes ten minutes."""


class Progress(Enum):
    """How far a meter has been caught up with."""

    MORE = auto()
    DONE = auto()
    NOT_YET = auto()


class Records:
    """Where the spool stands with each signing meter, and how it gets on."""

    def __init__(self, ask: window.Ask, spool: Spool, clock: NetworkClock) -> None:
        self.next_sequences: dict[str, int] = {}
        """For each signing meter, the record to ask for next."""
        self.apart = 0
        """Records kept apart since the start."""
        self._ask, self._spool, self._clock = ask, spool, clock
        self._identified: set[str] = set()
        self._proven: dict[str, int] = {}
        self._misses: Counter[tuple[str, int]] = Counter()

    def forget(self, meter: str) -> None:
        """The meter failed: what answers next may be another one."""
        self._identified.discard(meter)

    async def identify(self, meter: SigningMeter) -> bool:
        """See once after each failure who answers; True when it was looked at now.

        Raises WrongMeter.
        """
        if meter.id in self._identified:
            return False
        await window.check_identity(self._ask, meter)
        self._identified.add(meter.id)
        self._proven.pop(meter.id, None)
        return True

    async def catch_up(self, meter: SigningMeter, boundary_s: int) -> Progress:
        """Fetch the next few records into the spool.

        Raises:
            WrongMeter: it has fewer records than were fetched, or no window.
            DeviceRefused, Garbled, Unavailable: what the line says.
        """
        there = await window.look(self._ask, meter)
        await self._begin_at_proven(meter.id, there.records)
        first = self._first(meter, there)
        last = min(there.records, first + _AT_ONCE)
        kept: list[SignedReading] = []
        apart = self.apart
        for sequence in range(first, last):
            kept += await self._keep(meter, sequence)
            self.next_sequences[meter.id] = sequence + 1
        if last < there.records:
            return Progress.MORE
        if self.apart > apart or any(_ends(each) >= boundary_s for each in kept):
            return Progress.DONE
        return Progress.NOT_YET

    async def _begin_at_proven(self, meter: str, records: int) -> None:
        """Go back to just past the newest verified record when what follows it proves nothing.

        That is so after a failure, beyond the meter's head, and when the spool lost a record.
        """
        proven = (await self._spool.meter(meter)).next_sequence
        if self._proven.get(meter) != proven or self.next_sequences[meter] > records:
            self.next_sequences[meter] = proven
        self._proven[meter] = proven

    def _first(self, meter: SigningMeter, there: window.Window) -> int:
        wanted = self.next_sequences[meter.id]
        if wanted > there.records:
            self.forget(meter.id)
            raise window.WrongMeter(
                f"meter {meter.id} has {there.records} records, and {wanted} were fetched before"
            )
        if NEVER < wanted < there.tail:
            _log.error("records lost by the meter", meter=meter.id, first=wanted, next=there.tail)
        return max(wanted, there.tail)

    async def _keep(self, meter: SigningMeter, sequence: int) -> list[SignedReading]:
        """Bring one record into the spool, or keep it apart."""
        for attempt in range(_FETCH_TRIES):
            try:
                record = await window.fetch(self._ask, meter, sequence)
            except window.NotThere as reason:
                self._misses[meter.id, sequence] += 1
                if self._misses[meter.id, sequence] < MISSES:
                    raise
                await self._keep_apart(meter, sequence, b"", str(reason))
                return []
            except window.BadRecord as reason:
                if attempt + 1 == _FETCH_TRIES:
                    await self._keep_apart(meter, sequence, reason.content, str(reason))
            else:
                now_ms = self._clock.now_ms()
                await self._spool.keep_records(meter.id, [record], sequence + 1, now_ms)
                self._proven[meter.id] = sequence + 1
                self._misses.pop((meter.id, sequence), None)
                return [record]
        return []

    async def _keep_apart(
        self, meter: SigningMeter, sequence: int, content: bytes, reason: str
    ) -> None:
        self.apart += 1
        _log.error("record kept apart", meter=meter.id, reason=reason)
        now_ms = self._clock.now_ms()
        await self._spool.keep_apart(meter.id, sequence, content, reason, now_ms)


def _ends(record: SignedReading) -> int:
    return record.reading.interval_start_s + record.reading.interval_s
