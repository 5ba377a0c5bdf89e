"""Says what is wrong with a token and its key, by checks that change nothing.

Each check builds on the ones before, so the first that fails is the one to mend. The PIN is tried
once, and not at all when it was refused before or when one mistake more would lock the token.
"""

import math
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsm.hints import family, hint, leak
from hsm.refusals import cut_off, mark_of, refused_before, tried_of
from hsm.signer import are_signatures
from hsm.signstate import inspect
from hsm.token_process import TokenProcess
from hsm.tpm import lock_out
from hsm.uri import KeyUri
from wire.errors import BadSignature, Refused, Unavailable
from wire.keys import ES256, PublicKey, normalise_s

SELF_TESTS = 20
_PROBE = b"gridwitness/doctor/1"
_IDLE_SHARE = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """One check."""

    check: str
    """What was looked at."""

    good: bool
    """Whether it is as it should be."""

    words: str
    """What was found, and what to do."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is examined, and against what."""

    uri: KeyUri
    """The key."""

    softhsm2_conf: Path | None = None
    """SoftHSM's configuration file; None for other tokens."""

    pinned: PublicKey | None = None
    """The registered public key; None when nobody says which it is."""

    sign_state: Path | None = None
    """File of what the key has signed; None to leave it out."""

    reconnect: bool = False
    """Whether to open the token a second time, as after it was away."""

    final_try: bool = False
    """Whether to log in although one wrong PIN more would lock the token."""


def examine(
    uri: KeyUri,
    softhsm2_conf: Path | None = None,
    pinned: PublicKey | None = None,
    sign_state: Path | None = None,
) -> list[Finding]:
    """Make the checks for a key; stops at the first that fails."""
    return list(findings(Subject(uri, softhsm2_conf, pinned, sign_state)))


def findings(subject: Subject) -> Iterator[Finding]:
    """The checks, each as it is made; the last one is the first that fails."""
    examination = _Examination(subject)
    try:
        for name, check in examination.checks():
            try:
                words = check()
            except (Refused, Unavailable) as reason:
                yield Finding(name, False, str(reason))
                return
            if words:
                yield Finding(name, True, words)
    finally:
        examination.end()


class _Wrong(Refused):
    """A check found something that a person has to mend."""

    code = "found-by-doctor"


