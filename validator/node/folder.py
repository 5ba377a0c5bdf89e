"""One process for one data folder: two with one key and one ledger would speak against each other.

The kernel holds the claim (flock(2)) and gives it up when the process ends, however it ends.
"""

import fcntl
from pathlib import Path
from typing import BinaryIO

from wire.errors import Unavailable


def claim_folder(folder: Path) -> BinaryIO:
    """Claim a folder until the returned file is closed.

    Raises:
        Unavailable: another process has it.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    file = (folder / "claim").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise Unavailable(f"another validator runs in {folder}: end it first") from None
    return file
