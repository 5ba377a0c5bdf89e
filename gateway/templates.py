"""Register templates: where a meter of some make keeps its energy, and who says so.

Each template is a TOML file with its source and golden words; its hash travels in every reading
that was made with it (field 22), so that a wrong map can be found out later. Decides what a
template must say; `gateway.decode` turns words into watt-hours.
"""

import hashlib
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

from wire.errors import Refused

KINDS = frozenset({"float32-kwh"})
"""Register types that `gateway.decode` can turn into watt-hours."""


class UnknownTemplate(Refused):
    """No template of that name, or one that does not say all it must."""

    code = "unknown-template"


@dataclass(frozen=True, slots=True)
class Block:
    """Registers that are read in one request."""

    function: int
    """Modbus function code: 3 holding, 4 input registers."""

    address: int
    """First register, zero-based."""

    words: int
    """Number of 16-bit registers."""


@dataclass(frozen=True, slots=True)
class Golden:
    """Words of which it is known what they mean."""

    words: tuple[int, ...]
    """16-bit registers."""

    import_wh: int
    """Import, Wh."""

    export_wh: int
    """Export, Wh."""


@dataclass(frozen=True, slots=True)
class Template:
    """How to read one make of meter."""

    name: str
    """As configuration files call it."""

    hash: bytes
    """Prefix of the SHA-256 of the template's file, 8 bytes."""

    source: str
    """Vendor document and place in it."""

    silence_ms: int
    """Silence that the meter wants before each request on a serial line."""

    energy: Block
    """Import and export registers."""

    kind: str
    """Type of both registers, of KINDS."""

    import_at: int
    """Word of the block where import begins."""

    export_at: int
    """Word of the block where export begins."""

    resolution_wh: int
    """Step of the registers, Wh, while the value is small enough for its type."""

    fence: Block
    """A read of another length, whose answer shows that nothing older is still on its way."""

    golden: tuple[Golden, ...]
    """Words with known values."""


def load(name: str) -> Template:
    """Return a template that comes with the gateway; raises UnknownTemplate."""
    folder = resources.files("gateway") / "templates"
    known = sorted(
        each.name.removesuffix(".toml") for each in folder.iterdir() if each.name.endswith(".toml")
    )
    if name not in known:
        raise UnknownTemplate(f"no template {name!r}; there are {', '.join(known)} and gridwitness")
    return parse((folder / f"{name}.toml").read_bytes())


def parse(content: bytes) -> Template:
    """Read a template's file; raises UnknownTemplate when something is missing or contradictory."""
    try:
        template = _template(tomllib.loads(content.decode()), content)
    except (KeyError, TypeError, ValueError) as reason:
        raise UnknownTemplate(f"a template that cannot be read: {reason!r}") from None
    if template.kind not in KINDS:
        raise UnknownTemplate(f"{template.name}: registers of type {template.kind!r}")
    if template.fence.words == template.energy.words:
        raise UnknownTemplate(f"{template.name}: fence and energy must differ in length")
    if max(template.import_at, template.export_at) + 2 > template.energy.words:
        raise UnknownTemplate(f"{template.name}: a register lies outside the block")
    return template


def _template(table: dict[str, Any], content: bytes) -> Template:
    function = int(table["line"]["function"])
    energy = table["energy"]
    return Template(
        name=str(table["name"]),
        hash=hashlib.sha256(content).digest()[:8],
        source=f"{table['source']['document']}, {table['source']['place']}",
        silence_ms=int(table["line"]["silence_ms"]),
        energy=Block(function, int(energy["address"]), int(energy["words"])),
        kind=str(energy["type"]),
        import_at=int(energy["import_at"]),
        export_at=int(energy["export_at"]),
        resolution_wh=int(energy["resolution_wh"]),
        fence=Block(function, int(table["fence"]["address"]), int(table["fence"]["words"])),
        golden=tuple(_golden(each) for each in table["golden"]),
    )


def _golden(table: dict[str, Any]) -> Golden:
    octets = bytes.fromhex(table["words"])
    words = tuple(
        int.from_bytes(octets[place : place + 2], "big") for place in range(0, len(octets), 2)
    )
    return Golden(words, int(table["import_wh"]), int(table["export_wh"]))
