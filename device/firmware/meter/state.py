"""What must survive power loss besides the logs, in one small file that is replaced whole.

Decides the meter's single point of commitment: registers, operating time, the open interval, the
unsigned payload of the record being made and the events that wait for a signature are written
together, before anything is signed. Whoever finds a payload here whose record is not in the log
signs these bytes again; with RFC 6979 nonces even the signature is the same. Replacing is by
rename, which is atomic on littlefs and POSIX. A CRC-32 over all values is among them, so that a
bit that rots in a register is noticed and never signed. What is in it, and reading it, is `boot`.
"""

import json
import os
from binascii import crc32


def save(path, state):
    """Replace the file; after a power cut either the old or the new one is there."""
    state["check"] = checksum(state, 0)
    with open(path + ".new", "w") as f:
        json.dump(state, f)
    os.rename(path + ".new", path)
    del state["check"]


def checksum(value, before):
    """CRC-32 over everything in a value, piece by piece: a copy of it all would fill the heap."""
    if isinstance(value, dict):
        for key in sorted(value):
            before = checksum(value[key], crc32(key.encode(), before))
        return before
    if isinstance(value, (list, tuple)):
        for item in value:
            before = checksum(item, before)
        return crc32(b"]", before)
    return crc32(str(value).encode() + b",", before)
