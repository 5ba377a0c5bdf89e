"""Progress of long work, on a terminal as one line that moves, elsewhere as a line now and then."""

from types import TracebackType
from typing import Self, TextIO

_WIDTH = 30
_LINES = 10
"""Lines that a file gets of the whole work."""


class Bar:
    """So much of so much."""

    def __init__(self, what: str, total: int, stream: TextIO) -> None:
        """Take what is counted, how many there are, and where it is told."""
        self._what = what
        self._total = max(total, 1)
        self._stream = stream
        self._terminal = stream.isatty()
        self._told = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, reason: object, trace: TracebackType | None
    ) -> None:
        if self._terminal and self._told >= 0:
            self._stream.write("\n")

    def show_of(self, done: int, total: int) -> None:
        """The same where the total comes with the work."""
        self._total = max(total, 1)
        self.show(done)

    def show(self, done: int) -> None:
        """Tell when there is something new to see."""
        steps = _WIDTH if self._terminal else _LINES
        step = done * steps // self._total
        if step == self._told:
            return
        self._told = step
        count = f"{done} of {self._total} {self._what}"
        if self._terminal:
            line = "#" * step + "." * (_WIDTH - step)
            self._stream.write(f"\r{line} {count}")
        else:
            self._stream.write(f"{count}\n")
        self._stream.flush()
