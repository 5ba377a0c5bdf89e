"""Which clock a program runs by: the machine's, or a simulator's.

Network time is what readings, blocks and deadlines speak of. In life it is the machine's clock. A
genesis that says `paced_time` allows a simulator to pace it; only here is that chosen, so that no
program of a real network can be talked into it by its own configuration.
"""

from pathlib import Path

from gateway.timing import NetworkClock, SystemClock
from wire.errors import Refused


class PacedTimeNotAllowed(Refused):
    """A configuration names a paced clock and the genesis does not allow one, or the reverse."""

    code = "paced-time"


def clock_for(paced_time_file: Path | None, paced_time: bool) -> NetworkClock:
    """Return the clock for a program's configuration and its genesis.

    Args:
        paced_time_file: what the configuration names; None in life.
        paced_time: what the genesis says.

    Raises:
        PacedTimeNotAllowed: one says paced and the other does not.
    """
    if (paced_time_file is not None) != paced_time:
        raise PacedTimeNotAllowed(
            "the genesis says paced_time and the configuration names no paced_time_file"
            if paced_time
            else "the configuration names a paced_time_file and this network runs by real time"
        )
    if paced_time_file is None:
        return SystemClock()
    from hwsim.scaled_clock import PacedClock

    return PacedClock(paced_time_file)
