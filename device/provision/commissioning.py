"""Makes a commissioning record: what the technician gave, the board's signature, the technician's.

Decides where in the configuration the facts of the visit stand (`commissioning`), and that nothing
is stored before both signatures verify over the very content that was asked for. Leaves asking the
board for its signature to the session, and the record's shape to `wire.commissioning`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wire.commissioning import CommissioningRecord, check_content, unsigned
from wire.cose import Sign
from wire.errors import Malformed
from wire.keys import ES256, PublicKey, Signer


@dataclass(frozen=True, slots=True, kw_only=True)
class OldMeter:
    """The meter that hung there before, and what it showed last."""

    id: str
    """As on its nameplate."""

    import_wh: int
    """Its import register, Wh."""

    export_wh: int = 0
    """Its export register, Wh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What the technician did and saw on site."""

    technician: str
    """Technician id, as the network's registry has it."""

    commissioned_at_s: int
    """When, Unix seconds."""

    start_wh: tuple[int, int]
    """Import and export register at commissioning, Wh."""

    seals: tuple[str, ...] = ()
    """Numbers of the seals that were fitted."""

    old_meter: OldMeter | None = None
    """The meter that was taken down."""

    note: str = ""
    """Anything else; at most 500 characters."""

    def content(self) -> dict[str, Any]:
        """As it stands in the record, under `commissioning`."""
        found: dict[str, Any] = {
            "technician": self.technician,
            "commissioned_at_s": self.commissioned_at_s,
            "start_wh": list(self.start_wh),
            "seals": list(self.seals),
        }
        if self.old_meter is not None:
            old = self.old_meter
            found["old_meter"] = {
                "id": old.id,
                "import_wh": old.import_wh,
                "export_wh": old.export_wh,
            }
        if self.note:
            found["note"] = self.note
        return found


def content_of(
    config: Mapping[str, Any], visit: Visit, site: tuple[int, int] | None = None
) -> dict[str, Any]:
    """The configuration that the board is given and the record is made of; raises Malformed.

    Args:
        config: what the meter runs with (`meter.config` lists the keys).
        visit: who commissioned it, when, and what was there.
        site: latitude and longitude in 1e-7 degrees, when known.
    """
    complete = {**config, "commissioning": visit.content()}
    if site is not None:
        complete["site"] = list(site)
    return check_content(complete)


def with_meter(content: Mapping[str, Any], meter: PublicKey, signature: bytes) -> Sign:
    """The record with the board's signature.

    Raises:
        BadSignature: the board signed something else, or with another key.
        Malformed: the content or the key is unfit.
    """
    if meter.alg != ES256:
        raise Malformed("a meter's own key is ES256")
    return unsigned(content).with_signature(meter, signature)


def complete(record: Sign, meter: PublicKey, technician: Signer) -> CommissioningRecord:
    """Add the technician's signature; what is returned verifies with both keys.

    Raises:
        BadSignature: one of the two does not stand.
        Unavailable: the technician's token is away.
    """
    made = CommissioningRecord.open(record.signed_by(technician).encoded)
    made.verify(meter, technician.public)
    return made