class _Examination:
    """One process of the token, and what the checks so far have found."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._uri = subject.uri
        self._process: TokenProcess | None = None
        self._public: PublicKey | None = None

    def checks(self) -> list[tuple[str, Callable[[], str]]]:
        """In the order in which one needs the other."""
        return [
            ("lock-out", self._lock_out),
            ("module", self._module),
            ("token", self._token),
            ("pin", self._pin),
            ("login", self._login),
            ("mechanisms", self._mechanisms),
            ("key", self._key),
            ("public key", self._public_key),
            ("kept", self._kept),
            ("signature", self._signature),
            ("reconnect", self._reconnect),
            ("sign-state", self._sign_state),
        ]

    def end(self) -> None:
        if self._process is not None:
            self._process.end()

    def _ask(self, name: str, argument: Any = None) -> Any:
        if self._process is None:
            self._process = TokenProcess(
                self._uri, self._subject.softhsm2_conf, final_try=self._subject.final_try
            )
        return self._process.ask(name, argument)

    def _lock_out(self) -> str:
        """Before the token's process starts: swtpm talks to one caller at a time."""
        if family(str(self._uri.module)) != "TPM":
            return ""
        try:
            found = lock_out()
        except Unavailable as reason:
            raise _Wrong(self._with_hint(str(reason))) from None
        if found.locked:
            raise _Wrong(str(found))
        return str(found)

    def _module(self) -> str:
        path = self._uri.module
        if not path.exists():
            raise _Wrong(f"{path} is not there: install the token's library")
        try:
            facts = self._ask("library")
        except (Refused, Unavailable) as reason:
            raise _Wrong(self._with_hint(f"{path} does not start: {reason}")) from None
        about = f"{facts['description'] or facts['manufacturer']} {facts['version']}"
        return f"{os.path.realpath(path)}: {about}"

    def _token(self) -> str:
        try:
            facts = self._ask("token")
        except (Refused, Unavailable) as reason:
            raise _Wrong(self._with_hint(str(reason))) from None
        said = (
            f"{facts['label']}: {facts['manufacturer']} {facts['model']}, serial {facts['serial']}"
        )
        if "USER_PIN_LOCKED" in facts["flags"]:
            raise _Wrong(f"{said}; its PIN is locked: the security officer must set a new one")
        if "USER_PIN_FINAL_TRY" in facts["flags"] and not self._subject.final_try:
            raise _Wrong(f"{said}; one wrong PIN more locks it: not tried without --final-try")
        if "USER_PIN_COUNT_LOW" in facts["flags"]:
            said += "; somebody has given a wrong PIN since the last login"
        return said

    def _pin(self) -> str:
        file = self._uri.pin_file
        if file is None:
            return "none named: a token without login"
        try:
            mode = file.stat().st_mode
        except OSError as reason:
            raise _Wrong(f"{file}: {reason.strerror}") from None
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise _Wrong(f"others may read {file}: chmod 600 {file}")
        if refused_before(self._uri):
            raise _Wrong(f"refused before, not tried again: correct {file} ({mark_of(file)})")
        if cut_off(self._uri):
            raise _Wrong(
                f"its only try was cut off before the token's answer, so it is not tried again:"
                f" make sure of it, then delete {tried_of(file)}"
            )
        return f"from {file}, readable by its owner only; not refused so far"

    def _login(self) -> str:
        assert self._process is not None
        self._process.login()
        return "one login, accepted" if self._uri.pin_file else "none needed"

    def _mechanisms(self) -> str:
        offered = self._ask("token")["mechanisms"]
        usable = [f"{alg} by {names[0]}" for alg, names in offered.items() if names]
        if not usable:
            raise _Wrong("the token signs neither ES256 nor EdDSA: it cannot be used here")
        return ", ".join(usable)

    def _key(self) -> str:
        facts = self._ask("key")
        return f"{facts['label']} in {self._uri.token}, id {facts['id'] or 'none'}"

    def _kept(self) -> str:
        facts = self._ask("key")
        if facts["extractable"] or facts["value_readable"] or not facts["sensitive"]:
            raise _Wrong("the private key can be read out of the token: take a new key (hsm key)")
        if known := leak(str(self._uri.module)):
            raise _Wrong(known)
        if not facts["sign"]:
            raise _Wrong("the token does not let this key sign (CKA_SIGN)")
        said = "sensitive, not extractable"
        if facts["never_extractable"] is False or facts["local"] is False:
            said += "; it was made elsewhere or could once be read out"
        uses = [use for use in ("decrypt", "unwrap", "derive") if facts[use]]
        return f"{said}; may also {', '.join(uses)}" if uses else f"{said}, for signing only"

    def _public_key(self) -> str:
        public = PublicKey.from_text(self._ask("public"))
        pinned = self._subject.pinned
        if pinned is not None and public != pinned:
            raise _Wrong(
                f"another key than the registered one ({pinned.kid.hex()}) is there under this name"
                f" ({public.kid.hex()}): somebody swapped it; nothing was signed with it"
            )
        self._public = public
        words = "the registered one" if pinned else "nothing given to compare it with (--expect)"
        return f"kid {public.kid.hex()}, {words}"

    def _signature(self) -> str:
        times_ms = sorted(self._sign_ms() for _ in range(SELF_TESTS))
        middle, worst = times_ms[SELF_TESTS // 2], times_ms[-1]
        pause_s = max(1, math.ceil(_IDLE_SHARE * worst / 1000))
        return (
            f"{SELF_TESTS} verify; {middle:.1f} ms each, at most {worst:.1f} ms:"
            f" {1000 / middle:.0f}/s; a batch every {pause_s} s leaves it at rest"
        )

    def _sign_ms(self) -> float:
        assert self._public is not None
        began_s = time.perf_counter()
        answer = self._ask("sign", [self._public.alg, [_PROBE]])
        took_s = time.perf_counter() - began_s
        if not are_signatures(answer, self._public.alg, 1):
            raise _Wrong("the token gave what is no signature: its library or firmware is broken")
        signature = answer[0]
        if self._public.alg == ES256:
            signature = normalise_s(signature)
        try:
            self._public.verify(_PROBE, signature)
        except BadSignature:
            raise _Wrong("the private key is another one than the public key beside it") from None
        return took_s * 1000

    def _reconnect(self) -> str:
        if not self._subject.reconnect:
            return ""
        assert self._process is not None
        self._process.end()
        self._process = None
        began_s = time.perf_counter()
        self._ask("token")
        self._login()
        self._sign_ms()
        return f"signs again {time.perf_counter() - began_s:.1f} s after its process has ended"

    def _sign_state(self) -> str:
        path = self._subject.sign_state
        return "" if path is None else f"{path}: {inspect(path)}"

    def _with_hint(self, words: str) -> str:
        """With what this vendor's library needs around it."""
        environment = dict(os.environ)
        if self._subject.softhsm2_conf is not None:
            environment["SOFTHSM2_CONF"] = str(self._subject.softhsm2_conf)
        more = hint(str(self._uri.module), environment)
        return f"{words}; {more}" if more else words
