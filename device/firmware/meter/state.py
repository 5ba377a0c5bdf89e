"""What must survive power loss besides the logs, in one small file that is replaced whole.

Decides the meter's single point of commitment: registers, operating time, the open interval, the
unsigned payload of the record being made and the events that wait for a signature are written
together, before anything is signed. Whoever finds a payload here whose record is not in the log
signs these bytes again; with RFC 6979 nonces even the signature is the same. Replacing is by
rename, which is atomic on littlefs and POSIX. The file is a line of JSON and a line with its
CRC-32, so that a bit that rots in a register is noticed and never signed.
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
            text, check = f.read().split("\n")
        if check != _crc(text):
            raise ValueError("damaged")
        saved = json.loads(text)
    except (OSError, ValueError):
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
    text = json.dumps(state)
    with open(path + ".new", "w") as f:
        f.write(text)
        f.write("\n" + _crc(text))
    os.rename(path + ".new", path)


def _crc(text):
    return "%08x" % crc32(text.encode())
