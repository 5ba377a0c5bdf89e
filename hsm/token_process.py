"""The process that owns a token, as its parent sees it: start, ask, end.

Decides how each kind of answer is raised. When it is started, and which PIN it gets, is decided by
`hsm.signer` and `hsm.refusals`.
"""

import os
import select
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from hsm.frames import (
    ANSWER_AWAY,
    ANSWER_DONE,
    ANSWER_LOCKED,
    ANSWER_PIN,
    read_frame,
    write_frame,
)
from hsm.refusals import NoAnswer, PinLocked, PinRefused, trying
from hsm.uri import KeyUri, Pin
from wire.errors import Malformed, Refused, Unavailable

ANSWER_TIMEOUT_S = 30.0
GRACE_S = 2.0

COMMAND = (sys.executable, "-P", "-m", "hsm.worker")
"""-P: no module of the working folder is loaded where the PIN goes."""


class KeyRefused(Refused):
    """The token or its key cannot do what is asked, or the key is not the pinned one."""

    code = "key-refused"


class TokenProcess:
    """The child process and the pipe to it. For one thread at a time."""

    def __init__(
        self,
        uri: KeyUri,
        softhsm2_conf: Path | None,
        *,
        writes: bool = False,
        final_try: bool = False,
    ) -> None:
        """Start it; nothing of the token is opened before the first request.

        Args:
            uri: which key.
            softhsm2_conf: SoftHSM's configuration file; None for other tokens.
            writes: whether something in the token is to be made.
            final_try: whether to log in although one wrong PIN more would lock the token.
        """
        self._uri = uri
        environment = dict(os.environ)
        if softhsm2_conf is not None:
            environment["SOFTHSM2_CONF"] = str(softhsm2_conf.resolve())
        # A session of its own: Ctrl-C at the terminal is for the parent, whose end ends this one.
        self._process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        where = {
            "module": os.path.realpath(uri.module),
            "reserved": uri.reserved,
            "token": uri.token,
            "label": uri.label,
            "id": uri.key_id,
            "writes": writes,
            "final_try": final_try,
        }
        if not self._wrote(where):
            self.end()
            raise NoAnswer("the token process ended")

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    def login(self) -> None:
        """Find the token, then log in: once in this process's life.

        The PIN travels through the pipe, never by argument or environment. Raises as `ask`.
        """
        self.ask("token")
        with trying(self._uri) as pin:
            self.ask("login", pin)

    def ask(self, name: str, argument: Any = None) -> Any:
        """Do one request. A PIN goes as a `Pin`, revealed only on its way into the pipe.

        Raises:
            PinRefused, PinLocked, KeyRefused: a person has to act.
            NoAnswer: it was asked, and ended or hung before it said how that went.
            Unavailable: the token is away.
        """
        if not self._wrote([name, argument]):
            raise NoAnswer("the token process ended")
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], ANSWER_TIMEOUT_S)
        if not ready:
            raise NoAnswer(f"the token has not answered for {ANSWER_TIMEOUT_S:.0f} s")
        try:
            kind, content = read_frame(self._process.stdout)
        except (EOFError, Malformed, TypeError, ValueError):
            raise NoAnswer("the token process ended, or said what is no answer") from None
        if kind == ANSWER_DONE:
            return content
        if kind == ANSWER_AWAY:
            raise Unavailable(f"the token is away: {content}")
        if kind == ANSWER_PIN:
            raise PinRefused(f"the token refused the PIN ({content}); it is not tried again")
        if kind == ANSWER_LOCKED:
            raise PinLocked(f"the token takes no PIN now ({content})")
        raise KeyRefused(f"the token's key: {content}")

    def end(self) -> None:
        """End the child: it closes its session, which a TPM has few of, or is killed."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def disown(self) -> None:
        """In a forked child: let go of a process that the parent goes on using."""
        self._process.returncode = 0  # Not ours to wait for.
        nothing = os.open(os.devnull, os.O_RDWR)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                os.dup2(nothing, pipe.fileno())  # Closing could flush what the parent has begun.
        os.close(nothing)

    def _wrote(self, value: Any) -> bool:
        """Whether it went into the pipe. Raises nothing: a traceback could show what was sent."""
        assert self._process.stdin is not None
        try:
            write_frame(self._process.stdin, _revealed(value))
        except BrokenPipeError:
            return False
        return True


def _revealed(value: Any) -> Any:
    if isinstance(value, list):
        return [_revealed(each) for each in value]
    return value.reveal() if isinstance(value, Pin) else value
