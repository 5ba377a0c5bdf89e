"""Which code runs here: one hash over the legally relevant files (WELMEC 7.2, P2/U2).

Decides the recipe, which the provisioning tool repeats on its side: SHA-256 over, for each file in
order of its path, path, NUL and the file's own SHA-256. Whatever can be imported counts, wherever
it lies: a file beside this package could stand in for one of MicroPython's own modules.
"""

import hashlib
import os

_FOLDER = 0x4000  # As `os.stat` tells it.
_FOLDERS = ("", "lib/", "mete")  # Within others it takes a file at their top to lead further in.


def _file_hash(path):
    """SHA-256 of a file, read in pieces."""
    whole = hashlib.sha256()
    buffer = bytearray(256)
    view = memoryview(buffer)
    with open(path, "rb") as f:
        while True:
            size = f.readinto(buffer)
            if not size:
                return whole.digest()
            whole.update(view[:size])


def files(root="/"):
    """The paths under `root`, in order."""
    found = []
    folders = [""]
    while folders:
        folder = folders.pop()
        for name in os.listdir(root + folder):
            path = folder + name
            if name.endswith(".py") or name.endswith(".mpy"):
                found.append(path)
            elif "." not in name and folder[:4] in _FOLDERS and os.stat(root + path)[0] & _FOLDER:
                folders.append(path + "/")
    return sorted(found)


def software_id(root="/"):
    """The first 4 bytes of the hash, as in every record (field 16)."""
    whole = hashlib.sha256()
    for path in files(root):
        whole.update(path.encode() + b"\x00" + _file_hash(root + path))
    return whole.digest()[:4]
