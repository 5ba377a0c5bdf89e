"""Energy in the text of an IEC 62056-21 readout: lines by OBIS code, values to watt-hours.

Decides which lines of a telegram are a meter's import and export, and how their text is laid into
the registers that the rest of the gateway knows: 64 octets each, padded with zeros, so that a
reading carries the lines as they were sent. Where the text comes from is for `lines.readout`.

A line is `A-B:C.D.E*F(value*unit)`, of which medium and channel (A-B), F and the unit may be
missing (IEC 62056-61 and 62056-21, section 6.6; OBIS 1.8.0 is import, 2.8.0 export, E = 0 the
total of all tariffs).
"""

import re
from fractions import Fraction

from gateway.lines.frames import Garbled

TEXT_OCTETS = 64
"""Room for the lines of one direction."""

_LINE = re.compile(
    rb"(?:1-[0-9]:)?(?P<code>[12]\.8\.[0-4])(?:\*255)?"
    rb"\((?P<value>[0-9]{1,12}(?:\.[0-9]{1,6})?)(?:\*(?P<unit>[kM]?Wh)?)?\)"
)
_CODE = re.compile(rb"(?P<channel>1-[0-9]:)?[12]\.8\.[0-4](?:\*255)?\(")
_NAME = re.compile(
    rb"(?:[01]-0:)?(?:0\.0\.0|96\.1\.[0-9]|C\.1(?:\.[0-9])?)(?:\*255)?\((?P<name>[^()*]{1,40})\)"
)
"""Where meters say their number: 0.0.0, 96.1.x, and C.1 of older ones."""

_UNITS_WH = {None: 1_000, b"": 1_000, b"Wh": 1, b"kWh": 1_000, b"MWh": 1_000_000}
"""A line without a unit is kWh: Hager and ACE meters leave it away."""


def energy_lines(data: bytes) -> tuple[bytes, bytes]:
    """The import and the export lines of a telegram's data, without line ends.

    The total when there is one, else the tariffs' registers, whose sum it is. History (`*1`) and
    other channels are no registers of now and are left out: 1-0 is taken before others.

    Raises:
        Garbled: an energy's line cannot be read, or two of them differ.
    """
    found: dict[bytes, bytes] = {}
    lines = [line.strip() for line in data.splitlines()]
    channels = {match["channel"] for line in lines if (match := _CODE.match(line))}
    ours = next((each for each in (b"1-0:", None) if each in channels), None)
    if ours is None and None not in channels and channels:
        if len(channels) > 1:
            raise Garbled("a readout with energies of several channels, none of them 1-0")
        (ours,) = channels
    for line in lines:
        code = _CODE.match(line)
        if code is None or code["channel"] != ours:
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise Garbled("a readout with an energy line that cannot be read")
        if found.setdefault(match["code"], line) != line:
            raise Garbled("a readout with two values for one energy")
    return _direction(found, b"1.8."), _direction(found, b"2.8.")


def _direction(found: dict[bytes, bytes], code: bytes) -> bytes:
    if code + b"0" in found:
        return found[code + b"0"]
    return b"\n".join(found[each] for each in sorted(found) if each.startswith(code))


def numbers_in(data: bytes) -> set[str]:
    """The numbers by which a meter calls itself; empty when it says none."""
    found = (_NAME.fullmatch(line.strip()) for line in data.splitlines())
    return {match["name"].decode("ascii", "replace").strip() for match in found if match}


def lay_out(lines: tuple[bytes, bytes]) -> bytes | None:
    """Both directions as registers' octets; None when the lines do not fit."""
    if any(len(each) > TEXT_OCTETS for each in lines):
        return None
    return b"".join(each.ljust(TEXT_OCTETS, b"\0") for each in lines)


def energy_of(octets: bytes) -> Fraction | None:
    """The energy that one direction's octets say, Wh; None when it is no such text.

    No line at all is 0: a meter that has no register of that direction.
    """
    text = octets.rstrip(b"\0")
    energy_wh = Fraction(0)
    for line in text.split(b"\n") if text else ():
        match = _LINE.fullmatch(line)
        if match is None:
            return None
        energy_wh += Fraction(match["value"].decode()) * _UNITS_WH[match["unit"]]
    return energy_wh
