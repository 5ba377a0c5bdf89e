"""Puts a bundle on a board so that it is whole or does not start.

Decides the order: main.py goes first away and comes last, so that a copy that was interrupted is a
board with a prompt and no meter of mixed parts. What is there already stays; what nobody here put
under /meter, /lib or at the root as code goes, and is named; all of it is hashed on the board.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from mpremote.transport import TransportExecError

from device.provision import asked, faults
from device.provision.bundle import Bundle
from device.provision.console import Console, last_words

_SPARE_BYTES = 64 * 1024
"""For state, events and the first days of records."""

_MAIN = "main.py"


@dataclass(frozen=True, slots=True)
class Difference:
    """How a board differs from a bundle."""

    changed: tuple[str, ...]
    """Files that are missing or other."""

    foreign: tuple[str, ...]
    """Files that do not belong there."""

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.changed or self.foreign)

    @property
    def words(self) -> str:
        """For people."""
        parts = []
        if self.changed:
            parts.append(f"{len(self.changed)} files missing or other ({_few(self.changed)})")
        if self.foreign:
            parts.append(f"files that do not belong there ({_few(self.foreign)})")
        return ", ".join(parts)


def _few(paths: tuple[str, ...]) -> str:
    return ", ".join(paths[:3]) + (", …" if len(paths) > 3 else "")


def difference(console: Console, bundle: Bundle) -> Difference:
    """Compare by the hashes that the board computes."""
    found = asked.hashes(console)
    changed = [
        path
        for path, data in bundle.files.items()
        if found.get(path) != hashlib.sha256(data).digest()
    ]
    foreign = sorted(found.keys() - bundle.files.keys())
    return Difference(tuple(changed), tuple(foreign))


def install(console: Console, bundle: Bundle, free_bytes: int) -> Difference:
    """Copy what differs, remove what is foreign, verify all on the board; what was done."""
    found = difference(console, bundle)
    if not found:
        return found
    needed = sum(len(bundle.files[path]) for path in found.changed) + _SPARE_BYTES
    if found.changed and free_bytes < needed:
        raise faults.FLASH_FULL.fault(free=free_bytes // 1024, needed=-(-needed // 1024))
    _remove(console, (_MAIN, *found.foreign))
    changed = tuple(path for path in found.changed if path != _MAIN)
    _write(console, {path: bundle.files[path] for path in changed})
    _write(console, {_MAIN: bundle.files[_MAIN]})
    left = difference(console, bundle)
    if left:
        raise faults.FILE_DIFFERS.fault(path=(*left.changed, *left.foreign)[0])
    return found


def _remove(console: Console, paths: tuple[str, ...]) -> None:
    """Remove files, and folders that are empty then: an empty one would pass for a module."""
    for path in paths:
        folders = ["/" + str(parent) for parent in PurePosixPath(path).parents][:-1]
        for what, deed in (("/" + path, "remove"), *((folder, "rmdir") for folder in folders)):
            console.run(f"import os\ntry:\n    os.{deed}({what!r})\nexcept OSError:\n    pass")


def _write(console: Console, files: Mapping[str, bytes]) -> None:
    folders = {str(parent) for path in files for parent in PurePosixPath(path).parents} - {"."}
    for folder in sorted(folders):
        console.run(f"import os\ntry:\n    os.mkdir({'/' + folder!r})\nexcept OSError:\n    pass")
    for path, data in files.items():
        try:
            console.fs_writefile("/" + path, data, chunk_size=1024)
        except TransportExecError as error:
            raise faults.CRASHED.fault(words=last_words(error)) from None
        except OSError:
            raise asked.full(console, len(data)) from None


def software_id(console: Console, bundle: Bundle) -> bytes:
    """What the board says of its software; raises a Fault when it is not the bundle's."""
    found: bytes = console.ask("from meter import software\nprint(software.software_id())")
    if found != bundle.software_id:
        raise faults.SOFTWARE_DIFFERS.fault(found=found.hex(), expected=bundle.software_id.hex())
    return found
