"""A feeder's day: which meters hang on which lines, and what each register counts.

Decides the shape that simulators and the demo share, and one small feeder in pure Python whose
losses follow Ohm's law. Days of benchmark grids come from `hwsim.simbench_day`. Everything is
integer Wh at interval boundaries; between two boundaries energy flows evenly.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from wire.errors import Malformed

INTERVAL_S = 900
INTERVALS = 96
DAY_START_S = 1_751_328_000
"""2025-07-01 00:00:00 UTC."""

LINE_VOLTS = 400
CLASS_1_PPM = [[0, 15_000], [50, 10_000]]
CLASS_05_PPM = [[0, 10_000], [50, 5_000]]
CURRENT_TRANSFORMER_PPM = 5_000
SITE_RADIUS_M = 500
EASTRON_REGISTER_WH = 10


@dataclass(frozen=True, slots=True)
class FeederMeter:
    """A meter of the feeder and its registers."""

    id: str
    """Meter id, 1 to 20 characters."""

    node: str
    """Where it hangs."""

    role: str
    """boundary, customer or source."""

    rating_w: int
    """Service rating."""

    installed_w: int
    """Installed generation, 0 when none."""

    phases: int
    """1 or 3."""

    lat_e7: int
    """Latitude, 1e-7 degrees."""

    lon_e7: int
    """Longitude, 1e-7 degrees."""

    import_wh: tuple[int, ...]
    """Import register at each boundary, one more than there are intervals."""

    export_wh: tuple[int, ...]
    """Export register at each boundary."""


@dataclass(frozen=True, slots=True)
class FeederBranch:
    """A line between two nodes."""

    id: str
    """Branch id."""

    from_node: str
    """Upstream end."""

    to_node: str
    """Downstream end."""

    rho: int
    """Loss coefficient R/(V² dt), 1e-12/Wh."""

    kappa: int
    """Most that the shape within an interval multiplies losses by."""

    ampacity_w: int
    """What it carries."""


@dataclass(frozen=True, slots=True)
class FeederDay:
    """One day of one feeder."""

    name: str
    """Which feeder."""

    start_s: int
    """First boundary, Unix seconds."""

    root: str
    """Node of the boundary meter."""

    meters: tuple[FeederMeter, ...]
    """All meters, the boundary meter first."""

    branches: tuple[FeederBranch, ...]
    """A tree from the root."""

    def meter(self, name: str) -> FeederMeter:
        """The meter of an id; raises KeyError."""
        found = next((each for each in self.meters if each.id == name), None)
        if found is None:
            raise KeyError(name)
        return found

    def registers_mwh(self, name: str, network_ms: int) -> tuple[int, int]:
        """Import and export of a meter at a network time, mWh."""
        meter = self.meter(name)
        last = len(meter.import_wh) - 1
        passed_ms = min(max(0, network_ms - self.start_s * 1000), last * INTERVAL_S * 1000)
        index, part = divmod(passed_ms, INTERVAL_S * 1000)
        following = min(index + 1, last)
        values = []
        for register in (meter.import_wh, meter.export_wh):
            before, after = register[index] * 1000, register[following] * 1000
            values.append(before + (after - before) * part // (INTERVAL_S * 1000))
        return values[0], values[1]

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; raises Malformed when it is something else."""
        try:
            return cls._of(json.loads(path.read_text()))
        except (AttributeError, KeyError, TypeError, ValueError) as reason:
            raise Malformed(f"{path} holds no feeder's day: {reason!r}") from None

    @classmethod
    def _of(cls, content: dict[str, Any]) -> Self:
        meters = [
            FeederMeter(
                **{
                    **each,
                    "import_wh": tuple(each["import_wh"]),
                    "export_wh": tuple(each["export_wh"]),
                }
            )
            for each in content.pop("meters")
        ]
        branches = [FeederBranch(**each) for each in content.pop("branches")]
        return cls(**content, meters=tuple(meters), branches=tuple(branches))


def rho(ohms: float, volts: float = LINE_VOLTS) -> int:
    """Loss coefficient of a line for 15-minute energies, 1e-12/Wh: R/(V² dt)."""
    return round(ohms / (volts * volts * INTERVAL_S / 3600) * 1e12)


def write_profile(day: FeederDay, name: str, path: Path) -> None:
    """Write what the firmware's simulated element plays: `unix_s,import_mwh,export_mwh` lines."""
    meter = day.meter(name)
    lines = [
        f"{day.start_s + INTERVAL_S * index},{taken * 1000},{given * 1000}\n"
        for index, (taken, given) in enumerate(zip(meter.import_wh, meter.export_wh, strict=True))
    ]
    path.write_text("".join(lines))


