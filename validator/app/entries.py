"""The registry's entries, one by one: what each must say and in which units.

Decides shape and range of a single entry; whether entries fit together is decided where all are
known (`validator.app.registry`).
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from validator.app.geometry import Point
from wire.errors import Malformed
from wire.fields import identifier, integer, items, uint
from wire.keys import PublicKey

_PPM = 1_000_000
_LARGEST_W = 10**12
_LARGEST_RHO = 10**15
_KAPPA_UNKNOWN = 6
_QUARTER_E7, _HALF_E7 = 900_000_000, 1_800_000_000


class Role(Enum):
    """What a meter measures for its zone."""

    BOUNDARY = "boundary"
    CUSTOMER = "customer"
    SOURCE = "source"


@dataclass(frozen=True, slots=True)
class Authority:
    """A known organisation."""

    id: str
    """Authority id."""

    name: str
    """Name for people."""

    kind: str
    """Kind of organisation, as the genesis file writes it."""

    key: PublicKey
    """Signs what the authority decides; not a validator's key."""


@dataclass(frozen=True, slots=True)
class Technician:
    """A person who commissions meters for a grid operator."""

    id: str
    """Technician id."""

    name: str
    """Name for people."""

    key: PublicKey
    """Signs commissioning records and enrolments."""

    operator: str
    """Authority in whose zones the technician may enrol meters."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that may witness and, for meters that cannot sign, read."""

    id: str
    """Gateway id."""

    operator: str
    """Authority that runs it."""

    witness_key: PublicKey
    """Signs witness statements."""

    reader_key: PublicKey
    """Signs readings of meters that cannot."""

    site: Point
    """Where it stands."""

    site_cos_ppm: int
    """Cosine of the site's latitude, parts per million."""

    radius_m: int
    """How far from its site it may say it is, metres."""

    zones: frozenset[str]
    """Zones that it serves."""


@dataclass(frozen=True, slots=True)
class Meter:
    """A registered meter at its grid node."""

    id: str
    """Meter id as on the nameplate."""

    node: str
    """Grid node that it measures."""

    zone: str
    """Zone whose balance it is part of."""

    role: Role
    """What it measures for that zone."""

    key: PublicKey | None
    """Signs its readings; None for a meter that cannot sign."""

    reader: str
    """Gateway that reads it, and signs for it when it has no key."""

    configuration_id: bytes
    """Prefix of the SHA-256 of its commissioning record, 8 bytes."""

    software_id: bytes | None
    """Prefix of the hash of its software, 4 bytes; None when any will do."""

    class_ppm: tuple[tuple[int, int], ...]
    """Class limit from a load on: (load in permille of the rating, limit in ppm), ascending."""

    register_wh: int
    """Step of its registers, Wh."""

    rating_w: int
    """Service rating (fuse), watts."""

    installed_w: int
    """Generation behind it, watts; 0 for none."""

    phases: int
    """1 or 3."""

    site: Point
    """Where it hangs."""

    radius_m: int
    """How far from its site its own receiver may say it is, metres."""

    dead_wh: int
    """Energy of an interval below which it may count nothing, Wh."""

    ct_ppm: int
    """Limit of its current and voltage transformers, ppm; 0 when directly connected."""

    also_read_by: tuple[str, ...] = ()
    """Gateways that may read and sign for it too; its reader's word counts before theirs."""

    owner: str = ""
    """Party that is paid or billed for it; of a boundary meter, who holds it. Empty: not stated."""

    holder: bytes | None = None
    """SHA-256 of the secret in its holder's link, 32 bytes; None when nobody has a link."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A line or a transformer between two nodes."""

    id: str
    """Branch id."""

    start: str
    """Node at one end."""

    end: str
    """Node at the other."""

    rho: int
    """Loss coefficient, 10^-12 per Wh: loss in Wh = rho * flow^2 / 10^12 for one interval."""

    kappa: int
    """How much larger than by the mean flow the loss may be: 2 three-phase, 6 single-phase or not
    known, which is what an entry without it says."""

    ampacity_w: int
    """Largest power it is built for, watts; 0 when not stated."""


@dataclass(frozen=True, slots=True)
class Zone:
    """A part of the grid whose energy must balance."""

    id: str
    """Zone id."""

    parent: str
    """Zone around it; empty for none."""

    operator: str
    """Grid operator."""

    p0_mw: int
    """No-load loss inside the boundary, milliwatts."""

    root: str
    """Node of the boundary."""

    branches: tuple[Branch, ...]
    """Lines and transformers: a tree from the root."""


