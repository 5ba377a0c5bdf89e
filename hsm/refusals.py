"""PINs that a token has refused: no PIN is tried twice, because real tokens lock after three.

Two marks beside the PIN file remember, over restarts and for every program that uses the file:
`pin.refused` holds what was refused, until a PIN is accepted; `pin.tried` says before each login
with a new PIN that it is being tried, and after it how that went. So a PIN whose only try was cut
off, or answered by a failure that says nothing of the PIN, is not tried again either, while one
that was accepted before is. Both know PINs by a slow hash: a file that is written anew with the
same PIN changes nothing. Logins by one PIN file happen one after the other: two keys of one token
do not spend two tries on one mistake.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from hsm.durable import replace, sync_folder
from hsm.uri import KeyUri, Pin, read_pin
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
    file = uri.pin_file
    if file is None:
        yield uri.pin()
        return
    with _locked(file):
        pin = read_pin(file)
        known = _fingerprint(pin)
        proven = _check_marks(file, known)
        if not proven:
            _write_tries(file, _tries(file) | {known.hex(): _TRYING})
        try:
            yield pin
        except PinRefused:
            remember(uri, pin)
            _forget_try(file, known)
            raise
        except Unavailable:
            raise  # The mark stays as it is: accepted before, or nobody knows.
        except Refused:
            if not proven:
                _forget_try(file, known)  # The token did not look at the PIN.
            raise
        if _tries(file) != {known.hex(): _ACCEPTED}:
            _write_tries(file, {known.hex(): _ACCEPTED})
        mark_of(file).unlink(missing_ok=True)


def _check_marks(file: Path, known: bytes) -> bool:
    """Whether the PIN was accepted before; raises PinRefused when it must not be tried."""
    if known in _refused(file):
        raise PinRefused(
            f"the PIN in {file} was refused before and is not tried again: correct the file,"
            f" or delete {mark_of(file)} if the token has this PIN now"
        )
    outcome = _tries(file).get(known.hex())
    if outcome == _TRYING:
        raise PinRefused(
            f"the first login by {file} was cut off before the token said whether the PIN is"
            f" right; it is not tried again: make sure of the PIN, then delete {tried_of(file)}"
        )
    return outcome == _ACCEPTED


def refused_before(uri: KeyUri) -> bool:
    """Whether the PIN that the file holds now has been refused; raises Unavailable without file."""
    if uri.pin_file is None:
        return False
    return _fingerprint(read_pin(uri.pin_file)) in _refused(uri.pin_file)


def _refused(pin_file: Path) -> set[bytes]:
    try:
        marks = mark_of(pin_file).read_bytes()
    except FileNotFoundError:
        return set()
    except OSError as reason:
        raise _unreadable(mark_of(pin_file), reason) from None
    return {marks[start : start + _SIZE] for start in range(0, len(marks), _SIZE)}


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
    if file is None or not file.exists():
        return False
    return _tries(file).get(_fingerprint(read_pin(file)).hex()) == _TRYING


def mark_of(pin_file: Path) -> Path:
    """The file that remembers refused PINs."""
    return _beside(pin_file, "refused")


def tried_of(pin_file: Path) -> Path:
    """The file that remembers how the first try of each PIN went, until one is accepted."""
    return _beside(pin_file, "tried")


def _beside(pin_file: Path, what: str) -> Path:
    """Beside the PIN file; in the program's state folder where that one is read-only (systemd).

    A link has the marks of the file that it leads to.
    """
    pin_file = Path(os.path.realpath(pin_file))
    if os.access(pin_file.parent, os.W_OK) or "STATE_DIRECTORY" not in os.environ:
        return pin_file.with_name(f"{pin_file.name}.{what}")
    return Path(os.environ["STATE_DIRECTORY"].split(":")[0]) / f"{pin_file.name}.{what}"


def _tries(pin_file: Path) -> dict[str, str]:
    """By the PIN's fingerprint: whether it is being tried, or was accepted."""
    try:
        lines = tried_of(pin_file).read_text("ascii", "replace").splitlines()
    except FileNotFoundError:
        return {}
    except OSError as reason:
        raise _unreadable(tried_of(pin_file), reason) from None
    return {known: outcome for known, _, outcome in (line.partition(" ") for line in lines)}


def _write_tries(pin_file: Path, tries: dict[str, str]) -> None:
    lines = "".join(f"{known} {outcome}\n" for known, outcome in tries.items())
    try:
        replace(tried_of(pin_file), lines.encode())
    except OSError as reason:
        raise _unreadable(tried_of(pin_file), reason) from None


def _forget_try(pin_file: Path, known: bytes) -> None:
    left = {each: how for each, how in _tries(pin_file).items() if each != known.hex()}
    if left:
        _write_tries(pin_file, left)
        return
    tried_of(pin_file).unlink(missing_ok=True)
    sync_folder(tried_of(pin_file).parent)


def _unreadable(mark: Path, reason: OSError) -> Unavailable:
    return Unavailable(f"{mark}: {reason.strerror}; no PIN is tried without it")


def _fingerprint(pin: Pin) -> bytes:
    """Tell one PIN from the next without giving it away: slow to try PINs against."""
    secret = pin.reveal().encode()
    return hashlib.scrypt(secret, salt=b"gridwitness/pin/1", n=2**14, r=8, p=1, dklen=_SIZE)


def _locked(file: Path) -> IO[bytes]:
    """The file that has this name now, locked; not one that another was put in the place of."""
    try:
        while True:
            opened = file.open("rb")
            fcntl.flock(opened, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(opened.fileno()), file.stat()):
                return opened
            opened.close()
    except OSError as reason:
        raise Unavailable(f"the PIN file {file}: {reason.strerror}") from None
