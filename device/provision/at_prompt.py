"""A meter made at its prompt, without being started: what it signs is fetched and verified.

The same parts as in a start are put together in the session that is open, so that a locked meter
has to be reached only once; it measures and signs as always, and its line waits. Decides that
nothing counts that the key of this meter did not sign in order. Leaves why it is asked to the
steps and commands, and what bits mean to `standing`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from device.provision import faults
from device.provision.console import Console
from device.provision.standing import Standing, bits_of, standing
from wire.errors import Refused
from wire.event import ACKNOWLEDGED, SNAPSHOT, SignedEvent, verify_chain
from wire.keys import PublicKey
from wire.reading import SignedReading

MOST_TECHNICIAN = 24
"""Characters of a technician's id in an event (`meter.notes`)."""

SIGN_LIMIT_S = 30.0
"""Eight events at the slowest board's half second each, many times over."""

MOST_LOOKED_AT = 256
"""Events that are gone through for what set a bit."""

_BATCH = 8


def check_technician(name: str) -> None:
    """Raises a Fault when an event has no room for the name, or it does not print."""
    if len(name) > MOST_TECHNICIAN or not name.isprintable():
        what = f"--technician has at most {MOST_TECHNICIAN} characters that print"
        raise faults.BAD_ARGUMENT.fault(what=what)


_REGISTERS = 2**32
_BEGIN = """
from meter import start
it = start.make_meter(*start.look_around())
print(0)
"""
_STEP = """
import time
began = time.ticks_ms()
while (it.wants or %r) and time.ticks_diff(time.ticks_ms(), began) < %d:
    it.step()
print((it.wants, it.records.head, it.events.tail, it.events.head, it.status()))
"""
_READ = "print([it.%s.read(number) for number in range(%d, %d)])"
_ACKNOWLEDGE = """
from meter import notes
notes.acknowledge(%r)
notes.hand_over(it)
print(0)
"""
_SNAPSHOT = """
print((it.snapshot(), it.map.read(40116, 2), it.map.read(40108, 2)))
"""
_SLICE_MS = 250
_LOOK_MS = 700  # Covers are looked at every 500 ms.


@dataclass(frozen=True, slots=True)
class Proof:
    """What a meter signed when it was commissioned."""

    snapshot: SignedEvent
    """Its registers as they stood."""

    record: SignedReading | None
    """Its newest record; None when no interval has ended yet."""

    acknowledged: SignedEvent | None = None
    """That the technician saw to what stood; None when nothing stood."""

    stood: tuple[Standing, ...] = ()
    """What was acknowledged."""

    left: tuple[Standing, ...] = ()
    """What stands again."""

    @property
    def registers_wh(self) -> tuple[int, int]:
        """Import and export register of the snapshot."""
        import_wh, export_wh = self.snapshot.event.details
        return int(import_wh), int(export_wh)

    def verify(self, public: PublicKey) -> None:
        """Check all signatures; raises BadSignature."""
        for signed in (self.snapshot, self.record, self.acknowledged):
            if signed is not None:
                signed.verify(public)

    @property
    def words(self) -> str:
        """For the line of a step."""
        if self.record is None:
            return "snapshot verified, no record yet"
        return f"snapshot and record {self.record.reading.sequence} verified"