def _record(value: Any, required: str, optional: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Malformed("not an object")
    needed = set(required.split())
    missing = sorted(needed - value.keys())
    unknown = sorted(value.keys() - needed - set(optional.split()))
    if missing or unknown:
        words = [f"{name} is missing" for name in missing] + [f"{x} is unknown" for x in unknown]
        raise Malformed(", ".join(words))
    return value


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or len(value) > 200:
        raise Malformed(f"{name}: not a text of at most 200 characters")
    return value


def _key(value: Any) -> PublicKey:
    return PublicKey.from_text(_text(value, "key"))


def _hex(value: Any, name: str, size: int) -> bytes:
    try:
        data = bytes.fromhex(value)
    except (TypeError, ValueError):
        data = b""
    if len(data) != size:
        raise Malformed(f"{name}: not {2 * size} hexadecimal digits")
    return data


def _positive(value: Any, name: str, most: int = _LARGEST_W) -> int:
    if uint(value, name, most) == 0:
        raise Malformed(f"{name}: must not be 0")
    return int(value)


def _site(value: Any) -> Point:
    lat_e7, lon_e7 = items(value, "site", 2)
    if abs(integer(lat_e7, "latitude")) > _QUARTER_E7:
        raise Malformed("latitude: beyond a pole")
    if abs(integer(lon_e7, "longitude")) > _HALF_E7:
        raise Malformed("longitude: more than 180 degrees")
    return Point(lat_e7, lon_e7)


def authority(value: Any) -> Authority:
    """Read an authority; raises Refused."""
    entry = _record(value, "id key", "name type")
    return Authority(
        identifier(entry["id"], "id"),
        _text(entry.get("name", ""), "name"),
        _text(entry.get("type", ""), "type"),
        _key(entry["key"]),
    )


def technician(value: Any) -> Technician:
    """Read a technician; raises Refused."""
    entry = _record(value, "id key operator", "name")
    return Technician(
        identifier(entry["id"], "id"),
        _text(entry.get("name", ""), "name"),
        _key(entry["key"]),
        identifier(entry["operator"], "operator"),
    )


def gateway(value: Any) -> Gateway:
    """Read a gateway; raises Refused."""
    entry = _record(value, "id operator witness_key reader_key site site_cos_ppm radius_m zones")
    return Gateway(
        id=identifier(entry["id"], "id"),
        operator=identifier(entry["operator"], "operator"),
        witness_key=_key(entry["witness_key"]),
        reader_key=_key(entry["reader_key"]),
        site=_site(entry["site"]),
        site_cos_ppm=uint(entry["site_cos_ppm"], "site_cos_ppm", _PPM),
        radius_m=uint(entry["radius_m"], "radius_m"),
        zones=frozenset(identifier(name, "zones") for name in items(entry["zones"], "zones")),
    )


_METER = "id node zone role key reader configuration_id class_ppm register_wh rating_w installed_w"


def meter(value: Any) -> Meter:
    """Read a meter; raises Refused."""
    entry = _record(
        value, f"{_METER} site radius_m", "software phases dead_wh ct_ppm holder also_read_by owner"
    )
    software = entry.get("software", "")
    found = Meter(
        id=identifier(entry["id"], "id", most=20),
        node=identifier(entry["node"], "node"),
        zone=identifier(entry["zone"], "zone"),
        role=_role(entry["role"]),
        key=None if entry["key"] == "" else _key(entry["key"]),
        reader=identifier(entry["reader"], "reader"),
        configuration_id=_hex(entry["configuration_id"], "configuration_id", 8),
        software_id=None if software == "" else _hex(software, "software", 4),
        class_ppm=_class(entry["class_ppm"]),
        register_wh=_positive(entry["register_wh"], "register_wh", 10**6),
        rating_w=_positive(entry["rating_w"], "rating_w"),
        installed_w=uint(entry["installed_w"], "installed_w", _LARGEST_W),
        phases=_phases(entry.get("phases", 3)),
        site=_site(entry["site"]),
        radius_m=uint(entry["radius_m"], "radius_m"),
        dead_wh=uint(entry.get("dead_wh", 0), "dead_wh", 10**6),
        ct_ppm=uint(entry.get("ct_ppm", 0), "ct_ppm", _PPM),
        also_read_by=tuple(
            identifier(name, "also_read_by")
            for name in items(entry.get("also_read_by", []), "also_read_by")
        ),
        owner=_optional(entry.get("owner", ""), "owner"),
        holder=_hex(entry["holder"], "holder", 32) if entry.get("holder", "") != "" else None,
    )
    if found.role is Role.SOURCE and found.installed_w == 0:
        raise Malformed("a source has an installed_w above 0")
    return found


def _optional(value: Any, name: str) -> str:
    return "" if value == "" else identifier(value, name)


def _role(value: Any) -> Role:
    try:
        return Role(value)
    except ValueError:
        raise Malformed("role: not boundary, customer or source") from None


def _phases(value: Any) -> int:
    if value not in (1, 3) or type(value) is not int:
        raise Malformed("phases: not 1 or 3")
    return value


def _class(value: Any) -> tuple[tuple[int, int], ...]:
    steps = []
    for step in items(value, "class_ppm"):
        load, limit = items(step, "class_ppm", 2)
        steps.append((uint(load, "load", 1000), _positive(limit, "class limit", _PPM)))
    loads = [load for load, _ in steps]
    if not loads or loads[0] != 0 or loads != sorted(set(loads)):
        raise Malformed("class_ppm: begins at load 0 and ascends")
    return tuple(steps)


def zone(value: Any) -> Zone:
    """Read a zone; raises Refused."""
    entry = _record(value, "id operator p0_mw branches root", "parent")
    parent = entry.get("parent", "")
    return Zone(
        id=identifier(entry["id"], "id"),
        parent=_optional(parent, "parent"),
        operator=identifier(entry["operator"], "operator"),
        p0_mw=uint(entry["p0_mw"], "p0_mw", _LARGEST_W),
        root=identifier(entry["root"], "root"),
        branches=tuple(_branch(item) for item in items(entry["branches"], "branches")),
    )


def _branch(value: Any) -> Branch:
    entry = _record(value, "id from to rho", "kappa ampacity_w")
    return Branch(
        id=identifier(entry["id"], "branch id"),
        start=identifier(entry["from"], "branch from"),
        end=identifier(entry["to"], "branch to"),
        rho=uint(entry["rho"], "rho", _LARGEST_RHO),
        kappa=_positive(entry.get("kappa", _KAPPA_UNKNOWN), "kappa", 100),
        ampacity_w=uint(entry.get("ampacity_w", 0), "ampacity_w", _LARGEST_W),
    )
