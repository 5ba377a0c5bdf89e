"""What must survive power loss besides the logs, in one small file that is replaced whole.

Decides the meter's single point of commitment: registers, operating time, the open interval, the
unsigned payload of the record being made and the events that wait for a signature are written
together, before anything is signed. Whoever finds a payload here whose record is not in the log
signs these bytes again; with RFC 6979 nonces even the signature is the same. Replacing is by
rename, which is atomic on littlefs and POSIX. A CRC-32 over all values is among them, so that a
bit that rots in a register is noticed and never signed.
"""

import json
import os
from binascii import crc32

FRESH = {
    "boots": 0,
    "operating_s": 0,
    "totals_mwh": [0, 0],
    "counters_mwh": None,
    "open_start_s": None,
    "open_wh": [0, 0],
    "closed_until_s": 0,
    "times_set": 0,
    "set_at_s": 0,
    "sequence": 0,
    "pending": "",
    "sticky": 0,
    "events": 0,
    "unsigned_events": [],
    "event_hash": "",
    "known": {},
}
"""A meter's first boot. `open_wh`: registers at the start of the open interval; `sequence`: of the
next record; `pending`: the payload of the one before it, in hex; `sticky`: status bits that stay
until they are acknowledged; `events`: how many were ever made; `unsigned_events`: payloads of the
newest of them, in hex; `event_hash`: of the newest; `known`: software, configuration and key that
the meter ran with last, in hex."""


class StateLost(Exception):
    """Logs and state do not belong together: a number could be used twice, so nothing runs."""


def load(path, head):
    """The saved state, or a fresh one when the log is empty too; raises StateLost."""
    try:
        with open(path) as f:
            saved = json.load(f)
        if saved.pop("check") != _check(saved, 0):
            raise ValueError
    except (OSError, ValueError, KeyError, AttributeError):
        if head:
            raise StateLost(path)
        saved = {}
    state = dict(FRESH)
    for key in ("unsigned_events", "known"):
        state[key] = type(FRESH[key])()
    state.update(saved)
    return state


def save(path, state):
    """Replace the file; after a power cut either the old or the new one is there."""
    state["check"] = _check(state, 0)
    with open(path + ".new", "w") as f:
        json.dump(state, f)
    os.rename(path + ".new", path)
    del state["check"]


def _check(value, before):
    """CRC-32 over everything in a value, piece by piece: a copy of it all would fill the heap."""
    if isinstance(value, dict):
        for key in sorted(value):
            before = _check(value[key], crc32(key.encode(), before))
        return before
    if isinstance(value, (list, tuple)):
        for item in value:
            before = _check(item, before)
        return crc32(b"]", before)
    return crc32(str(value).encode() + b",", before)
