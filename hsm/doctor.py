"""Says what is wrong with a token, by checks that change nothing.

Each check builds on the one before, so the first that fails is the one to mend. A PIN is tried at
most once, and not at all when it was refused before.
"""

import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hsm.refusals import mark_of, refused_before
from hsm.signer import open_signer
from hsm.signstate import inspect
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
    uri: KeyUri,
    softhsm2_conf: Path | None = None,
    pinned: PublicKey | None = None,
    sign_state: Path | None = None,
) -> list[Finding]:
    """Check module, PIN, token and key, signature, sign-state; stops at the first that fails."""
    found: list[Finding] = []
    checks: tuple[Callable[[], Finding], ...] = (
        lambda: _module(uri),
        lambda: _pin_file(uri),
        lambda: _refused(uri),
        lambda: _key(uri, softhsm2_conf),
        lambda: _signature(uri, softhsm2_conf, pinned),
        *(() if sign_state is None else (lambda: _sign_state(sign_state),)),
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
    try:
        refused = refused_before(uri)
    except Unavailable as reason:
        return Finding("pin", False, str(reason))
    if refused and uri.pin_file is not None:
        mark = mark_of(uri.pin_file)
        words = f"refused before and not tried again: correct {uri.pin_file} ({mark.name} knows it)"
        return Finding("pin", False, words)
    return Finding("pin", True, "not refused so far")


def _key(uri: KeyUri, softhsm2_conf: Path | None) -> Finding:
    try:
        signer = open_signer(uri, softhsm2_conf)
    except (Refused, Unavailable) as reason:
        return Finding("key", False, str(reason))
    signer.close()
    return Finding("key", True, f"{uri.label} in {uri.token}, kid {signer.public.kid.hex()}")


def _signature(uri: KeyUri, softhsm2_conf: Path | None, pinned: PublicKey | None) -> Finding:
    try:
        signer = open_signer(uri, softhsm2_conf, pinned)
        try:
            signer.sign(_PROBE)
        finally:
            signer.close()
    except (Refused, Unavailable) as reason:
        return Finding("signature", False, str(reason))
    return Finding("signature", True, f"verifies by {signer.public.text[:24]}…")


def _sign_state(path: Path) -> Finding:
    try:
        return Finding("sign-state", True, f"{path}: {inspect(path)}")
    except (Refused, Unavailable) as reason:
        return Finding("sign-state", False, str(reason))
