"""A disk whose power is cut at any write: what SQLite asks for is kept, and replayed up to there.

SQLite's own file layer stays in use; its write, truncate, sync and delete are noted on the way.
What a disk holds after a cut is then any of: everything asked for, only what was synced, or that
with some of the rest, the last write torn.
"""

import ctypes
import random
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_POINTERS_OF_METHODS = 22
_WRITE, _TRUNCATE, _SYNC = 3, 4, 5


@dataclass(frozen=True)
class Step:
    """One thing that SQLite asked of the disk."""

    kind: str
    """write, truncate, sync, delete."""

    name: str
    """The file's name in its folder."""

    place: int = 0
    """Offset of a write, new size of a truncate."""

    data: bytes = b""
    """What is written."""


class _Vfs(ctypes.Structure):
    _fields_ = (
        ("version", ctypes.c_int),
        ("file_size", ctypes.c_int),
        ("longest_path", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("open", ctypes.c_void_p),
        ("delete", ctypes.c_void_p),
        ("rest", ctypes.c_void_p * 16),
    )


_INT, _PLACE, _AT = ctypes.c_int, ctypes.c_int64, ctypes.c_void_p
_OPEN = ctypes.CFUNCTYPE(_INT, _AT, _AT, _AT, _INT, _AT)  # The path must stay where it is.
_DELETE = ctypes.CFUNCTYPE(_INT, _AT, ctypes.c_char_p, _INT)
_WRITING = ctypes.CFUNCTYPE(_INT, _AT, _AT, _INT, _PLACE)
_TRUNCATING = ctypes.CFUNCTYPE(_INT, _AT, _PLACE)
_SYNCING = ctypes.CFUNCTYPE(_INT, _AT, _INT)


class CutDisk:
    """Notes the steps of every database that is opened while it is in use."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._names: dict[int, str] = {}
        self._kept: list[Any] = []  # What C points to must not be collected.
        self._library = _sqlite()
        self._library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
        self._real = self._library.sqlite3_vfs_find(None)
        self._ours = _Vfs.from_buffer_copy(self._real.contents)
        self._ours.name = b"cut"
        real_open, real_delete = _OPEN(self._ours.open), _DELETE(self._ours.delete)

        def opened(vfs: int, path: int | None, file: int, flags: int, out: int) -> int:
            result = int(real_open(vfs, path, file, flags, out))
            if result == 0 and path is not None:
                self._names[file] = Path(ctypes.string_at(path).decode()).name
                self._watch(file)
            return result

        def deleted(vfs: int, path: bytes, sync: int) -> int:
            self.steps.append(Step("delete", Path(path.decode()).name))
            return int(real_delete(vfs, path, sync))

        callbacks = (_OPEN(opened), _DELETE(deleted))
        self._kept += [real_open, real_delete, *callbacks]
        self._ours.open, self._ours.delete = (ctypes.cast(each, _AT) for each in callbacks)

    def _watch(self, file: int) -> None:
        """Put our three methods into a copy of the file's own."""
        methods = _AT.from_address(file)
        table = (_AT * _POINTERS_OF_METHODS).from_buffer_copy(
            (_AT * _POINTERS_OF_METHODS).from_address(methods.value or 0)
        )
        write, truncate, sync = (
            _WRITING(table[_WRITE] or 0),
            _TRUNCATING(table[_TRUNCATE] or 0),
            _SYNCING(table[_SYNC] or 0),
        )

        def writing(this: int, data: int, size: int, place: int) -> int:
            content = ctypes.string_at(data, size)
            self.steps.append(Step("write", self._names[this], place, content))
            return int(write(this, data, size, place))

        def truncating(this: int, size: int) -> int:
            self.steps.append(Step("truncate", self._names[this], size))
            return int(truncate(this, size))

        def syncing(this: int, flags: int) -> int:
            self.steps.append(Step("sync", self._names[this]))
            return int(sync(this, flags))

        callbacks = (_WRITING(writing), _TRUNCATING(truncating), _SYNCING(syncing))
        for index, each in zip((_WRITE, _TRUNCATE, _SYNC), callbacks, strict=True):
            table[index] = ctypes.cast(each, _AT).value
        self._kept += [table, write, truncate, sync, *callbacks]
        methods.value = ctypes.addressof(table)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """While this lasts, files that SQLite opens are on this disk."""
        self._library.sqlite3_vfs_register(ctypes.byref(self._ours), 1)
        try:
            yield
        finally:
            self._library.sqlite3_vfs_register(self._real, 1)
            self._library.sqlite3_vfs_unregister(ctypes.byref(self._ours))

    def after_cut(self, steps: int, chance: random.Random | None, persisted: bool) -> "Files":
        """The files after a cut just before step number `steps`.

        Args:
            steps: how many steps had been asked for.
            chance: which of the unsynced writes survived; None for none of them.
            persisted: everything asked for is there, synced or not.
        """
        return _replayed(self.steps[:steps], chance, persisted)


Files = dict[str, bytearray]


def _replayed(steps: list[Step], chance: random.Random | None, persisted: bool) -> Files:
    files: Files = {}
    waiting: dict[str, list[Step]] = {}
    for step in steps:
        if step.kind == "delete":
            files.pop(step.name, None)
            waiting.pop(step.name, None)
        elif step.kind == "sync":
            for each in waiting.pop(step.name, []):
                _apply(files, each)
        elif persisted:
            _apply(files, step)
        else:
            waiting.setdefault(step.name, []).append(step)
    if chance is not None:
        _survive([each for queue in waiting.values() for each in queue], chance, files)
    return files


def _survive(unsynced: list[Step], chance: random.Random, files: Files) -> None:
    """Half of what was not synced is there nevertheless, torn anywhere."""
    for each in unsynced:
        if chance.random() < 0.5:
            torn = each.data[: chance.randrange(len(each.data) + 1)]
            _apply(files, Step(each.kind, each.name, each.place, torn))


def _apply(files: Files, step: Step) -> None:
    content = files.setdefault(step.name, bytearray())
    if step.kind == "truncate":
        del content[step.place :]
        return
    content.extend(bytes(max(0, step.place - len(content))))
    content[step.place : step.place + len(step.data)] = step.data


def _sqlite() -> Any:
    """The very library that Python's sqlite3 calls."""
    assert sqlite3.sqlite_version
    for line in Path("/proc/self/maps").read_text().splitlines():
        name = line.rpartition(" ")[2]
        if "libsqlite3.so" in name:
            return ctypes.CDLL(name)
    return ctypes.CDLL(None)
