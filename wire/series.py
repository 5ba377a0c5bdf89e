"""A meter's records, one after the other: what they prove together, and what does not hold.

Decides which record is at fault. One whose signature fails is searched for the field that was
changed (`wire.forensics`); one that is signed and still contradicts its neighbours is blamed for
the one field that explains it (`wire.blame`). Gaps and outages are reported, they are no faults:
what is there stands for itself.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from wire import faults
from wire.blame import (
    around_step,
    clashes_of,
    explained,
    reading_of,
)
from wire.cose import HEADER_KID, Sign1
from wire.errors import Malformed, Refused
from wire.faults import Fault, part_name
from wire.forensics import (
    MOST_BY_SIGNATURE,
    QUICK,
    Rebuild,
    Restored,
    Search,
    hash_in_next,
    loosely,
    signature_of,
)
from wire.guesses import ABSENT, Around, content_of, implied
from wire.history import BrokenFile, Entry, History
from wire.keys import SIGNATURE_SIZE
from wire.reading import Reading, SignedReading
from wire.record_rules import STICKY, ZEROS, Clash, Registered, Step

MOST_FAULTS = 100
"""Faults after which the rest of a file is not looked at."""

_MOST_LISTED = 100
_VAGUE = (21, 22)  # Fields of which neighbours tell only roughly what they should say.
_BY_SIGNATURE = "the meter's signature holds"
_BY_NEXT = "it is the record whose hash the next one carries"


@dataclass
class Findings:
    """What a file of records says, added up over the records that stand."""

    faults: list[Fault] = field(default_factory=list)
    """What does not hold, in order of records."""

    records: int = 0
    """Records that stand, or that were restored."""

    first: Reading | None = None
    """The first of them."""

    last: Reading | None = None
    """The last of them."""

    import_wh: int = 0
    """Sum of import advances."""

    export_wh: int = 0
    """Sum of export advances."""

    duplicates: int = 0
    """Records that stand twice, byte for byte."""

    missing: list[tuple[int, int]] = field(default_factory=list)
    """Sequences that are not in the file: first and last of each run."""

    outages: list[tuple[int, int]] = field(default_factory=list)
    """Times without a record, though no record is missing: from, to (Unix s)."""

    boots: int = 0
    """How often the meter booted between the first record and the last."""

    events: int = 0
    """How many events its event log grew by."""

    status: int = 0
    """All status bits that were seen."""

    cleared: list[tuple[int, int, int]] = field(default_factory=list)
    """Sticky bits that were cleared: which, in the record of what number set, in which not."""

    complete: bool = True
    """False when the file was not read to its end."""

    def count(self, before: Reading | None, reading: Reading, unproved: int) -> None:
        """Add a record; `unproved` ones stood between it and the one before."""
        self.records += 1
        self.first = self.first or reading
        self.last = reading
        self.import_wh += reading.import_advance_wh
        self.export_wh += reading.export_advance_wh
        self.status |= reading.status
        if before is None:
            return
        self.boots += max(reading.boots - before.boots, 0)
        self.events += max(reading.events - before.events, 0)
        cleared = before.status & ~reading.status & STICKY
        if cleared and len(self.cleared) < _MOST_LISTED:
            self.cleared.append((cleared, before.sequence, reading.sequence))
        end_s = before.interval_start_s + before.interval_s
        skipped = reading.sequence - before.sequence - 1
        if skipped > unproved:
            _list(self.missing, (before.sequence + 1, reading.sequence - 1))
        elif not skipped and end_s < reading.interval_start_s:
            _list(self.outages, (end_s, reading.interval_start_s))


@dataclass(frozen=True, slots=True)
class _Item:
    """A record of the file."""

    place: int
    entry: Entry
    signed: SignedReading | None
    """None unless it is a reading whose signature holds."""

    @property
    def sequence(self) -> int | None:
        """As found, whether or not it is a reading."""
        message, _ = loosely(self.entry.encoded)
        content = None if message is None else content_of(message.payload)
        number = None if content is None else content.get(10)
        return number if type(number) is int else None

    @property
    def step(self) -> Step | None:
        return None if self.signed is None else Step(self.signed.reading, self.signed.sig_hash)


@dataclass(frozen=True, slots=True)
class _Stood:
    """A record that stands, or was restored."""

    place: int
    step: Step


def examine(history: History, registered: Registered) -> Findings:
    """Check every record of a file against the key, what is registered, and its neighbours."""
    return _Walk(registered).run(history)


class _Walk:
    """One pass over a file, with what was learnt so far."""

    def __init__(self, registered: Registered) -> None:
        self._registered = registered
        self._search = Search()
        self._found = Findings()
        self._unproved = 0
        self._other_kid = b""
        self._before: _Stood | None = None
        self._second: _Stood | None = None  # The one before that.

    def run(self, history: History) -> Findings:
        items = self._items(history)
        item, after = next(items, None), next(items, None)
        while item is not None and len(self._found.faults) < MOST_FAULTS:
            self._record(item, after)
            item, after = after, next(items, None)
        self._found.complete &= item is None
        self._found.faults.sort(key=lambda fault: fault.place)
        return self._found

    def _items(self, history: History) -> Iterator[_Item]:
        """The file's records, each once: files that were joined may overlap."""
        place, seen = -1, set[bytes]()
        try:
            for place, entry in enumerate(history.entries()):
                digest = hashlib.sha256(entry.encoded).digest()[:16]
                if digest in seen:
                    self._found.duplicates += 1
                    continue
                seen.add(digest)
                yield _Item(place, entry, self._verified(entry))
        except BrokenFile as broken:
            self._found.complete = False
            words = str(broken)
            self._found.faults.append(
                Fault(place=place + 1, sequence=None, part="file", words=words)
            )

    def _verified(self, entry: Entry) -> SignedReading | None:
        opened = entry.opened
        if isinstance(opened, SignedReading):
            try:
                opened.verify(self._registered.key)
            except Refused:
                return None  # `_restore` says why.
            return opened
        return None

    def _record(self, item: _Item, after: _Item | None) -> None:
        signed = item.signed or self._restore(item, after)
        if signed is None:
            self._unproved += 1
            return
        before = _step_of(self._before)
        first_of_boot = before is None or before.reading.boots != signed.reading.boots
        step = self._judge(item, Step(signed.reading, signed.sig_hash, first_of_boot), after)
        self._found.count(None if before is None else before.reading, step.reading, self._unproved)
        self._unproved = 0
        self._second, self._before = self._before, _Stood(item.place, step)

    # --- a signature that fails ---------------------------------------------------------------

    def _restore(self, item: _Item, after: _Item | None) -> SignedReading | None:
        """Name what was changed; return the record as it was signed when that is found."""
        message, unprotected = loosely(item.entry.encoded)
        if message is None:
            self._fault(item, "record", f"it is no record: {item.entry.opened}")
            return None
        if self._is_of_other_key(item, message, after):
            return None
        if unprotected:
            words = "unprotected header: it must be empty, as no signature covers it"
            self._fault(item, "header", words)
        around = self._around(item, after)
        restored = self._searched(item, message, around, after)
        if restored is None:
            self._contradictions(item, message, around)
            return None
        holds = signature_of(self._registered.key)(restored.message)
        for change in restored.changes:
            fault = faults.changed(
                item.place, item.sequence, change, _BY_SIGNATURE if holds else _BY_NEXT
            )
            self._found.faults.append(fault)
        if not holds:
            words = "signature was changed: the next record carries the hash of the bytes it signs"
            self._fault(item, "signature", words)
        return SignedReading.open(restored.message.encoded)

    def _is_of_other_key(self, item: _Item, message: Sign1, after: _Item | None) -> bool:
        """Whether records name another key, rather than one a false one; said for the first."""
        ours, kid = self._registered.key.kid, _kid_of(message)
        if kid in (ours, b""):
            return False
        if kid != self._other_kid:
            following = None if after is None else loosely(after.entry.encoded)[0]
            if following is None or _kid_of(following) != kid:
                return False
            self._other_kid = kid
            words = f"header 4 (key id): from here on signed by key {kid.hex()}, not {ours.hex()}"
            self._fault(item, "header", words, HEADER_KID)
        return True

    def _searched(
        self, item: _Item, message: Sign1, around: Around, after: _Item | None
    ) -> Restored | None:
        key, most = self._registered.key, MOST_BY_SIGNATURE
        following = after.signed if after is not None else None
        if following is not None:
            previous = following.reading.previous
            if previous not in (ZEROS, around.previous_hash):
                restored = self._search.by_hash(message, key, around, hash_in_next(previous))
                if restored is not None:
                    return restored
                if following.reading.sequence - 1 == item.sequence:
                    most = QUICK  # The likely ones again, should the next record be the liar.
        return self._search.by_signature(message, key, around, most)

    def _contradictions(self, item: _Item, message: Sign1, around: Around) -> None:
        """Nothing was proved: say what speaks against the record."""
        opened = item.entry.opened
        words = "signature does not hold, and no single change that was tried explains it"
        if len(message.signature) != SIGNATURE_SIZE:
            words = f"signature has {len(message.signature)} bytes, not {SIGNATURE_SIZE}"
        self._fault(item, "signature", words)
        if isinstance(opened, SignedReading):
            step = Step(opened.reading, opened.sig_hash)
            before = _step_of(self._before)
            for clash in clashes_of(self._registered, before, step):
                fault = faults.false(item.place, opened.reading, clash, signed=False)
                self._found.faults.append(fault)
            content = content_of(message.payload) or {}
            for key in around.before.keys() & around.after.keys() - content.keys():
                words = f"{part_name('payload', key)} is missing: both neighbours carry it"
                self._fault(item, "payload", words, key)
            return
        for key in _unreadable(message, around):
            self._fault(item, "payload", f"{part_name('payload', key)}: {opened}", key)

    # --- a signature that holds ---------------------------------------------------------------

    def _judge(self, item: _Item, step: Step, after: _Item | None) -> Step:
        """Check a record against the one before; return it, its one false field corrected."""
        before = _step_of(self._before)
        clashes = clashes_of(self._registered, before, step)
        for clash in clashes:
            if clash.field == 15:
                self._false(item.place, step, clash)
        others = {clash.field: clash for clash in clashes if clash.field != 15}
        if not others:
            return step
        next_step = after.step if after is not None else None
        cause = explained(self._registered, before, step, next_step, others)
        if cause is not None:
            clash = others.get(cause.field) or next(iter(others.values()))
            if cause.field not in _VAGUE or cause.field not in others:
                clash = Clash(cause.field, faults.value_words(cause.value), clash.words)
            self._false(item.place, step, clash)
            return cause.step
        if not self._blame_before(step, others):
            for clash in others.values():
                self._false(item.place, step, clash)
        return step

    def _blame_before(self, step: Step, accused: Iterable[int]) -> bool:
        """Whether the record before explains it: that stood, but only until this one came."""
        if self._before is None:
            return False
        place, earlier = self._before.place, self._before.step
        cause = explained(self._registered, _step_of(self._second), earlier, step, accused)
        if cause is None:
            return False
        expected = faults.value_words(cause.value)
        words = f"record {step.reading.sequence} says otherwise"
        self._false(place, earlier, Clash(cause.field, expected, words))
        return True

    def _false(self, place: int, step: Step, clash: Clash) -> None:
        self._found.faults.append(faults.false(place, step.reading, clash, signed=True))

    def _fault(self, item: _Item, part: str, words: str, key: Any = None) -> None:
        fault = Fault(place=item.place, sequence=item.sequence, part=part, key=key, words=words)
        self._found.faults.append(fault)

    def _around(self, item: _Item, after: _Item | None) -> Around:
        """What is known about a record whose signature fails."""
        before, opened = _step_of(self._before), item.entry.opened
        accused: list[int] = []
        if isinstance(opened, SignedReading):
            step = Step(opened.reading, opened.sig_hash)
            accused = [clash.field for clash in clashes_of(self._registered, before, step)]
        after_step = after.step if after is not None else None
        return around_step(self._registered, before, after_step, accused)


def _step_of(stood: _Stood | None) -> Step | None:
    return None if stood is None else stood.step


def _list(found: list[tuple[int, int]], entry: tuple[int, int]) -> None:
    if len(found) < _MOST_LISTED:
        found.append(entry)


def _kid_of(message: Sign1) -> bytes:
    """The key that a record names; nothing when it names none."""
    try:
        return message.kid
    except Malformed:
        return b""


def _unreadable(message: Sign1, around: Around) -> Iterator[Any]:
    """Fields whose values no reading can have: with another value it is one."""
    content = content_of(message.payload)
    if content is None:
        return
    build = Rebuild(content)
    for number in [*range(1, 23), *(key for key in content if key not in range(1, 23))]:
        for value in (*implied(number, content, around), ABSENT):
            if reading_of(build({number: value})) is not None:
                yield number
                break
