"""What was done with a key: an append-only file of JSON lines, each holding the hash of the last.

A line says when, which key, what (`sign`, `make-key`, `announce-key`), the SHA-256 of what was
signed and how it ended; never a PIN, never a message. Whoever keeps one line's hash can later show
that nothing before it was changed or left out. Decides nothing about keys: `hsm.signer` writes,
`verify` checks.
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hsm.durable import sync_folder
from wire.errors import Refused, Unavailable

_LONGEST_LINE = 4096
_FIRST = bytes(32)


class DamagedAudit(Refused):
    """A line of the audit file was changed, left out or torn."""

    code = "damaged-audit"


@dataclass(frozen=True, slots=True)
class Deed:
    """One use of a key."""

    event: str
    """What was asked: `sign`, `make-key` or `announce-key`."""

    key: str
    """The key's kid in hexadecimal, or its label while it has none."""

    result: str
    """`done`, or the reason's code: `pin-refused`, `pin-locked`, `key-refused`."""

    digest: str = ""
    """SHA-256 of the message in hexadecimal; empty when nothing was to be signed."""


class AuditFile:
    """The file, for several threads and programs: what `record` returns from is on the disk."""

    def __init__(self, path: Path, now_s: Callable[[], float] = time.time) -> None:
        """Open or make it, mode 0600; `now_s` gives Unix seconds. Raises Unavailable."""
        self._path = path
        self._now_s = now_s
        with _in_words(path):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
            sync_folder(path.parent)

    def record(self, deeds: Sequence[Deed]) -> None:
        """Append one line for each deed; raises Unavailable when the disk does not take them."""
        with _in_words(self._path), self._path.open("r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            number, previous, end = _tail(file.fileno(), self._path)
            time_ms = int(self._now_s() * 1000)
            lines = b""
            for deed in deeds:
                line = _line(number, time_ms, deed, previous)
                lines += line + b"\n"
                number, previous = number + 1, hashlib.sha256(line).digest()
            _append(file.fileno(), lines, end)


def verify(path: Path) -> tuple[int, str]:
    """Check every line; return their count and the last one's hash in hexadecimal.

    Raises:
        DamagedAudit: naming the first line that does not follow from the one before.
        Unavailable: the file cannot be read.
    """
    count, previous = 0, _FIRST
    with _in_words(path), path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                raise DamagedAudit(f"{path}: line {count} is torn")
            if _links(line, path) != (count, previous.hex()):
                raise DamagedAudit(f"{path}: line {count} does not follow from the one before")
            count, previous = count + 1, hashlib.sha256(line[:-1]).digest()
    return count, previous.hex()


def _line(number: int, time_ms: int, deed: Deed, previous: bytes) -> bytes:
    fields = {
        "number": number,
        "time_ms": time_ms,
        "event": deed.event,
        "key": deed.key,
        "digest": deed.digest,
        "result": deed.result,
        "previous": previous.hex(),
    }
    return json.dumps(fields, separators=(",", ":")).encode()


def _links(line: bytes, path: Path) -> tuple[int, str]:
    """The line's number, and the hash that it gives for the line before."""
    try:
        fields = json.loads(line)
        return int(fields["number"]), str(fields["previous"])
    except (ValueError, KeyError, TypeError):
        raise DamagedAudit(f"{path}: a line is no audit line: {line[:40]!r}") from None


def _tail(descriptor: int, path: Path) -> tuple[int, bytes, int]:
    """Next number, the last line's hash, and where the last whole line ends."""
    size = os.fstat(descriptor).st_size
    read = os.pread(descriptor, 2 * _LONGEST_LINE, max(0, size - 2 * _LONGEST_LINE))
    whole = read[: read.rfind(b"\n") + 1]
    end = (
        size - len(read) + len(whole)
    )  # What follows was torn by a power cut, never returned from.
    if not whole:
        if size > _LONGEST_LINE:
            raise DamagedAudit(f"{path}: it is no audit file")
        return 0, _FIRST, 0
    line = whole[:-1].rpartition(b"\n")[2]
    return _links(line, path)[0] + 1, hashlib.sha256(line).digest(), end


def _append(descriptor: int, lines: bytes, end: int) -> None:
    """All lines or none, on the disk."""
    try:
        os.ftruncate(descriptor, end)
        if os.pwrite(descriptor, lines, end) != len(lines):
            raise OSError(28, os.strerror(28))
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, end)
        raise


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as reason:
        raise Unavailable(f"the audit file {path}: {reason.strerror}") from None
