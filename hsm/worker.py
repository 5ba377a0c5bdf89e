"""The token's process: its one thread makes every PKCS#11 call of the program.

Run as `python -m hsm.worker` with frames on stdin and stdout (`hsm.frames`); it ends when its
parent does. A library that crashes takes nothing else with it, and leaves no core file, which would
hold the PIN. Decides which kind of trouble an error is; what follows from that is decided by
`hsm.signer`.
"""

import ctypes
import os
import resource
from collections.abc import Callable
from functools import partial
from typing import IO, Any

import pkcs11
from pkcs11 import exceptions as errors

from hsm.frames import (
    ANSWER_AWAY,
    ANSWER_DONE,
    ANSWER_KEY,
    ANSWER_LOCKED,
    ANSWER_NONE,
    ANSWER_PIN,
    read_frame,
    write_frame,
)
from hsm.inside import key_facts, library_facts, token_facts
from hsm.making import init_token, make_key
from hsm.session import Session

# What a login refuses for good: the same PIN again would only bring the lock nearer.
_PIN_ERRORS = (
    errors.PinIncorrect,
    errors.PinExpired,
    errors.PinLenRange,
    errors.PinInvalid,
)
# What only another configuration, or a person at the token, cures.
_KEY_ERRORS = (
    errors.AttributeTypeInvalid,
    errors.AttributeValueInvalid,
    errors.KeyTypeInconsistent,
    errors.MechanismInvalid,
    errors.MechanismParamInvalid,
    errors.MultipleObjectsReturned,
    errors.MultipleTokensReturned,
    errors.TemplateIncomplete,
    errors.TemplateInconsistent,
    errors.UserPinNotInitialized,
)
# What `hsm.session` and `hsm.making` find out by themselves.
_TOLD_BY_US = (
    errors.MultipleObjectsReturned,
    errors.MultipleTokensReturned,
    errors.NoSuchKey,
    errors.NoSuchToken,
)
_PR_SET_DUMPABLE = 4


def kind_of(reason: Exception) -> str:
    """Which kind of trouble an error is (table of docs/OPERATIONS.md and hsm/README.md)."""
    if isinstance(reason, errors.PinLocked):
        return ANSWER_LOCKED
    if isinstance(reason, _PIN_ERRORS):
        return ANSWER_PIN
    if isinstance(reason, errors.NoSuchKey):
        return ANSWER_NONE
    return ANSWER_KEY if isinstance(reason, _KEY_ERRORS) else ANSWER_AWAY


def _answer(deed: Callable[[], Any]) -> list[Any]:
    try:
        return [ANSWER_DONE, deed()]
    except (pkcs11.PKCS11Error, RuntimeError, OSError) as reason:
        return [kind_of(reason), _words(reason)]


def _words(reason: Exception) -> str:
    """The token's error by its name in PKCS#11; what is told in words of our own needs no name."""
    if isinstance(reason, _TOLD_BY_US) and str(reason):
        return str(reason)
    return f"{type(reason).__name__} {reason}".strip()


def _deeds(session: Session) -> dict[str, Callable[[Any], Any]]:
    return {
        "library": lambda _: library_facts(session),
        "token": lambda _: token_facts(session),
        "login": session.login,
        "key": lambda _: key_facts(session),
        "public": lambda _: session.public().text,
        "sign": lambda asked: session.sign(asked[0], asked[1]),
        "make": lambda alg: make_key(session, alg).text,
        "init-token": lambda pins: init_token(session, *pins),
    }


def leave_no_core() -> None:
    """No core file of this process, and no memory for a debugger of the same user."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _own_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Keep both pipes for frames alone: what a vendor's library prints goes to stderr."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return requests, answers


def main() -> None:
    """Serve one parent: the first frame says which token, each other one is a request of a key."""
    leave_no_core()
    requests, answers = _own_pipes()
    session = Session(read_frame(requests))
    deeds = _deeds(session)
    while True:
        try:
            key, name, argument = read_frame(requests)
        except EOFError:
            session.close()
            return
        session.turn_to(*key)
        write_frame(answers, _answer(partial(deeds[name], argument)))


if __name__ == "__main__":
    main()
