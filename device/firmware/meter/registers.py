"""The import and export registers: monotone, in milliwatt-hours, over resets and power cuts.

Decides how an element's counter becomes the meter's register. The register grows by what the
element's counter grew; a counter that stands lower than before was reset or exchanged, and counts
from zero. A value that could not be read leaves the register where it was (held).
"""

MWH_PER_WH = 1000


class Registers:
    """Both directions, and where the element's counters stood when they were last read."""

    def __init__(self, totals_mwh=(0, 0), counters_mwh=None, volatile=False):
        """Go on from saved values; without counters the first one read becomes the start.

        A `volatile` element counts from zero after each boot, whatever was saved.
        """
        self.totals_mwh = list(totals_mwh)
        self.counters_mwh = [0, 0] if volatile else counters_mwh and list(counters_mwh)

    def count(self, counters_mwh):
        """Take the element's (import, export) counters; None is a failed read."""
        if counters_mwh is None:
            return
        if self.counters_mwh is not None:
            for i in range(2):
                before, after = self.counters_mwh[i], counters_mwh[i]
                self.totals_mwh[i] += after - before if after >= before else after
        self.counters_mwh = list(counters_mwh)

    def wh(self):
        """(import, export) in whole watt-hours, as a record shows them."""
        return self.totals_mwh[0] // MWH_PER_WH, self.totals_mwh[1] // MWH_PER_WH
