"""Files that are on the disk when the call returns: the content and the folder's entry for it."""

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a file made or renamed in it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_new(path: Path, content: bytes) -> None:
    """Write a new file, mode 0600, flushed; raises FileExistsError when there is one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    sync_folder(path.parent)


def replace(path: Path, content: bytes) -> None:
    """Write a file, mode 0600, whole or not at all: the old content stays until the new is safe."""
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    beside.replace(path)
    sync_folder(path.parent)
