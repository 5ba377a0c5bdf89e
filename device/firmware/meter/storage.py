"""Where the meter keeps what must last: two logs and the state, under one folder.

Decides names and sizes: days of records, and events for as long as a meter hangs.
"""

from meter import boot
from meter.log import Log, files_for

EVENT_FILES = 16
EVENTS_PER_FILE = 64  # With the files above about a thousand events.


class Storage:
    """`records` and `events` are logs; `state_path` is for `meter.state`, `known` what is there."""

    def __init__(self, folder, log_days=35, interval_s=900):
        """Open what is in `folder` ("" for the root of a board); raises StateLost."""
        self.records = Log(folder + "/log", files_for(log_days, interval_s))
        self.events = Log(folder + "/events", EVENT_FILES, EVENTS_PER_FILE)
        self.state_path = folder + "/state.json"
        self.known = boot.recall(self)
