"""Who is on a bus: every address is asked, and who answers is held against all templates.

Decides that any answer, an exception too, shows that somebody is there; that garbled answers are
told, because two devices with one address sound like that; and which line settings are tried when
the line's own are in doubt. Asks only reads, each waiting its turn on a live bus.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from gateway.config import BusConfig
from gateway.lines.frames import READ_HOLDING, DeviceRefused, Garbled, Request
from gateway.lines.line import NoAnswer
from gateway.lines.readout_line import line_for
from gateway.meters.energy import Ask
from gateway.meters.template import Template
from gateway.polling.probing import Probe, identify, signing_id
from wire.errors import Unavailable

SETTINGS = (
    (9_600, "none", 1),
    (9_600, "even", 1),
    (19_200, "even", 1),
    (19_200, "none", 1),
    (2_400, "none", 1),
    (38_400, "none", 1),
    (38_400, "even", 1),
    (4_800, "none", 1),
    (1_200, "none", 1),
    (115_200, "none", 1),
)
"""Baud rate, parity and stop bits, what meters leave the factory with first."""

_SILENCE_MS = 60
"""Nobody is known yet; Eastron meters want the most."""

Progress = Callable[[str], None]
"""Told in words how far the work is."""


@dataclass(frozen=True, slots=True)
class Found:
    """Somebody on the bus."""

    unit: int
    """Address."""

    garbled: bool
    """It answers, and not in whole frames."""

    signing: str
    """Id of a meter that signs its readings; empty for all others."""

    probes: tuple[Probe, ...]
    """Templates that fit; empty when none does."""


def units_of(text: str) -> list[int]:
    """Addresses written as `1-247` or `1,5,10-12`; raises ValueError."""
    units: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f"units are written as 1-247 or 1,5,10-12, not {text!r}")
        units |= set(range(int(first), int(last or first) + 1))
    if not units or min(units) < 1 or max(units) > 247:
        raise ValueError(f"units can be 1 to 247, not {text}")
    return sorted(units)


async def scan(
    ask: Ask, units: Iterable[int], templates: Sequence[Template], progress: Progress
) -> list[Found]:
    """Ask every address; raises Unavailable when the line cannot be used."""
    found: list[Found] = []
    wanted = list(units)
    for number, unit in enumerate(wanted, 1):
        progress(f"unit {unit}, {number} of {len(wanted)}: {len(found)} found")
        if (there := await look(ask, unit, templates)) is not None:
            found.append(there)
    return found


async def look(ask: Ask, unit: int, templates: Sequence[Template]) -> Found | None:
    """Who is at an address; None when nobody answers."""
    try:
        if not await answers(ask, unit):
            return None
        signing = await signing_id(ask, unit)
        probes = () if signing else tuple(await identify(ask, unit, templates))
    except Garbled:
        return Found(unit, True, "", ())
    return Found(unit, False, signing, probes)


async def answers(ask: Ask, unit: int) -> bool:
    """Whether somebody is at an address; raises Garbled when it sounds broken."""
    try:
        await ask(Request(unit, READ_HOLDING, 0, 2), _SILENCE_MS)
    except DeviceRefused:
        return True
    except NoAnswer:
        return False
    return True


async def settings_with_answers(
    bus: BusConfig, units: Sequence[int], progress: Progress
) -> list[tuple[BusConfig, list[int]]]:
    """Try the usual line settings on a port of our own; return those with answers.

    Garbage is no answer here: wrong settings sound like that. Raises Unavailable when the port can
    do none of them.
    """
    found = []
    refused: list[Unavailable] = []
    for baudrate, parity, stopbits in SETTINGS:
        tried = replace(bus, baudrate=baudrate, parity=parity, stopbits=stopbits)
        line = line_for(tried)
        there: list[int] = []
        try:
            for unit in units:
                progress(f"{settings_words(tried)}, unit {unit}: {len(there)} found")
                there += [unit] if await _heard(line.ask, unit) else []
        except Unavailable as reason:
            refused.append(reason)
        finally:
            line.close()
        if there:
            found.append((tried, there))
    if len(refused) == len(SETTINGS):
        raise refused[0]
    return found


async def _heard(ask: Ask, unit: int) -> bool:
    try:
        return await answers(ask, unit)
    except Garbled:
        return False


def settings_words(bus: BusConfig) -> str:
    """A line's settings as people write them: `9600 8N1`."""
    return f"{bus.baudrate} 8{bus.parity[0].upper()}{bus.stopbits}"
