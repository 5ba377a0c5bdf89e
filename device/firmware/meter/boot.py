"""What a boot makes of what the meter remembers; forgotten before the meter runs.

Decides whether state and logs belong together. Whatever a power cut interrupted is taken back to
where its payload stands in the state, unsigned.
"""

import json

from meter.state import checksum

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
        if saved.pop("check") != checksum(saved, 0):
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


def recall(storage):
    """The state of a meter whose logs end where it says; raises StateLost."""
    records, log = storage.records, storage.events
    known = load(storage.state_path, records.head)
    if known["sequence"] == records.head:
        records.drop_damaged_end()  # Its payload is still here: it is signed again.
    if known["sequence"] - records.head not in (0, 1):
        raise StateLost("the log ends at %d" % records.head)
    waiting = known["unsigned_events"]
    if waiting and known["events"] - len(waiting) < log.head:
        log.drop_damaged_end()  # The same with an event.
    while waiting and known["events"] - len(waiting) < log.head:
        waiting.pop(0)  # Was signed and logged when the power failed.
    if known["events"] - len(waiting) != log.head:
        raise StateLost("the event log ends at %d" % log.head)
    return known