def registry_entries(
    day: FeederDay,
    zone: str,
    operator: str,
    readers: Mapping[str, str],
    keys: Mapping[str, str],
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Genesis entries of a feeder's meters and of its zone.

    Args:
        day: the feeder.
        zone: zone id.
        operator: authority that runs it.
        readers: gateway that reads each meter.
        keys: key text of the meters that sign; the others cannot.
    """
    meters = [
        _meter_entry(each, zone, readers[each.id], keys.get(each.id, "")) for each in day.meters
    ]
    branches = [
        {
            "id": each.id,
            "from": each.from_node,
            "to": each.to_node,
            "rho": each.rho,
            "kappa": each.kappa,
            "ampacity_w": each.ampacity_w,
        }
        for each in day.branches
    ]
    entry = {"id": zone, "parent": "", "operator": operator, "p0_mw": 0}
    return meters, {**entry, "branches": branches, "root": day.root}


def _meter_entry(meter: FeederMeter, zone: str, reader: str, key: str) -> dict[str, Any]:
    boundary = meter.role == "boundary"
    return {
        "id": meter.id,
        "node": meter.node,
        "zone": zone,
        "role": meter.role,
        "key": key,
        "reader": reader,
        "configuration_id": meter.id.encode().hex()[:16].ljust(16, "0"),
        "software": "",
        "class_ppm": CLASS_05_PPM if boundary else CLASS_1_PPM,
        "register_wh": 1 if key else EASTRON_REGISTER_WH,
        "rating_w": meter.rating_w,
        "installed_w": meter.installed_w,
        "phases": meter.phases,
        "site": [meter.lat_e7, meter.lon_e7],
        "radius_m": SITE_RADIUS_M,
        "dead_wh": 0,
        "ct_ppm": CURRENT_TRANSFORMER_PPM if boundary else 0,
    }


def _customer_w(number: int, interval: int) -> float:
    """Load of a customer: a base, a morning and an evening peak, each customer's its own."""
    hour = interval / 4
    morning = math.exp(-(((hour - 7 - number * 0.4) / 1.5) ** 2))
    evening = math.exp(-(((hour - 19 - number * 0.3) / 2.0) ** 2))
    return 250 + 60 * number + 1_800 * morning + 2_900 * evening


def _sun_w(interval: int, peak_w: float) -> float:
    """A clear day's photovoltaic power."""
    return max(0.0, math.sin((interval / 4 - 6) / 12 * math.pi)) * peak_w


def synthetic_day(
    customers: int = 3, intervals: int = INTERVALS, start_s: int = DAY_START_S
) -> FeederDay:
    """A street of customers in a row behind a transformer, the last with a photovoltaic plant.

    Losses are those of the lines' currents at nominal voltage, so they follow the rule's model.
    """
    ohms, peak_w = 0.02, 6_000.0
    count = customers + 1
    nodes = [f"bus-{number}" for number in range(count)]
    flows = [[0.0, 0.0] for _ in range(customers + 2)]
    registers = [[[0], [0]] for _ in range(customers + 2)]
    for interval in range(intervals):
        loads = [_customer_w(number, interval) for number in range(1, count)]
        sun_w = _sun_w(interval, peak_w)
        net = loads[:]
        net[-1] -= sun_w
        lost_w, behind_w = 0.0, 0.0
        for power_w in reversed(net):
            behind_w += power_w
            lost_w += ohms * (behind_w / LINE_VOLTS) ** 2
        powers = [behind_w + lost_w, *loads, -sun_w]
        for flow, register, power_w in zip(flows, registers, powers, strict=True):
            flow[0] += max(0.0, power_w) / 4
            flow[1] += max(0.0, -power_w) / 4
            register[0].append(math.floor(flow[0]))
            register[1].append(math.floor(flow[1]))
    ids = ["boundary", *(f"customer-{number}" for number in range(1, count)), "plant"]
    roles = ["boundary", *["customer"] * customers, "source"]
    places = [*range(count), customers]
    meters = tuple(
        FeederMeter(
            id=name,
            node=nodes[place],
            role=role,
            rating_w=60_000 if role == "boundary" else 15_000,
            installed_w=round(peak_w) if role == "source" else 0,
            phases=3,
            lat_e7=187_883_000 + 1_000 * place,
            lon_e7=989_853_000,
            import_wh=tuple(50_000 + value for value in register[0]),
            export_wh=tuple(20_000 + value for value in register[1]),
        )
        for name, role, place, register in zip(ids, roles, places, registers, strict=True)
    )
    branches = tuple(
        FeederBranch(f"line-{n}", nodes[n - 1], nodes[n], rho(ohms), 2, 100_000)
        for n in range(1, count)
    )
    return FeederDay("synthetic", start_s, nodes[0], meters, branches)
