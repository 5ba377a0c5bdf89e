"""Notes for the next start: what happened to the meter while it did not run.

Decides what is kept of a session at the console and of a crash: a few notes in a file, which become
signed events when the meter starts again.
"""

import json
import os

from meter import events

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
