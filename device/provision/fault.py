"""A trouble at a meter that is expected: a row of the table, and the exception made of it.

Decides how a row becomes one line and an exit status, and that a trouble whose board must be
examined again is `Unavailable` (plugs, ports, silence), while one about what was examined and found
wrong is `Refused`. The rows are in `faults`.
"""

from dataclasses import dataclass
from typing import Any

from wire.errors import Refused, Unavailable

FIRST_STATUS = 10
"""Exit status of a fault in step n is 10 + n; of one outside all steps 10."""


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of trouble. The texts have {names} for what was seen."""

    code: str
    """`P-` and two digits; never given to another trouble."""

    step: int
    """In which of the eight steps it is found; 0 when it can happen in any."""

    what: str
    """What was seen and, where it is not plain, why; one or two sentences."""

    remedy: str
    """What to do."""

    away: bool = False
    """True when nothing was decided: the same command may work in a moment."""

    def fault(self, **values: Any) -> "Fault":
        """The exception to raise."""
        return (AwayFault if self.away else RefusedFault)(self, values)


class Fault(Exception):
    """Trouble with a row in the table. `str()` is the line that people read."""

    def __init__(self, row: Row, values: dict[str, Any]) -> None:
        """See `Row.fault`."""
        self.row = row
        self.values = values
        self.step = row.step
        what, remedy = row.what.format(**values), row.remedy.format(**values)
        super().__init__(f"{row.code} {what} Try: {remedy}")

    @property
    def status(self) -> int:
        """Exit status."""
        return FIRST_STATUS + self.step


class BoardRefused(Refused):
    """The board examined what it was given, or was examined, and something is wrong."""

    code = "board-refused"


class RefusedFault(Fault, BoardRefused):
    """A row about what was examined and found wrong."""


class AwayFault(Fault, Unavailable):
    """A row about what could not be examined now."""
