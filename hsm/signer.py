"""A key in a token, as the rest of the program sees it: sign, or say that it cannot now.

Joins the token's process, gives it work in small lists, checks each signature against the pinned
public key before it leaves, and starts it again with growing pauses when it or its token is gone.
Which PIN may be tried is decided in `hsm.refusals`.
"""

import hashlib
import os
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from hsm.audit import MOST_DIGESTS, AuditFile, Deed
from hsm.refusals import PinLocked, PinRefused
from hsm.token_process import KeyRefused, TokenProcess, join
from hsm.uri import KeyUri
from wire.errors import BadSignature, Refused, Unavailable
from wire.keys import ES256, P256_ORDER, SIGNATURE_SIZE, PublicKey, normalise_s

__all__ = ["AWAY", "READY", "KeyRefused", "TokenSigner", "are_signatures", "open_signer"]

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 30.0
LOCKED_PAUSE_S = 600.0
"""A TPM's lock-out heals by itself in about a quarter of an hour; asking while it lasts is free."""

LIST_SIZE = 64
"""Messages of one exchange with the process: a token of two signatures a second answers in time."""

READY, AWAY = "ready", "away"


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
        _signers.add(self)
        self.public = PublicKey.from_text(self._ask("public", None)) if pinned is None else pinned

    @property
    def pid(self) -> int | None:
        """Process id of the token process, while one runs."""
        return None if self._process is None else self._process.pid

    def found(self) -> PublicKey:
        """The key that the token has under this name now; raises as `sign_all`."""
        return PublicKey.from_text(self._ask("public", None))

    def sign(self, message: bytes) -> bytes:
        """Return the raw 64-byte signature over `message`; see `sign_all`."""
        return self.sign_all([message])[0]

    def sign_all(self, messages: Sequence[bytes]) -> list[bytes]:
        """Sign each message, many in one exchange with the token process.

        With an audit file, no signature leaves before its digest is on the disk; what is signed as
        one list stands in one line.

        Raises:
            Unavailable: token, process or audit file is away; try again later.
            PinRefused, PinLocked, KeyRefused: a person has to act.
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
        signatures: list[bytes] = []
        for start in range(0, len(messages), LIST_SIZE):
            asked = list(messages[start : start + LIST_SIZE])
            answer = self._ask("sign", [self.public.alg, asked])
            if not are_signatures(answer, self.public.alg, len(asked)):
                with self._lock:
                    self._end()
                raise KeyRefused("the token gave what is no signature; nothing was signed with it")
            signatures += answer
        if self.public.alg == ES256:
            signatures = [normalise_s(signature) for signature in signatures]
        for message, signature in zip(messages, signatures, strict=True):
            try:
                self.public.verify(message, signature)
            except BadSignature:
                with self._lock:
                    self._end()
                raise KeyRefused(
                    f"the token signed with another key than {self.public.kid.hex()}"
                ) from None
        return signatures

    def _record(self, messages: Sequence[bytes], result: str) -> None:
        if self._audit is not None:
            kid = self.public.kid.hex()
            digests = [hashlib.sha256(message).hexdigest() for message in messages]
            lists = [
                tuple(digests[start : start + MOST_DIGESTS])
                for start in range(0, len(digests), MOST_DIGESTS)
            ]
            self._audit.record([Deed("sign", kid, result, each) for each in lists])
        self._told = result

    def close(self) -> None:
        """Leave the token process, which ends with its last user; the next call starts it again."""
        with self._lock:
            self.state = AWAY
            process, self._process = self._process, None
            if process is not None:
                process.leave()

    def _ask(self, name: str, argument: Any) -> Any:
        with self._lock:
            wait_s = self._not_before_s - time.monotonic()
            if wait_s > 0:
                raise Unavailable(f"the token is away; it is tried again in {wait_s:.1f} s")
            try:
                if self._process is None or self._process.ended:
                    self._process = join(self._uri, self._softhsm2_conf)
                answer = self._process.ask(name, argument)
            except PinRefused:
                self._end()
                raise
            except PinLocked:
                self._rest(LOCKED_PAUSE_S)
                raise
            except Unavailable:
                self._rest(min(LONGEST_PAUSE_S, self._pause_s * 2 or FIRST_PAUSE_S))
                raise
            self.state, self._pause_s = READY, 0.0
            return answer

    def _rest(self, pause_s: float) -> None:
        """End the process, and with it every handle; the next one starts after a pause."""
        self._end()
        self._pause_s = pause_s
        self._not_before_s = time.monotonic() + pause_s

    def _end(self) -> None:
        """For the token's other keys too: they start another, without a pause of their own."""
        self.state = AWAY
        process, self._process = self._process, None
        if process is not None:
            process.end()

    def _after_fork(self) -> None:
        """In a forked child: the parent's process stays the parent's; start one of our own."""
        self._lock = Lock()
        process, self._process = self._process, None
        if process is not None:
            process.disown()


def are_signatures(answer: Any, alg: int, count: int) -> bool:
    """Whether it is so many raw signatures by their form; by which key is checked afterwards."""
    if not isinstance(answer, list) or len(answer) != count:
        return False
    if not all(isinstance(each, bytes) and len(each) == SIGNATURE_SIZE for each in answer):
        return False
    halves = (half for each in answer for half in (each[:32], each[32:]))
    return alg != ES256 or all(0 < int.from_bytes(half, "big") < P256_ORDER for half in halves)


_signers: "weakref.WeakSet[TokenSigner]" = weakref.WeakSet()


def _forked() -> None:
    for signer in list(_signers):
        signer._after_fork()


os.register_at_fork(after_in_child=_forked)


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
