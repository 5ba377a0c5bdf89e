"""What was done with a key: an append-only file of JSON lines, each holding the hash of the last.

A line says when, which key, what (`sign`, `make-key`, `announce-key`), the SHA-256 of what was
signed and how it ended; never a PIN, never a message. Whoever keeps one line's hash can later show
that nothing before it was changed or left out. A file that has grown to `MOST_BYTES` is renamed to
FILE.N, N the number of its first line, and a new FILE goes on where it ends: the first line there
holds the hash of the last line before. Decides nothing about keys: `hsm.signer` writes, `verify`
checks.
"""

import fcntl
import hashlib
import json
import operator
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hsm.durable import sync_folder
from wire.errors import Refused, Unavailable

MOST_BYTES = 64 * 1024 * 1024
MOST_DIGESTS = 32
"""Of one line, which stays far below what is read back to find the last line."""

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

    digests: tuple[str, ...] = ()
    """SHA-256 of each message in hexadecimal, at most `MOST_DIGESTS`; none when nothing was to be
    signed."""


class AuditFile:
    """The file, for several threads and programs: what `record` returns from is on the disk."""

    def __init__(
        self,
        path: Path,
        now_s: Callable[[], float] = time.time,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """Open or make it, mode 0600; `now_s` gives Unix seconds. Raises Unavailable."""
        self._path = path
        self._now_s = now_s
        self._most_bytes = most_bytes
        with _in_words(path):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
            sync_folder(path.parent)

    def record(self, deeds: Sequence[Deed]) -> None:
        """Append one line for each deed; raises Unavailable when the disk does not take them."""
        with _in_words(self._path):
            while not self._recorded(deeds):
                pass  # The file was full, or another program has just put it away.

    def _recorded(self, deeds: Sequence[Deed]) -> bool:
        # It is made anew only where its power was cut while a full one was put away.
        flags = os.O_RDWR | (os.O_CREAT if _full_files(self._path) else 0)
        with os.fdopen(os.open(self._path, flags, 0o600), "r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(file.fileno(), self._path):
                return False
            number, previous, end = _end(file.fileno(), self._path)
            if end >= self._most_bytes:
                _put_away(file.fileno(), self._path, end)
                return False
            time_ms = int(self._now_s() * 1000)
            lines = b""
            for deed in deeds:
                line = _line(number, time_ms, deed, previous)
                lines += line + b"\n"
                number, previous = number + 1, hashlib.sha256(line).digest()
            _append(file.fileno(), lines, end)
            return True


def files(path: Path) -> list[Path]:
    """The audit file with the full ones before it, the oldest first."""
    return [*_full_files(path), *([path] if path.exists() or not _full_files(path) else [])]


def verify(path: Path) -> tuple[int, str]:
    """Check every line of all its files; return their count and the last one's hash in hexadecimal.

    Raises:
        DamagedAudit: naming the first line that does not follow from the one before.
        Unavailable: the file cannot be read.
    """
    count, previous = 0, _FIRST
    for each in files(path):
        with _in_words(each), each.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    raise DamagedAudit(f"{each}: line {count + 1} of the chain is torn")
                if _links(line, each) != (count, previous.hex()):
                    raise DamagedAudit(
                        f"{each}: line {count + 1} of the chain does not follow from the one"
                        f" before; all files {path.name}.N belong beside it"
                    )
                count, previous = count + 1, hashlib.sha256(line[:-1]).digest()
    return count, previous.hex()


def _full_files(path: Path) -> list[Path]:
    start = len(path.name) + 1
    found = [each for each in path.parent.glob(f"{path.name}.*") if each.name[start:].isdecimal()]
    return sorted(found, key=lambda each: int(each.name[start:]))


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the opened file is still the one of this name."""
    return path.exists() and os.path.samestat(os.fstat(descriptor), path.stat())


def _put_away(descriptor: int, path: Path, end: int) -> None:
    """Give a full file its number; a power cut leaves it under one of the two names, whole."""
    first, _ = _links(os.pread(descriptor, _LONGEST_LINE, 0).partition(b"\n")[0], path)
    full = path.with_name(f"{path.name}.{first}")
    if full.exists():
        raise DamagedAudit(f"{full} is there already, and {path} begins with the same line")
    os.ftruncate(descriptor, end)
    os.fsync(descriptor)
    path.rename(full)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    sync_folder(path.parent)


def _line(number: int, time_ms: int, deed: Deed, previous: bytes) -> bytes:
    fields = {
        "number": number,
        "time_ms": time_ms,
        "event": deed.event,
        "key": deed.key,
        "digests": deed.digests,
        "result": deed.result,
        "previous": previous.hex(),
    }
    return json.dumps(fields, separators=(",", ":")).encode()


def _links(line: bytes, path: Path) -> tuple[int, str]:
    """The line's number, and the hash that it gives for the line before."""
    try:
        fields = json.loads(line)
        number = operator.index(fields["number"])
        number.to_bytes(8, "big")  # As many lines as can be.
        return number, str(fields["previous"])
    except (OverflowError, ValueError, KeyError, TypeError, RecursionError):
        raise DamagedAudit(f"{path}: a line is no audit line: {line[:40]!r}") from None


def _end(descriptor: int, path: Path) -> tuple[int, bytes, int]:
    """Of all files: next number, the last line's hash, and where this one's last line ends."""
    number, previous, end = _tail(descriptor, path)
    full = _full_files(path)
    if end or not full:
        return number, previous, end
    with full[-1].open("rb") as file:
        number, previous, _ = _tail(file.fileno(), full[-1])
    return number, previous, 0


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
