"""Which field of a signed record is false, when it contradicts its neighbours.

Decides by the rules alone, for meters that sign what is false: the field is named whose exchange
for another value lets the record stand between both neighbours, with nothing left to contradict.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Any, NamedTuple

from wire.errors import Malformed
from wire.forensics import Rebuild
from wire.guesses import Around, Content, content_of, fields_of, implied
from wire.reading import Reading
from wire.record_rules import Clash, Registered, Step, alone, between

_CHAIN = 15
_MOST_VALUES = 64  # Of one field.


class Explained(NamedTuple):
    """One false field that explains everything."""

    field: int
    """Its number."""

    value: Any
    """What lets the record stand."""

    step: Step
    """The record with that value; its hash is still that of what was signed."""


def clashes_of(registered: Registered, before: Step | None, step: Step) -> list[Clash]:
    """Everything that a record contradicts: itself, the registry, the record before it."""
    clashes = list(alone(step.reading, registered))
    if before is not None:
        clashes += between(before, step)
    return clashes


def explained(
    registered: Registered,
    before: Step | None,
    step: Step,
    after: Step | None,
    accused: Iterable[int],
) -> Explained | None:
    """The one field of `step` that, exchanged, lets it stand; those accused are tried first."""
    content = content_step(step)
    around = around_step(registered, before, after, accused)
    build = Rebuild(content)
    for number in fields_of(content, around):
        if number in (1, _CHAIN):
            continue
        for value in islice(implied(number, content, around), _MOST_VALUES):
            reading = reading_of(build({number: value}))
            if reading is None:
                continue
            repaired = step._replace(reading=reading)
            if _stands(registered, before, repaired, after):
                return Explained(number, value, repaired)
    return None


def _stands(registered: Registered, before: Step | None, step: Step, after: Step | None) -> bool:
    clashes = clashes_of(registered, before, step)
    if after is not None:
        clashes += between(step, after)
    return all(clash.field == _CHAIN for clash in clashes)


def around_step(
    registered: Registered,
    before: Step | None,
    after: Step | None,
    accused: Iterable[int] = (),
) -> Around:
    """What neighbours and registry say, for guessing."""
    return Around(
        content_step(before),
        content_step(after),
        registered.fields,
        previous_hash=before.sig_hash if before is not None else None,
        accused=tuple(accused),
    )


def content_step(step: Step | None) -> Content:
    """A record's payload as a map; empty when there is no record."""
    return (content_of(step.reading.payload()) or {}) if step is not None else {}


def reading_of(payload: bytes | None) -> Reading | None:
    """A payload's reading; None when it is none."""
    if payload is None:
        return None
    try:
        return Reading.from_payload(payload)
    except Malformed:
        return None
