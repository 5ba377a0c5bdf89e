"""Child processes of a demo or a test: started, watched, killed and started again.

Each runs in a session of its own, so that ending one ends what it started, and writes its log to
a file. Nothing here knows what the programs do.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from wire.errors import Unavailable

STOP_TIMEOUT_S = 10.0


class Program:
    """One program that may be started, killed and started again."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Take what to run (`python` arguments, so `-m module …`); nothing runs yet."""
        self.name = name
        self.log = log
        self._arguments = [sys.executable, *arguments]
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """Whether it runs now."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id of the last start."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    def start(self) -> None:
        """Start it; its log is appended to."""
        if self.alive:
            raise AssertionError(f"{self.name} is already running")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise Unavailable with its last words when it should run and does not."""
        if self._process is not None and self._process.poll() is not None:
            status = self._process.returncode
            raise Unavailable(f"{self.name} ended with status {status}: {self.last_words()}")

    def stop(self) -> None:
        """Ask it to end and wait; after a while it is killed."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it and its children at once, as a power cut would."""
        self._end(signal.SIGKILL)

    def last_words(self) -> str:
        """The last lines of its log."""
        with contextlib.suppress(OSError):
            return " / ".join(self.log.read_text(errors="replace").splitlines()[-3:])
        return ""

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if how is signal.SIGTERM:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT_S)
        # What it started goes with it, whether it ended in order or not.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
