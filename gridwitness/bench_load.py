"""Readings for measuring: ten streets of a hundred meters that sign, in balance.

Made with keys in memory and accepted by every rule, so that what is measured is the work of an
ordinary day: signatures, rules, a seal for each street and interval, credits.
"""

from dataclasses import dataclass
from typing import Any, Self

from wire.genesis import Genesis
from wire.keys import ES256, SoftSigner
from wire.reading import ClockEvidence, Reading, SignedReading, sign_reading
from wire.witness import (
    Batch,
    SignedWitness,
    WitnessPosition,
    WitnessStatement,
    readings_root,
    sign_statement,
)

INTERVAL_S = 900
SITE = (187_883_000, 989_853_000)
COS_PPM = 946_713
STREETS = 10
HOUSES = 99
METERS = STREETS * (HOUSES + 1)
HOUSE_WH = 100
OPERATOR = "PEA"


@dataclass(frozen=True)
class Load:
    """Signed readings, in the order in which they are offered, and their meters."""

    gateway: str
    """Who reads them."""

    readings: tuple[bytes, ...]
    """Signed, interval by interval, within one by meter."""

    meters: tuple[dict[str, Any], ...]
    """Registry entries."""

    zones: tuple[dict[str, Any], ...]
    """Registry entries."""

    @classmethod
    def make(cls, gateway: str, intervals: int, end_s: int) -> Self:
        """Sign that many intervals of every meter, the last of which ends at `end_s`."""
        keys = {name: SoftSigner.generate(ES256) for name in _names()}
        previous = dict.fromkeys(keys, bytes(32))
        readings = []
        for sequence in range(intervals):
            start_s = end_s - (intervals - sequence) * INTERVAL_S
            for name, key in keys.items():
                readings.append(
                    sign_reading(_reading(name, sequence, start_s, previous[name]), key)
                )
                previous[name] = SignedReading.open(readings[-1]).sig_hash
        meters = tuple(_meter(name, gateway, key) for name, key in keys.items())
        return cls(gateway, tuple(readings), meters, tuple(map(_zone, range(STREETS))))

    def batch(
        self, genesis: Genesis, signer: Any, sequence: int, readings: tuple[bytes, ...], at_s: int
    ) -> Batch:
        """A batch of these, witnessed by `signer` at that time."""
        statement = WitnessStatement(
            gateway=self.gateway,
            network=genesis.topic_name,
            witnessed_at_s=at_s,
            sequence=sequence,
            tree_size=len(readings),
            previous=bytes(32),
            position=WitnessPosition(*SITE, 50, 0, 0),
            clock_quality=2,
            clock_error_ms=10,
            root=readings_root(readings),
        )
        return Batch.join(SignedWitness.open(sign_statement(statement, signer)), readings)


def _names() -> list[str]:
    """Each street's boundary meter, then its houses."""
    return [f"z{street}-{house:02}" for street in range(STREETS) for house in range(HOUSES + 1)]


def _is_boundary(name: str) -> bool:
    return name.endswith("-00")


def _reading(name: str, sequence: int, start_s: int, previous: bytes) -> Reading:
    advance_wh = HOUSES * HOUSE_WH if _is_boundary(name) else HOUSE_WH
    return Reading(
        meter=name,
        node=f"bus-{name[1:]}",
        interval_start_s=start_s,
        interval_s=INTERVAL_S,
        import_wh=1_000_000 + advance_wh * (sequence + 1),
        export_wh=0,
        import_advance_wh=advance_wh,
        export_advance_wh=0,
        sequence=sequence,
        boots=1,
        operating_s=(sequence + 1) * INTERVAL_S,
        status=1 << 19,
        clock=ClockEvidence(2, 1, 0, 1),
        previous=previous,
        software_id=bytes(4),
        configuration_id=bytes(8),
        events=0,
        origin=0,
    )


def _meter(name: str, gateway: str, key: SoftSigner) -> dict[str, Any]:
    boundary = _is_boundary(name)
    return {
        "id": name,
        "node": f"bus-{name[1:]}",
        "zone": name.partition("-")[0],
        "role": "boundary" if boundary else "customer",
        "key": key.public.text,
        "reader": gateway,
        "configuration_id": "00" * 8,
        "software": "",
        "class_ppm": [[0, 10_000]],
        "register_wh": 1,
        "rating_w": 200_000 if boundary else 15_000,
        "installed_w": 0,
        "phases": 3,
        "site": list(SITE),
        "radius_m": 500,
        "dead_wh": 0,
        "ct_ppm": 0,
    }


def _zone(street: int) -> dict[str, Any]:
    """A street: its houses hang on a line from the boundary meter's bus."""
    root = f"bus-{street}-00"
    ends = [f"bus-{street}-{house:02}" for house in range(1, HOUSES + 1)]
    branches = [
        {"id": f"to-{end}", "from": root, "to": end, "rho": 100_000, "kappa": 2} for end in ends
    ]
    return {
        "id": f"z{street}",
        "parent": "",
        "operator": OPERATOR,
        "p0_mw": 0,
        "root": root,
        "branches": branches,
    }
