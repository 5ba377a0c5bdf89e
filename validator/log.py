"""Where log lines go: standard error, one JSON object each, and never at the validator's cost.

A log on a full disk cannot be written; what it would have said is lost, and the validator goes on.
"""

import contextlib
import sys
from typing import TextIO

import structlog


class Unfailing:
    """A stream whose disk may be full."""

    def __init__(self, stream: TextIO) -> None:
        """Take where to write."""
        self._stream = stream

    def write(self, text: str) -> None:
        """Write, if that can be done now."""
        with contextlib.suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        """Flush, if that can be done now."""
        with contextlib.suppress(OSError):
            self._stream.flush()


def set_up() -> None:
    """Let structlog write from now on."""
    stream = Unfailing(sys.stderr)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        logger_factory=structlog.WriteLoggerFactory(stream),  # type: ignore[arg-type]
    )
