"""The process that owns a token, as its parent sees it: start, join, ask, end.

Decides which keys share a process, and how each kind of answer is raised. When it is started, and
which PIN it gets, is decided by `hsm.signer` and `hsm.refusals`.
"""

import os
import select
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

from hsm.frames import (
    ANSWER_AWAY,
    ANSWER_DONE,
    ANSWER_LOCKED,
    ANSWER_NONE,
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


class NoKey(Unavailable):
    """The token is there and has no key of this name; somebody may put it there."""


class _Child:
    """The child process and the pipe to it; one request at a time, from whichever thread."""

    def __init__(self, where: dict[str, Any], softhsm2_conf: Path | None) -> None:
        """Start it, and say where its token is; nothing is opened before the first request."""
        self.users = 1
        self.ended = False
        self._turn = Lock()
        environment = dict(os.environ)
        if softhsm2_conf is not None:
            environment["SOFTHSM2_CONF"] = str(softhsm2_conf.resolve())
        # A session of its own: Ctrl-C at the terminal is for the parent, whose end ends this one.
        self.process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        if not self._wrote(where):
            self.end()
            raise NoAnswer("the token process ended")

    def exchange(self, request: list[Any]) -> tuple[str, Any]:
        """Send one request and return the answer; raises NoAnswer."""
        with self._turn:
            if self.ended or not self._wrote(request):
                raise NoAnswer("the token process ended")
            assert self.process.stdout is not None
            ready, _, _ = select.select([self.process.stdout], [], [], ANSWER_TIMEOUT_S)
            if not ready:
                raise NoAnswer(f"the token has not answered for {ANSWER_TIMEOUT_S:.0f} s")
            try:
                kind, content = read_frame(self.process.stdout)
            except (EOFError, Malformed, TypeError, ValueError):
                raise NoAnswer("the token process ended, or said what is no answer") from None
            return kind, content

    def end(self) -> None:
        """End it: it closes its session, which a TPM has few of, or is killed."""
        with self._turn:
            if self.ended:
                return
            self.ended = True
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()
            try:
                self.process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def disown(self) -> None:
        """In a forked child: let go of a process that the parent goes on using."""
        self.process.returncode = 0  # Not ours to wait for.
        nothing = os.open(os.devnull, os.O_RDWR)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None and not pipe.closed:
                os.dup2(nothing, pipe.fileno())  # Closing could flush what the parent has begun.
        os.close(nothing)

    def _wrote(self, value: Any) -> bool:
        """Whether it went into the pipe. Raises nothing: a traceback could show what was sent."""
        assert self.process.stdin is not None
        try:
            write_frame(self.process.stdin, _revealed(value))
        except BrokenPipeError:
            return False
        return True


class TokenProcess:
    """The process that owns a token, as one key sees it; see `join` for several keys."""

    def __init__(
        self,
        uri: KeyUri,
        softhsm2_conf: Path | None,
        *,
        writes: bool = False,
        final_try: bool = False,
        beside: _Child | None = None,
    ) -> None:
        """Start it; nothing of the token is opened before the first request.

        Args:
            uri: which key.
            softhsm2_conf: SoftHSM's configuration file; None for other tokens.
            writes: whether something in the token is to be made.
            final_try: whether to log in although one wrong PIN more would lock the token.
            beside: a child that runs already, used instead of a new one.
        """
        self._uri = uri
        if beside is not None:
            self._child = beside
            beside.users += 1
            return
        where = {
            "module": os.path.realpath(uri.module),
            "reserved": uri.reserved,
            "token": uri.token,
            "writes": writes,
            "final_try": final_try,
        }
        self._child = _Child(where, softhsm2_conf)

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._child.process.pid

    @property
    def ended(self) -> bool:
        """Whether it was ended, by this key's user or another's."""
        return self._child.ended

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
            NoKey: there is no key of this name.
            Unavailable: the token is away.
        """
        key = [self._uri.label, self._uri.key_id]
        kind, content = self._child.exchange([key, name, argument])
        if kind == ANSWER_DONE:
            return content
        if kind == ANSWER_AWAY:
            raise Unavailable(f"the token is away: {content}")
        if kind == ANSWER_NONE:
            raise NoKey(f"{content}: make it with `gridwitness hsm key`, or correct object= or id=")
        if kind == ANSWER_PIN:
            raise PinRefused(f"the token refused the PIN ({content}); it is not tried again")
        if kind == ANSWER_LOCKED:
            raise PinLocked(f"the token takes no PIN now ({content})")
        raise KeyRefused(f"the token's key: {content}")

    def leave(self) -> None:
        """Be done with it: the last key's user ends it."""
        with _joining:
            self._child.users -= 1
            last = self._child.users == 0
        if last:
            self.end()

    def end(self) -> None:
        """End it for every key: no handle in it is to be used again."""
        self._child.end()

    def disown(self) -> None:
        """In a forked child: let go of a process that the parent goes on using."""
        self._child.disown()


_joining = Lock()
_standing: WeakValueDictionary[tuple[Any, ...], _Child] = WeakValueDictionary()
"""By module, token and source of the PIN: the child that is logged in."""


def join(uri: KeyUri, softhsm2_conf: Path | None) -> TokenProcess:
    """The process that is logged in to the key's token; a new one when there is none.

    Keys of one token that have one PIN share it: 30 MB and one login, not two. What goes wrong with
    one of them ends it for all, and the next that asks starts another. Raises as `login`.
    """
    place = (
        *(os.path.realpath(uri.module), uri.reserved, uri.token),
        *(uri.pin_file, uri.prompts, softhsm2_conf),
    )
    with _joining:
        known = _standing.get(place)
        if known is not None and not known.ended and known.users:
            return TokenProcess(uri, softhsm2_conf, beside=known)
        process = TokenProcess(uri, softhsm2_conf)
        try:
            process.login()
        except (Refused, Unavailable):
            process.end()
            raise
        _standing[place] = process._child
        return process


def _forked() -> None:
    """In a forked child: the parent's processes are joined by nobody here."""
    global _joining
    _joining = Lock()
    _standing.clear()


os.register_at_fork(after_in_child=_forked)


def _revealed(value: Any) -> Any:
    if isinstance(value, list):
        return [_revealed(each) for each in value]
    return value.reveal() if isinstance(value, Pin) else value
