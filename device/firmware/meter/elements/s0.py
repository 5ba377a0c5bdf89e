"""S0 pulse outputs (IEC 62053-31): one for import and, if there is one, another for export.

Decides what a pulse is: the output conducts for `pulse_ms` in all (the standard's class A gives at
least 30), and a new pulse begins only after a rest of `pulse_ms`. Bouncing and sparks shorter than
that neither make nor split a pulse. Energy is pulses * 10**6 // pulses_per_kwh, reckoned from their
total, so nothing drifts. Counters live in RAM: `volatile`.

A board with a counter in hardware gives it from `pulse_input` (anything with `value()`), which then
decides what a pulse is and counts while flash is being written and no handler can run. Where there
is none, `pulse_input` returns None and calls `Line.edge` with the pin at each edge, low while the
output conducts; that handler allocates nothing and may run in a hard interrupt.
"""

import time

from meter import NotConfigured

PULSE_MS = 20  # Less than the 30 of the standard, for late interrupts.
MWH_PER_KWH = 1000000


class Line:
    """Counts the pulses of one output from its edges."""

    def __init__(self, pulse_ms, clock=time):
        """`clock` has the ticks of MicroPython's `time`."""
        self._pulse_ms = pulse_ms
        self._ticks, self._diff = clock.ticks_ms, clock.ticks_diff
        self._since = self._ticks()  # The last edge.
        self._low = False
        self._low_ms = 0  # How long this pulse has conducted already.
        self._counted = False
        self._rested = self._since  # The opening after which it was seen to rest.
        self._pulses = 0

    def edge(self, pin):
        """The output switched: the pin's level says which way."""
        now = self._ticks()
        low = not pin.value()
        if low == self._low:
            return  # Both edges of a spark, seen too late.
        passed = self._diff(now, self._since)
        rested = self._rested == self._since
        self._since = now
        self._low = low
        if not low:
            self._low_ms += passed
            if self._low_ms >= self._pulse_ms and not self._counted:
                self._counted = True
                self._pulses += 1
        elif rested or passed >= self._pulse_ms:
            self._counted = False
            self._low_ms = 0

    def step(self):
        """Notice that the output rests; call it more often than the ticks wrap.

        An edge may interrupt this anywhere: it makes another opening, and this says nothing of it.
        """
        since = self._since
        if not self._low and self._diff(self._ticks(), since) >= self._pulse_ms:
            self._rested = since

    def value(self):
        """Pulses so far."""
        return self._pulses


class S0:
    """Two counters of pulses, and what a pulse is worth."""

    volatile = True

    def __init__(self, pulses_per_kwh, counters, lines=()):
        """`counters` for import and, or None, export; `lines` are those of them that step."""
        self._pulses_per_kwh = pulses_per_kwh
        self._counters = counters
        self._lines = lines

    def step(self):
        """Called often by the loop."""
        for line in self._lines:
            line.step()

    def read(self, at_ms):
        """(import, export) counters in mWh now, whatever the time."""
        return tuple([self._mwh(counter) for counter in self._counters])

    def _mwh(self, counter):
        return counter.value() * MWH_PER_KWH // self._pulses_per_kwh if counter else 0

    def measure(self):
        """A pulse tells energy, and neither voltage nor frequency."""
        return None


def make(settings, board):
    """From {"kind": "s0", "pulses_per_kwh": 1000}.

    Optional: "export", 1 when the second output counts export; "pulse_ms".
    """
    pulses_per_kwh = settings.get("pulses_per_kwh", 0)
    pulse_ms = settings.get("pulse_ms", PULSE_MS)
    if not 1 <= pulses_per_kwh <= 1000000 or not 1 <= pulse_ms <= 1000:
        raise NotConfigured("element: pulses_per_kwh as on the nameplate, pulse_ms from 1 to 1000")
    counters, lines = [None, None], []
    for i, name in enumerate(("s0_import", "s0_export")):
        if i == 0 or settings.get("export"):
            line = Line(pulse_ms)
            counters[i] = board.pulse_input(name, line.edge)
            if counters[i] is None:
                counters[i] = line
                lines.append(line)
    return S0(pulses_per_kwh, counters, lines)
