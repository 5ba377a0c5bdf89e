"""A measuring element that plays a profile: cumulative energy over network time, from a file.

Decides nothing but arithmetic. It stands for an energy chip that counts by itself, whether the
meter's processor is alive or not. Each line of the file is `unix_s,import_mwh,export_mwh`, in
ascending order, the energies cumulative; between two lines energy flows evenly, before the first
and after the last line none does. The file is walked, never held, so a year of it fits any heap.
"""


class SimulatedElement:
    """Counters at any network time."""

    def __init__(self, path):
        """Open the profile; raises OSError when there is none, ValueError when it is empty."""
        self._file = open(path)  # noqa: SIM115 - held for life
        self._rewind()

    def _rewind(self):
        self._file.seek(0)
        self._before = self._after = self._line()
        if self._before is None:
            raise ValueError("profile without a line")

    def _line(self):
        text = self._file.readline().strip()
        return tuple([int(field) for field in text.split(",")]) if text else None

    def read(self, at_ms):
        """(import, export) counters in mWh at a network time.

        An element of metal ignores the time and latches now; the meter asks at the boundary.
        """
        if at_ms < self._before[0] * 1000:
            self._rewind()
        while self._after is not None and self._after[0] * 1000 <= at_ms:
            self._before, self._after = self._after, self._line()
        start_s, *first = self._before
        if self._after is None or at_ms <= start_s * 1000:
            return tuple(first)
        end_s, *second = self._after
        part, whole = at_ms - start_s * 1000, (end_s - start_s) * 1000
        return tuple([a + (b - a) * part // whole for a, b in zip(first, second)])
