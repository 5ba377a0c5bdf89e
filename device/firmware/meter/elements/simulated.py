"""A measuring element that plays a profile: cumulative energy over network time, from a file.

Decides nothing but arithmetic. It stands for an energy chip that counts by itself, whether the
meter's processor is alive or not. Each line of the file is `unix_s,import_mwh,export_mwh`, in
ascending order, the energies cumulative; between two lines energy flows evenly, before the first
and after the last line none does. The file is walked, never held, so a year of it fits any heap.
"""


class SimulatedElement:
    """Counters at any network time."""

    volatile = False

    volatile = False

    def __init__(self, path):
        """Play the profile at `path`."""
        self._path = path
        self._offset = 0  # Where the line is that was passed last.

    def read(self, at_ms):
        """(import, export) counters in mWh at a network time.

        None when it cannot be read. An element of metal ignores the time and latches now; the
        meter asks at the boundary.
        """
        try:
            with open(self._path) as f:
                before, after = self._lines_around(f, at_ms)
        except OSError:
            return None
        start_s, *first = before
        if after is None or at_ms <= start_s * 1000:
            return tuple(first)
        end_s, *second = after
        part, whole = at_ms - start_s * 1000, (end_s - start_s) * 1000
        return tuple([a + (b - a) * part // whole for a, b in zip(first, second)])

    def measure(self):
        """Single phase, 230 V and 50 Hz; the power is the mean between the lines passed last."""
        try:
            with open(self._path) as f:
                f.seek(self._offset)
                before, after = _line(f), _line(f)
        except OSError:
            return None
        power_mw = 0
        if after is not None:
            flowed_mwh = after[1] - before[1] - (after[2] - before[2])
            power_mw = flowed_mwh * 3600 // (after[0] - before[0])
        return 50000, ((230000, abs(power_mw) // 230, power_mw),)

    def _lines_around(self, f, at_ms):
        """The last line not after a time, or the first of the file; and the line behind it."""
        f.seek(self._offset)
        before = _line(f)
        if before[0] * 1000 > at_ms and self._offset:
            f.seek(0)
            before = _line(f)
            self._offset = 0
        while True:
            offset = f.tell()
            after = _line(f)
            if after is None or after[0] * 1000 > at_ms:
                return before, after
            self._offset, before = offset, after


def _line(f):
    text = f.readline().strip()
    return tuple([int(field) for field in text.split(",")]) if text else None


def make(settings, board):
    """From {"kind": "simulated", "profile": path}."""
    return SimulatedElement(settings["profile"])
