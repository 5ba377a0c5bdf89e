"""The folder of a demo: made anew for each, and never under one that still runs.

Decides what may be removed: what an earlier demo has left, known by the file that says so. The same
file is the running demo's lock and holds its process id.
"""

import fcntl
import os
import shutil
from pathlib import Path
from typing import BinaryIO

from wire.errors import Refused

MARKER = ".gridwitness-demo"


class DemoRuns(Refused):
    """Another demo works in this folder."""

    code = "demo-runs"


def take(folder: Path) -> BinaryIO:
    """Empty an earlier demo's folder, or make one; it is ours until the returned file is closed.

    Raises:
        FileExistsError: what is in it is no demo's; nothing was removed.
        DemoRuns: a demo runs in it; nothing was removed.
    """
    marker = folder / MARKER
    if folder.exists() and not marker.exists() and any(folder.iterdir()):
        raise FileExistsError(17, "is not a demo's folder; name another by --dir", str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    lock = marker.open("ab+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        process = lock.read().decode(errors="replace").strip() or "just starting"
        lock.close()
        raise DemoRuns(
            f"a demo runs in {folder} (process {process}): end it with Ctrl-C, or name another"
            " folder by --dir"
        ) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n".encode())
    lock.flush()
    _remove_all_but(marker)
    return lock


def _remove_all_but(marker: Path) -> None:
    for each in marker.parent.iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        elif each != marker:
            each.unlink()
