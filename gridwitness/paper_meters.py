"""Meters and gateways that exist on paper: keys in memory, readings that every rule accepts.

For measuring and for simulated networks; what they sign goes through the real validators.
"""

from dataclasses import dataclass
from typing import Any

from wire.keys import Signer, SoftSigner
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


@dataclass
class PaperMeter:
    """One meter that signs."""

    name: str
    """Meter id."""

    node: str
    """Grid node."""

    key: SoftSigner
    """Its key."""

    begin_s: int
    """Start of its first interval, Unix seconds."""

    import_wh: int = 1_000
    """Its counter."""

    previous: bytes = bytes(32)
    """Hash of the last signed reading."""

    def read(self, sequence: int, advance_wh: int) -> bytes:
        """Sign the reading of an interval; they are read in order."""
        self.import_wh += advance_wh
        reading = Reading(
            meter=self.name,
            node=self.node,
            interval_start_s=self.begin_s + sequence * INTERVAL_S,
            interval_s=INTERVAL_S,
            import_wh=self.import_wh,
            export_wh=0,
            import_advance_wh=advance_wh,
            export_advance_wh=0,
            sequence=sequence,
            boots=1,
            operating_s=(sequence + 1) * INTERVAL_S,
            status=1 << 19,
            clock=ClockEvidence(2, 1, 0, 1),
            previous=self.previous,
            software_id=bytes(4),
            configuration_id=bytes(8),
            events=0,
            origin=0,
        )
        signed = sign_reading(reading, self.key)
        self.previous = SignedReading.open(signed).sig_hash
        return signed

    def entry(self, zone: str, reader: str, role: str = "customer") -> dict[str, Any]:
        """Its entry in the registry."""
        return {
            "id": self.name,
            "node": self.node,
            "zone": zone,
            "role": role,
            "key": self.key.public.text,
            "reader": reader,
            "configuration_id": "00" * 8,
            "software": "",
            "class_ppm": [[0, 10_000]],
            "register_wh": 1,
            "rating_w": 15_000 if role == "customer" else 200_000,
            "installed_w": 0,
            "phases": 3,
            "site": list(SITE),
            "radius_m": 500,
            "dead_wh": 0,
            "ct_ppm": 0,
        }


@dataclass(frozen=True, slots=True)
class Witnessing:
    """When and as which batch readings are witnessed."""

    gateway: str
    """Gateway id."""

    network: str
    """The network's name for topics."""

    sequence: int
    """Batch sequence."""

    at_s: int
    """Witness time, Unix seconds."""

    def of(self, readings: tuple[bytes, ...], key: Signer) -> Batch:
        """The batch of these readings."""
        statement = WitnessStatement(
            gateway=self.gateway,
            network=self.network,
            witnessed_at_s=self.at_s,
            sequence=self.sequence,
            tree_size=len(readings),
            previous=bytes(32),
            position=WitnessPosition(*SITE, 50, 0, 0),
            clock_quality=2,
            clock_error_ms=10,
            root=readings_root(readings),
        )
        return Batch.join(SignedWitness.open(sign_statement(statement, key)), readings)
