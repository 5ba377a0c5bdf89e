"""A key in a token, as the rest of the program sees it: sign, or say that it cannot now.

Starts the token process (`hsm.session`), gives it work, checks each signature against the pinned
public key before it leaves, and starts it again with growing pauses when it or its token is gone.
Which PIN may be tried is decided in `hsm.refusals`.
"""

import hashlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from hsm.audit import AuditFile, Deed
from hsm.frames import read_frame, write_frame
from hsm.refusals import PinRefused, remember, trying
from hsm.session import ANSWER_AWAY, ANSWER_DONE, ANSWER_PIN
from hsm.uri import KeyUri, Pin
from wire.errors import BadSignature, Malformed, Refused, Unavailable
from wire.keys import ES256, PublicKey, normalise_s

ANSWER_TIMEOUT_S = 30.0
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 30.0

READY, AWAY = "ready", "away"


class KeyRefused(Refused):
    """The token's key cannot do what is asked, or is not the pinned one."""

    code = "key-refused"


class TokenProcess:
    """The child process that owns a token, and the pipe to it."""

    def __init__(self, uri: KeyUri, pin: Pin | None, softhsm2_conf: Path | None) -> None:
        """Start it. The PIN travels through the pipe, never by argument or environment."""
        environment = dict(os.environ)
        if softhsm2_conf is not None:
            environment["SOFTHSM2_CONF"] = str(softhsm2_conf.resolve())
        self.pin = pin
        # -P: no module of the working folder is loaded where the PIN goes. A session of its own:
        # Ctrl-C at the terminal is for the parent, whose end then ends this one.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hsm.session"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        where = {
            "module": os.path.realpath(uri.module),
            "token": uri.token,
            "label": uri.label,
            "id": uri.key_id,
            "pin": None if pin is None else pin.reveal(),
        }
        try:
            self._send(where)
        except Unavailable:
            self.end()
            raise

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    def ask(self, name: str, argument: Any) -> Any:
        """Do one request; raises PinRefused, KeyRefused, or Unavailable when it is gone."""
        self._send([name, argument])
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], ANSWER_TIMEOUT_S)
        if not ready:
            raise Unavailable(f"the token has not answered for {ANSWER_TIMEOUT_S:.0f} s")
        try:
            kind, content = read_frame(self._process.stdout)
        except (EOFError, Malformed, TypeError, ValueError):
            raise Unavailable("the token process ended, or said what is no answer") from None
        if kind == ANSWER_DONE:
            return content
        if kind == ANSWER_AWAY:
            raise Unavailable(f"the token is away: {content}")
        if kind == ANSWER_PIN:
            raise PinRefused(f"the token refused the PIN ({content}); it is not tried again")
        raise KeyRefused(f"the token's key: {content}")

    def end(self) -> None:
        """End the child; at once, for the token keeps nothing in it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue

    def _send(self, value: Any) -> None:
        assert self._process.stdin is not None
        try:
            write_frame(self._process.stdin, value)
        except BrokenPipeError:
            raise Unavailable("the token process ended") from None


class TokenSigner:
    """Signs with one key of one token. Safe to call from any thread; calls are done one by one."""

    def __init__(
        self,
        uri: KeyUri,
        softhsm2_conf: Path | None,
        pinned: PublicKey | None,
        audit: AuditFile | None = None,
    ) -> None:
        """See `open_signer`."""
        self._uri = uri
        self._audit = audit
        self._told = ""
        self._softhsm2_conf = softhsm2_conf
        self._lock = Lock()
        self._process: TokenProcess | None = None
        self._pause_s = 0.0
        self._not_before_s = 0.0
        self.state = AWAY
        self.public = PublicKey.from_text(self._ask("public", None)) if pinned is None else pinned

    @property
    def pid(self) -> int | None:
        """Process id of the token process, while one runs."""
        return None if self._process is None else self._process.pid

    def sign(self, message: bytes) -> bytes:
        """Return the raw 64-byte signature over `message`; see `sign_all`."""
        return self.sign_all([message])[0]

    def sign_all(self, messages: Sequence[bytes]) -> list[bytes]:
        """Sign each message in one exchange with the token process.

        With an audit file, no signature leaves before its line is on the disk.

        Raises:
            Unavailable: token, process or audit file is away; try again later.
            PinRefused, KeyRefused: a person has to act.
        """
        try:
            signatures = self._verified(messages)
        except Refused as reason:
            if reason.code != self._told:  # Said once, however often a program asks in vain.
                self._record(messages, reason.code)
            raise
        self._record(messages, "done")
        return signatures

    def _verified(self, messages: Sequence[bytes]) -> list[bytes]:
        signatures: list[bytes] = self._ask("sign", [self.public.alg, list(messages)])
        if self.public.alg == ES256:
            signatures = [normalise_s(signature) for signature in signatures]
        for message, signature in zip(messages, signatures, strict=True):
            try:
                self.public.verify(message, signature)
            except BadSignature:
                self.close()
                raise KeyRefused(
                    f"the token signed with another key than {self.public.kid.hex()}"
                ) from None
        return signatures

    def _record(self, messages: Sequence[bytes], result: str) -> None:
        if self._audit is not None:
            kid = self.public.kid.hex()
            digests = [hashlib.sha256(message).hexdigest() for message in messages]
            self._audit.record([Deed("sign", kid, result, digest) for digest in digests])
        self._told = result

    def close(self) -> None:
        """End the token process; the next call starts it again."""
        with self._lock:
            self._end()

    def _ask(self, name: str, argument: Any) -> Any:
        with self._lock:
            wait_s = self._not_before_s - time.monotonic()
            if wait_s > 0:
                raise Unavailable(f"the token is away; it is tried again in {wait_s:.1f} s")
            try:
                if self._process is None:
                    answer = self._first(name, argument)
                else:
                    answer = self._again(self._process, name, argument)
            except PinRefused:
                self._end()
                raise
            except Unavailable:
                self._end()
                self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2 or FIRST_PAUSE_S)
                self._not_before_s = time.monotonic() + self._pause_s
                raise
            self.state, self._pause_s = READY, 0.0
            return answer

    def _first(self, name: str, argument: Any) -> Any:
        """Start the process and ask; its first answer shows whether the PIN is right."""
        with trying(self._uri) as pin:
            self._process = TokenProcess(self._uri, pin, self._softhsm2_conf)
            return self._process.ask(name, argument)

    def _again(self, process: TokenProcess, name: str, argument: Any) -> Any:
        try:
            return process.ask(name, argument)
        except PinRefused:
            remember(self._uri, process.pin)  # The token's PIN was changed meanwhile.
            raise

    def _end(self) -> None:
        self.state = AWAY
        process, self._process = self._process, None
        if process is not None:
            process.end()


def open_signer(
    uri: KeyUri,
    softhsm2_conf: Path | None = None,
    pinned: PublicKey | None = None,
    audit: AuditFile | None = None,
) -> TokenSigner:
    """Return the signer of a token's key.

    Args:
        uri: which key.
        softhsm2_conf: SoftHSM's configuration file, for tests and demos.
        pinned: the registered public key; when None the token is asked for its own.
        audit: where each use of the key is written down; None for nowhere.

    Raises:
        Unavailable: the token is away (only when it has to be asked).
    """
    return TokenSigner(uri, softhsm2_conf, pinned, audit)
