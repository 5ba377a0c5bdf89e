"""Says what is wrong with a token, by checks that change nothing.

Each check builds on the one before, so the first that fails is the one to mend. A PIN is tried at
most once, and not at all when it was refused before.
"""

import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hsm.signer import TokenSigner, open_signer, refused_before
from hsm.uri import KeyUri
from wire.errors import Refused, Unavailable
from wire.keys import PublicKey

_PROBE = b"gridwitness/doctor/1"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check."""

    check: str
    """What was looked at."""

    good: bool
    """Whether it is as it should be."""

    words: str
    """What was found, and what to do."""


def examine(
    uri: KeyUri, softhsm2_conf: Path | None = None, pinned: PublicKey | None = None
) -> list[Finding]:
    """Check module, PIN file, token, key and signature; stops at the first that fails."""
    found: list[Finding] = []
    checks: tuple[Callable[[], Finding], ...] = (
        lambda: _module(uri),
        lambda: _pin_file(uri),
        lambda: _refused(uri),
        lambda: _key(uri, softhsm2_conf, pinned),
    )
    for check in checks:
        found.append(check())
        if not found[-1].good:
            break
    return found


def _module(uri: KeyUri) -> Finding:
    if uri.module.exists():
        return Finding("module", True, str(uri.module.resolve()))
    return Finding("module", False, f"{uri.module} is not there: install the token's library")


def _pin_file(uri: KeyUri) -> Finding:
    if uri.pin_file is None:
        return Finding("pin file", True, "none named: a token without login")
    try:
        mode = uri.pin_file.stat().st_mode
    except OSError as reason:
        return Finding("pin file", False, f"{uri.pin_file}: {reason.strerror}")
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return Finding("pin file", False, f"others may read {uri.pin_file}: chmod 600")
    return Finding("pin file", True, f"{uri.pin_file}, readable by its owner only")


def _refused(uri: KeyUri) -> Finding:
    if refused_before(uri):
        return Finding("pin", False, "the token has refused this PIN; it is not tried again: mend")
    return Finding("pin", True, "not refused so far")


def _key(uri: KeyUri, softhsm2_conf: Path | None, pinned: PublicKey | None) -> Finding:
    signer: TokenSigner | None = None
    try:
        signer = open_signer(uri, softhsm2_conf, pinned)
        signer.sign(_PROBE)
    except (Refused, Unavailable) as reason:
        return Finding("key", False, str(reason))
    finally:
        if signer is not None:
            signer.close()
    return Finding("key", True, f"{signer.public.text[:24]}… signs, and its signature verifies")
