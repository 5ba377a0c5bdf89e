"""Names of keys: RFC 7512 `pkcs11:` URIs, and where their PIN comes from.

A URI names a key by token label and object label (and id when given), never by slot number, which
changes from boot to boot. The PIN is named, never written: `pin-source=file:PATH` (relative to the
configuration's folder), `pin-source=credential:NAME` (a file that systemd gives to the service
alone, LoadCredentialEncrypted=), or `pin-source=prompt` (asked for at the terminal).
"""

import os
import sys
from dataclasses import dataclass, field
from getpass import getpass
from pathlib import Path
from typing import Self
from urllib.parse import unquote, unquote_to_bytes

from wire.errors import Refused, Unavailable, WrongUsage

_PATH = {"token", "object", "id", "type", "serial", "manufacturer", "model"}
_QUERY = {"module-path", "pin-source", "x-init-reserved"}


class BadUri(Refused):
    """A key URI that does not say which key."""

    code = "bad-key-uri"


class NoModule(WrongUsage):
    """A key URI names a library that is not there."""

    code = "no-module"


class BadPin(Refused):
    """A PIN file that holds no PIN."""

    code = "bad-pin"


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
    """File that holds the PIN; None for a token without login, or when somebody is asked."""

    prompts: bool = False
    """Whether the PIN is asked for at the terminal."""

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
        source = unquote(options.get("pin-source", ""))
        return cls(
            token=unquote(named["token"]),
            label=unquote(named.get("object", "")),
            module=_resolve(unquote(options["module-path"]), base),
            key_id=unquote_to_bytes(named.get("id", "")),
            reserved=unquote(options.get("x-init-reserved", "")),
            pin_file=_pin_file(source, base),
            prompts=source == "prompt",
        )

    def check_module(self) -> None:
        """For commands that end instead of waiting; raises NoModule when the library is missing."""
        if not self.module.is_file():
            raise NoModule(
                f"there is no PKCS#11 library {self.module}: install the token's, or correct"
                " module-path= in the key's URI"
            )

    def pin(self) -> Pin | None:
        """Read the PIN, or ask for it; raises Unavailable or BadPin when it is not to be had."""
        if self.prompts:
            return Pin(ask(f"PIN of the token {self.token}: "))
        if self.pin_file is None:
            return None
        return read_pin(self.pin_file)


def read_pin(file: Path) -> Pin:
    """The PIN in a file; raises Unavailable without file, BadPin when it is empty or no text."""
    try:
        pin = file.read_bytes().decode().strip()
    except OSError as reason:
        raise Unavailable(f"the PIN file {file}: {reason.strerror}") from None
    except UnicodeDecodeError:
        raise BadPin(f"the PIN file {file} is no UTF-8 text: write the PIN into it anew") from None
    if not pin:
        raise BadPin(f"the PIN file {file} is empty, and no token was asked: write the PIN into it")
    return Pin(pin)


def ask(words: str) -> str:
    """Ask at the terminal, showing nothing; raises Unavailable when nobody is there."""
    if not sys.stdin.isatty():
        raise Unavailable(f"{words}nobody is at a terminal to be asked")
    try:
        return getpass(words)
    except EOFError:
        raise Unavailable(f"{words}not given") from None


def secret_file(source: str, base: Path | None) -> Path:
    """The file of a secret: `file:PATH`, `PATH`, or `credential:NAME` of a systemd service.

    Raises Unavailable for a credential outside such a service.
    """
    kind, _, name = source.partition(":")
    if kind != "credential":
        return _resolve(source.removeprefix("file:"), base)
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder is None:
        raise Unavailable(
            f"the credential {name}: CREDENTIALS_DIRECTORY is not set; systemd sets it for a"
            f" service with LoadCredentialEncrypted={name}"
        )
    return Path(folder) / name


def _pin_file(source: str, base: Path | None) -> Path | None:
    return None if source in ("", "prompt") else secret_file(source, base)


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
