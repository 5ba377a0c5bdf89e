"""What must survive power loss besides the log, in one small file that is replaced whole.

Decides the meter's single point of commitment: registers, operating time, the open interval and the
unsigned payload of the record being made are written together, before anything is signed. Whoever
finds a payload here whose record is not in the log signs these bytes again; with RFC 6979 nonces
even the signature is the same. Replacing is by rename, which is atomic on littlefs and POSIX.
"""

import json
import os

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
}
"""A meter's first boot. `open_wh`: registers at the start of the open interval; `sequence`: of the
next record; `pending`: the payload of the one before it, in hex."""


class StateLost(Exception):
    """Log and state do not belong together: a sequence could be used twice, so nothing runs."""


def load(path, head):
    """The saved state, or a fresh one when the log is empty too; raises StateLost."""
    try:
        with open(path) as f:
            saved = json.load(f)
    except (OSError, ValueError):
        if head:
            raise StateLost(path)
        saved = {}
    state = dict(FRESH)
    state.update(saved)
    return state


def save(path, state):
    """Replace the file; after a power cut either the old or the new one is there."""
    with open(path + ".new", "w") as f:
        json.dump(state, f)
    os.rename(path + ".new", path)
