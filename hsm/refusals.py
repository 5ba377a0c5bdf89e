"""PINs that a token has refused: no PIN is tried twice, because real tokens lock after three.

A mark beside the PIN file (`pin.refused`) remembers what was refused, over restarts and for every
program that uses the file; the first PIN that is accepted clears it. Logins by one PIN file happen
one after the other, so that two keys of one token do not spend two tries on one mistake.
"""

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hsm.durable import sync_folder
from hsm.uri import KeyUri, Pin
from wire.errors import Refused, Unavailable

_SIZE = 32


class PinRefused(Refused):
    """The token refused the PIN. It is not tried again; correct the PIN file."""

    code = "pin-refused"


@contextmanager
def trying(uri: KeyUri) -> Iterator[Pin | None]:
    """Give the PIN for one login, which happens in the `with` block.

    Raises:
        PinRefused: it was refused before; nothing was tried. Or it is refused now, and remembered.
        Unavailable: the PIN file cannot be read.
    """
    pin, file = uri.pin(), uri.pin_file
    if pin is None or file is None:
        yield None
        return
    with _alone(file):
        if refused_before(uri):
            raise PinRefused(
                f"the PIN in {file} was refused before and is not tried again: correct the file,"
                f" or delete {mark_of(file).name} beside it if the token has this PIN now"
            )
        try:
            yield pin
        except PinRefused:
            remember(uri, pin)
            raise
        mark_of(file).unlink(missing_ok=True)


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
        sync_folder(mark.parent)


def mark_of(pin_file: Path) -> Path:
    """The file beside the PIN file that remembers."""
    return pin_file.with_name(pin_file.name + ".refused")


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
