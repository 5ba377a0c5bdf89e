"""PINs that a token has refused: no PIN is tried twice, because real tokens lock after three.

Two marks beside the PIN file remember, over restarts and for every program that uses the file:
`pin.refused` holds what was refused, until a PIN is accepted; `pin.tried` says before each login
with a new PIN that it is being tried, and after it how that went. So a PIN whose only try was cut
off by a power cut is not tried again either, while one that was accepted before is. Logins by one
PIN file happen one after the other: two keys of one token do not spend two tries on one mistake.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hsm.durable import replace, sync_folder
from hsm.uri import KeyUri, Pin
from wire.errors import Refused, Unavailable

_SIZE = 32
_ACCEPTED, _TRYING = "accepted", "trying"


class PinRefused(Refused):
    """The token refused the PIN. It is not tried again; correct the PIN file."""

    code = "pin-refused"


class PinLocked(Refused):
    """The token takes no PIN now, right or wrong; nothing was tried."""

    code = "pin-locked"


class NoAnswer(Unavailable):
    """The token was asked, and nobody can say how that went."""


@contextmanager
def trying(uri: KeyUri) -> Iterator[Pin | None]:
    """Give the PIN for one login, which happens in the `with` block.

    Raises:
        PinRefused: it was refused before, or its try was cut off; nothing was tried. Or it is
            refused now, and remembered.
        Unavailable: the PIN file cannot be read, or a mark not be written; nothing was tried.
    """
    pin, file = uri.pin(), uri.pin_file
    if pin is None or file is None:
        yield pin
        return
    with _alone(file):
        proven = _check_marks(uri, file)
        identity = _identity(file)
        if not proven:
            _write_try(file, identity, _TRYING)
        try:
            yield pin
        except PinRefused:
            remember(uri, pin)
            _forget_try(file)
            raise
        except NoAnswer:
            raise  # The mark stays as it is: accepted before, or nobody knows.
        except (Refused, Unavailable):
            if not proven:
                _forget_try(file)  # The token did not get as far as the PIN.
            raise
        if not proven:
            _write_try(file, identity, _ACCEPTED)
        mark_of(file).unlink(missing_ok=True)


def _check_marks(uri: KeyUri, file: Path) -> bool:
    """Whether the PIN was accepted before; raises PinRefused when it must not be tried."""
    if refused_before(uri):
        raise PinRefused(
            f"the PIN in {file} was refused before and is not tried again: correct the file,"
            f" or delete {mark_of(file)} if the token has this PIN now"
        )
    identity, outcome = _last_try(file)
    if identity != _identity(file):
        return False
    if outcome == _TRYING:
        raise PinRefused(
            f"the first login by {file} was cut off before the token said whether the PIN is"
            f" right; it is not tried again: make sure of the PIN, then delete {tried_of(file)}"
        )
    return True


def refused_before(uri: KeyUri) -> bool:
    """Whether the PIN that the file holds now has been refused; raises Unavailable without file."""
    pin = uri.pin()
    if pin is None or uri.pin_file is None or not mark_of(uri.pin_file).exists():
        return False
    marks = mark_of(uri.pin_file).read_bytes()
    known = {marks[start : start + _SIZE] for start in range(0, len(marks), _SIZE)}
    return _fingerprint(pin) in known


def remember(uri: KeyUri, pin: Pin | None) -> None:
    """Remember that this PIN, whatever the file says by now, has been refused."""
    if pin is not None and uri.pin_file is not None:
        mark = mark_of(uri.pin_file)
        mark.touch(mode=0o600)
        with mark.open("ab") as file:
            file.write(_fingerprint(pin))
            file.flush()
            os.fsync(file.fileno())
        sync_folder(mark.parent)


def cut_off(uri: KeyUri) -> bool:
    """Whether the only try of the PIN in the file was cut off before its answer."""
    file = uri.pin_file
    return file is not None and file.exists() and _last_try(file) == (_identity(file), _TRYING)


def mark_of(pin_file: Path) -> Path:
    """The file that remembers refused PINs."""
    return _beside(pin_file, "refused")


def tried_of(pin_file: Path) -> Path:
    """The file that remembers how the last PIN's first try went."""
    return _beside(pin_file, "tried")


def _beside(pin_file: Path, what: str) -> Path:
    """Beside the PIN file; in the program's state folder where that one is read-only (systemd)."""
    if os.access(pin_file.parent, os.W_OK) or "STATE_DIRECTORY" not in os.environ:
        return pin_file.with_name(f"{pin_file.name}.{what}")
    return Path(os.environ["STATE_DIRECTORY"].split(":")[0]) / f"{pin_file.name}.{what}"


def _identity(pin_file: Path) -> str:
    """Tells one state of the file from the next; nothing of the PIN is in it."""
    try:
        found = pin_file.stat()
    except OSError as reason:
        raise Unavailable(f"the PIN file {pin_file}: {reason.strerror}") from None
    return f"{found.st_mtime_ns} {found.st_size}"


def _last_try(pin_file: Path) -> tuple[str, str]:
    try:
        identity, _, outcome = tried_of(pin_file).read_text().strip().rpartition(" ")
    except FileNotFoundError:
        return "", ""
    return identity, outcome


def _write_try(pin_file: Path, identity: str, outcome: str) -> None:
    try:
        replace(tried_of(pin_file), f"{identity} {outcome}\n".encode())
    except OSError as reason:
        raise Unavailable(
            f"{tried_of(pin_file)}: {reason.strerror}; no PIN is tried without it"
        ) from None


def _forget_try(pin_file: Path) -> None:
    tried_of(pin_file).unlink(missing_ok=True)
    sync_folder(tried_of(pin_file).parent)


def _fingerprint(pin: Pin) -> bytes:
    """Tell one PIN from the next without giving it away: slow to try PINs against."""
    secret = pin.reveal().encode()
    return hashlib.scrypt(secret, salt=b"gridwitness/pin/1", n=2**14, r=8, p=1, dklen=_SIZE)


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    try:
        opened = file.open("rb")
    except OSError as reason:
        raise Unavailable(f"the PIN file {file}: {reason.strerror}") from None
    with opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
