"""Notes for the next start: what happened to the meter while it did not run.

Decides what is kept of a session at the console and of a crash: a few notes in a file, which become
signed events when the meter starts again; and which changes of configuration, software and key are
events of a start.
"""

import json
import os

from meter import events, record

PATH = "/notes.json"
MOST = 4
MOST_TEXT = 24  # Of an event, so that the longest fits a slot of the log.


def _read():
    try:
        with open(PATH) as f:
            return json.load(f)
    except (OSError, ValueError):
        return []


def _add(kind, details):
    notes = _read()
    if [kind, details] not in notes and len(notes) < MOST:
        with open(PATH + ".new", "w") as f:
            json.dump(notes + [[kind, details]], f)
        os.rename(PATH + ".new", PATH)


def session():
    """Somebody stopped the meter at its console."""
    _add(events.SERVICE, [])


def crash(error):
    """The meter ended by itself."""
    _add(events.CRASH, [(type(error).__name__ + ": " + str(error))[:MOST_TEXT]])


def acknowledge(technician):
    """A technician has seen to what the sticky status bits tell."""
    _add(events.ACKNOWLEDGED, [technician[:MOST_TEXT]])


def hand_over(meter):
    """Give the notes to the meter that starts, which saves them as events."""
    notes = _read()
    if notes:
        meter.noted(notes)
        os.remove(PATH)


def changes(state, event, configuration_id, software_id, kid):
    """Make the events of what a meter runs with now and did not before: `event(kind, details)`.

    An event for which there is no room (False) is told at the next boot.
    """
    for name, now, kind, bit in (
        ("configuration", configuration_id, events.CONFIGURATION, record.CONFIGURATION_CHANGED),
        ("software", software_id, events.SOFTWARE, record.SOFTWARE_CHANGED),
        ("key", kid, events.KEY, record.CONFIGURATION_CHANGED),
    ):
        before = state["known"].get(name)
        if before == now.hex():
            continue
        if before is None:
            event(kind, [now])
        elif event(kind, [bytes.fromhex(before), now]):
            state["sticky"] |= bit
        else:
            continue
        state["known"][name] = now.hex()
