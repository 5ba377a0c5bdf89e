"""What simulated meters are told: one JSON file, checked whole before a port is opened.

`{"pace": file, "day": file, "register_wh": 10, "faults": file or null,
"tcp": [{"port": n, "units": {"1": meter id}}], "rtu": [{"link": file, "units": {...}}]}`

Decides what is a configuration; `hwsim.meters` serves it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwsim.vendors.eastron import RESOLUTION_WH
from wire.errors import Malformed

REQUIRED = frozenset({"pace", "day"})
KEYS = REQUIRED | {"register_wh", "faults", "tcp", "rtu"}
UNITS = range(1, 248)
PORTS = range(65_536)


@dataclass(frozen=True, slots=True)
class LineConfig:
    """One line and who answers on it."""

    where: int | Path
    """TCP port, or the link to make for a serial line."""

    units: Mapping[int, str]
    """Meter id by unit, 1 to 247."""


@dataclass(frozen=True, slots=True)
class MetersConfig:
    """All lines of one process."""

    pace: Path
    """Pace file: network time."""

    day: Path
    """The feeder's day, as `FeederDay.save` writes it."""

    register_wh: int
    """Step of the energy registers, Wh."""

    faults: Path | None
    """File that switches faults while it runs; need not exist."""

    lines: tuple[LineConfig, ...]
    """TCP ports first."""


def load(path: Path) -> MetersConfig:
    """Read a configuration.

    Raises:
        Malformed: says what is wrong with it.
    """
    try:
        return _config(json.loads(path.read_text()))
    except (AttributeError, KeyError, TypeError, ValueError) as reason:
        raise Malformed(f"the meters' configuration cannot be read: {reason!r}") from None


def _config(content: Any) -> MetersConfig:
    missing, unknown = sorted(REQUIRED - content.keys()), sorted(content.keys() - KEYS)
    if missing:
        raise Malformed(f"the meters' configuration does not name: {', '.join(missing)}")
    if unknown:
        raise Malformed(f"the meters' configuration has unknown keys: {', '.join(unknown)}")
    tcp = [LineConfig(_port(each["port"]), _units(each)) for each in content.get("tcp", ())]
    rtu = [LineConfig(Path(each["link"]), _units(each)) for each in content.get("rtu", ())]
    step_wh = content.get("register_wh", RESOLUTION_WH)
    if not isinstance(step_wh, int) or step_wh < 1:
        raise Malformed(f"register_wh is a whole number of Wh above 0, not {step_wh!r}")
    faults = Path(content["faults"]) if content.get("faults") else None
    return MetersConfig(Path(content["pace"]), Path(content["day"]), step_wh, faults, (*tcp, *rtu))


def _port(number: Any) -> int:
    if not isinstance(number, int) or number not in PORTS:
        raise Malformed(f"{number!r} is no TCP port")
    return number


def _units(line: Mapping[str, Any]) -> dict[int, str]:
    units = {int(unit): str(meter) for unit, meter in line["units"].items()}
    outside = sorted(unit for unit in units if unit not in UNITS)
    if outside:
        raise Malformed(f"a Modbus unit is 1 to 247, not {outside[0]}")
    return units
