"""How a command ends when it is told to: in order, as after Ctrl-C, with all that it has started.

Decides what SIGTERM, and SIGHUP of a terminal that closes, become: a Ctrl-C, once, and the exit
status that a shell gives them. What has to be ended stands in the commands' own finally clauses.
Services that have handlers of their own keep them.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

TELLING = (signal.SIGTERM, signal.SIGHUP)


class Ending:
    """Whether the running command was told to end, and how."""

    def __init__(self) -> None:
        """Nobody has told it yet."""
        self.by: signal.Signals | None = None
        """The first signal that told it."""
        self._process = os.getpid()

    def hear(self, number: int, _frame: FrameType | None) -> None:
        """A signal has come; further ones change nothing about an end that is under way."""
        if os.getpid() != self._process:  # A forked child ends as any process does.
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        elif self.by is None:
            self.by = signal.Signals(number)
            if not callable(signal.getsignal(signal.SIGINT)):  # Ignored, as of a shell's `&`.
                raise KeyboardInterrupt
            signal.raise_signal(signal.SIGINT)

    def status(self, own: int) -> int:
        """The exit status of a command that would end with its own."""
        return own if self.by is None else 128 + self.by


@contextmanager
def in_order() -> Iterator[Ending]:
    """While a command runs in the main thread, what tells it to end is as Ctrl-C."""
    ending, before = Ending(), {}
    if threading.current_thread() is threading.main_thread():
        before = {each: signal.getsignal(each) for each in TELLING}
    heard = [each for each, known in before.items() if known is not signal.SIG_IGN]
    for each in heard:
        signal.signal(each, ending.hear)
    try:
        yield ending
    finally:
        for each in heard:
            signal.signal(each, before[each])