class AtPrompt:
    """The meter of a board whose session is open. It ends with the session's next reset."""

    def __init__(self, console: Console, meter: str, public: PublicKey) -> None:
        """Put the meter together and let it sign what waits; raises a Fault.

        Args:
            console: at the raw prompt.
            meter: the id that it must have.
            public: its key.
        """
        self._console, self._meter, self._public = console, meter, public
        console.fresh()
        try:
            console.ask(_BEGIN)
        except faults.RefusedFault as reason:
            raise faults.DOES_NOT_RUN.fault(why=reason.values["words"]) from None
        self._records = self._tail = self._head = self._status = 0
        self.settle()

    def settle(self) -> None:
        """Let it sign all that waits; raises a Fault when it does not."""
        if not self._step_until(lambda waits: not waits, SIGN_LIMIT_S, always=False):
            raise faults.NOT_PROVED.fault(why=f"it signs nothing within {SIGN_LIMIT_S:.0f} s")

    def standing(self) -> tuple[Standing, ...]:
        """What stands, and since when."""
        if not bits_of(self._status):
            return ()
        known: list[SignedEvent] = []
        while True:
            newest_first = [each.event for each in reversed(known)]
            found = standing(self._status, newest_first)
            first = self._head - len(known)
            oldest = max(self._tail, self._head - MOST_LOOKED_AT)
            if first <= oldest or all(each.settled for each in found):
                return found
            known = [*self._events(max(oldest, first - _BATCH), first), *known]
            self._check(known)

    def acknowledge(self, technician: str) -> SignedEvent:
        """Have the meter sign that this technician acknowledges what stands; raises a Fault."""
        before, bits = self._head, bits_of(self._status)
        self._console.ask(_ACKNOWLEDGE % technician[:MOST_TECHNICIAN])
        self._step(_LOOK_MS, always=True)
        self.settle()
        for signed in self._new(before):
            if signed.event.kind == ACKNOWLEDGED:
                return signed
        why = "it has signed no such event"
        if bits == [13]:
            why = "its configuration is not the one that was signed"
        raise faults.NOT_ACKNOWLEDGED.fault(why=why)

    def snapshot(self) -> SignedEvent:
        """Have the meter sign its registers, and see that they are those that it shows."""
        before = self._head
        taken, *shown = self._console.ask(_SNAPSHOT)
        if not taken:
            raise faults.NOT_PROVED.fault(why="it takes no snapshot")
        self.settle()
        for signed in self._new(before):
            if signed.event.kind == SNAPSHOT:
                registers = [int.from_bytes(data, "big") for data in shown]
                if [int(each) % _REGISTERS for each in signed.event.details] != registers:
                    raise faults.NOT_PROVED.fault(why="its snapshot has other registers")
                return signed
        raise faults.NOT_PROVED.fault(why="there is no such event")

    def newest_record(self, wait_s: float) -> SignedReading | None:
        """The newest record, for which an empty log is given so long; raises a Fault."""
        self._step_until(lambda _: self._records > 0, wait_s, always=True)
        if not self._records:
            return None
        last = self._records - 1
        (data,) = self._console.ask(_READ % ("records", last, last + 1))
        try:
            signed = SignedReading.open(data or b"")
            signed.verify(self._public)
        except Refused as reason:
            raise faults.NOT_PROVED.fault(why=f"record {last}: {reason}") from None
        if (signed.reading.meter, signed.reading.sequence) != (self._meter, last):
            raise faults.NOT_PROVED.fault(why=f"record {last} is another's")
        return signed

    # How it is stepped and read.

    def _step(self, limit_ms: int, always: bool = False) -> bool:
        """Let it work so long, or until nothing waits; whether something still waits."""
        found = self._console.ask(_STEP % (always, limit_ms))
        waits, self._records, self._tail, self._head, self._status = found
        return bool(waits)

    def _step_until(self, done: Callable[[bool], bool], limit_s: float, always: bool) -> bool:
        """Let it work until something is so; False when it was not so in time."""
        deadline = time.monotonic() + limit_s
        while not done(self._step(_SLICE_MS, always)):
            if time.monotonic() > deadline:
                return False
        return True

    def _events(self, first: int, end: int) -> list[SignedEvent]:
        try:
            return [
                SignedEvent.open(data or b"")
                for at in range(first, end, _BATCH)
                for data in self._console.ask(_READ % ("events", at, min(at + _BATCH, end)))
            ]
        except Refused as reason:
            raise faults.NOT_PROVED.fault(why=f"its event log: {reason}") from None

    def _new(self, before: int) -> list[SignedEvent]:
        """The events since there were so many, with the one before them, verified."""
        found = self._events(max(self._tail, before - 1), self._head)
        self._check(found)
        return [each for each in found if each.event.number >= before]

    def _check(self, found: list[SignedEvent]) -> None:
        try:
            verify_chain(found, self._public)
        except Refused as reason:
            raise faults.NOT_PROVED.fault(why=f"its event log: {reason}") from None
        if any(each.event.meter != self._meter for each in found):
            raise faults.NOT_PROVED.fault(why="its event log is another meter's")


def prove(console: Console, meter: str, public: PublicKey, technician: str, wait_s: float) -> Proof:
    """What ends a commissioning: acknowledge what stands, then show and sign the registers."""
    made = AtPrompt(console, meter, public)
    stood = made.standing()
    acknowledged = made.acknowledge(technician) if stood else None
    left = made.standing() if stood else ()
    return Proof(made.snapshot(), made.newest_record(wait_s), acknowledged, stood, left)
