"""Names of keys: RFC 7512 `pkcs11:` URIs, and where their PIN comes from.

A URI names a key by token label and object label (and id when given), never by slot number, which
changes from boot to boot. The PIN is named, never written: `pin-source=file:PATH`, relative to the
configuration's folder.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import unquote, unquote_to_bytes

from wire.errors import Refused, Unavailable

_PATH = {"token", "object", "id", "type", "serial", "manufacturer", "model"}
_QUERY = {"module-path", "pin-source", "x-init-reserved"}


class BadUri(Refused):
    """A key URI that does not say which key."""

    code = "bad-key-uri"


class Pin:
    """A PIN that no log, error or debugger prints by accident."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The PIN itself, for the one call that logs in."""
        return self._value

    def __repr__(self) -> str:
        return "Pin(…)"


@dataclass(frozen=True, slots=True)
class KeyUri:
    """Which key of which token, reached through which module."""

    token: str
    """Token label (CKA_LABEL of the token)."""

    label: str
    """Object label (CKA_LABEL of the key)."""

    module: Path
    """The vendor's PKCS#11 library."""

    key_id: bytes = b""
    """Object id (CKA_ID); empty when the URI names none."""

    reserved: str = ""
    """What the library wants at C_Initialize (NSS: `configdir=…`); empty for most."""

    pin_file: Path | None = field(default=None)
    """File that holds the PIN; None for a token without login."""

    @classmethod
    def parse(cls, text: str, base: Path | None = None) -> Self:
        """Read a URI, relative paths from `base`; raises BadUri saying what is missing."""
        if not text.startswith("pkcs11:"):
            raise BadUri(f"not a pkcs11: URI: {text[:30]!r}")
        path, _, query = text.removeprefix("pkcs11:").partition("?")
        named = _attributes(path, ";", _PATH)
        options = _attributes(query, "&", _QUERY)
        if not named.get("token"):
            raise BadUri("the key URI names no token (token=…)")
        if not named.get("object") and not named.get("id"):
            raise BadUri("the key URI names no object (object=… or id=…, or both)")
        if "module-path" not in options:
            raise BadUri("the key URI names no library (module-path=…)")
        source = options.get("pin-source")
        pin_file = None if source is None else _resolve(unquote(source.removeprefix("file:")), base)
        return cls(
            token=unquote(named["token"]),
            label=unquote(named.get("object", "")),
            module=_resolve(unquote(options["module-path"]), base),
            key_id=unquote_to_bytes(named.get("id", "")),
            reserved=unquote(options.get("x-init-reserved", "")),
            pin_file=pin_file,
        )

    def pin(self) -> Pin | None:
        """Read the PIN; raises Unavailable when its file is not there."""
        if self.pin_file is None:
            return None
        try:
            return Pin(self.pin_file.read_text().strip())
        except OSError as reason:
            raise Unavailable(f"the PIN file {self.pin_file}: {reason.strerror}") from None


def _attributes(text: str, separator: str, known: set[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in filter(None, text.split(separator)):
        name, _, value = part.partition("=")
        if name == "pin-value":
            raise BadUri("a PIN does not belong into a URI: name its file by pin-source=file:…")
        if name not in known or name in found:
            raise BadUri(f"the key URI has an attribute that is unknown or given twice: {name}")
        found[name] = value
    return found


def _resolve(path: str, base: Path | None) -> Path:
    return (base or Path.cwd()) / path
