"""Takes a transaction to running validators and waits until a block has it.

Decides whom to ask next: a validator that is away or busy costs one look, one that refuses is
believed only when no other one takes the transaction, and one that has forgotten is told again.
Sending it again is harmless: its id is the same. What a validator says is shown, never obeyed, and
read only so far. Leaves signing to others.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from wire.errors import Refused, Unavailable
from wire.transaction import Transaction

ROUTE = "/api/v1/transactions"
MEDIA_TYPE = "application/cbor"
LOOK_S = 1.0
PATIENCE_S = 120.0
_MOST_WORDS = 300

CHECK = "gridwitness meter enrol FILE --check"
"""What to try when nothing better is known."""

REMEDIES = {
    "transaction-of-other-network": "name a validator of the network that it was made for",
    "transaction-expired": "make a new enrolment: gridwitness meter provision, at the meter",
    "from-has-passed": "make a new enrolment: gridwitness meter provision, at the meter",
    "unfit-from": "make a new enrolment: gridwitness meter provision, at the meter",
    "unknown-zone": "correct --zone: gridwitness meter provision, at the meter",
    "meter-id-taken": "if this meter was enrolled before, nothing; else it needs another id",
    "key-taken": "if this meter was enrolled before, nothing; else its board is a copy",
    "not-signed-by-technician": "let a technician of the zone's operator provision it",
    "not-signed-by-operator": "give --operator-key of the zone's grid operator",
    "stranger-signed": "begin again with the file that the technician gave",
    "unfit-registry": "correct node, role or reader: gridwitness meter provision, at the meter",
}


class SubmissionRefused(Refused):
    """The validators examined the transaction and no block will carry it."""

    code = "submission-refused"

    def __init__(self, reason: str, words: str, remedy: str) -> None:
        super().__init__(f"{reason}: {words}. Try: {remedy}")
        self.reason = reason
        """Stable word of `wire.results.REASONS`."""


@dataclass(frozen=True, slots=True)
class Final:
    """The transaction is in a block."""

    height: int
    """The block."""

    validator: str
    """Who said so."""


class _Away(Exception):
    """This validator cannot say anything now; another may."""


class Said(Protocol):
    """What a validator's API answered."""

    @property
    def status(self) -> int:
        """HTTP status."""

    @property
    def content(self) -> bytes:
        """The body."""


class Desk(Protocol):
    """One validator's API, as the command line's client asks it."""

    url: str
    """Its address."""

    def ask(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Said:
        """Ask once; raises Unavailable when there is no answer."""

    def close(self) -> None:
        """End its connections."""


class Validator:
    """One validator's word about one transaction."""

    def __init__(self, desk: Desk) -> None:
        """Take whom to ask."""
        self._desk = desk
        self.url = desk.url

    def submit(self, transaction: Transaction) -> tuple[int, dict[str, Any]]:
        """Send it; returns status and answer."""
        return self._ask("POST", "", transaction.encoded)

    def status(self, transaction: Transaction) -> tuple[int, dict[str, Any]]:
        """Ask what became of it."""
        return self._ask("GET", f"/{transaction.id.hex()}", None)

    def _ask(self, method: str, path: str, body: bytes | None) -> tuple[int, dict[str, Any]]:
        headers = {} if body is None else {"Content-Type": MEDIA_TYPE}
        try:
            said = self._desk.ask(method, ROUTE + path, body, headers)
        except Unavailable as reason:
            raise _Away(_plain(reason)) from None
        return said.status, _answer(said.content)


def _answer(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise _Away("its answer is no validator's") from None
    if not isinstance(found, dict):
        raise _Away("its answer is no validator's")
    return found


def _plain(value: Any) -> str:
    """A stranger's words: one line, printable, short."""
    shown = "".join(char if char.isprintable() else " " for char in str(value))
    return " ".join(shown.split())[:_MOST_WORDS]


@dataclass
class Submission:
    """One transaction on its way into a block."""

    transaction: Transaction
    """Signed by everybody."""

    validators: Sequence[Validator]
    """Whom to ask, in this order."""

    tell: Callable[[str], None] = print
    """Gets a line whenever something changes."""

    patience_s: float = PATIENCE_S
    """How long to wait for a block."""

    now_s: Callable[[], float] = time.monotonic
    """A clock that only goes forward."""

    pause: Callable[[float], None] = time.sleep
    """Waits."""

    what: str = "enrolment"
    """What people call it."""

    remedies: Mapping[str, str] = field(default_factory=lambda: REMEDIES)
    """What to try, by the reason for which it is refused."""

    otherwise: str = CHECK
    """What to try for any other reason."""

    def run(self) -> Final:
        """Submit and wait.

        Raises:
            SubmissionRefused: every validator that answered refuses it.
            Unavailable: no block had it in time; the same command goes on later.
        """
        end_s = self.now_s() + self.patience_s
        said: dict[str, str] = {}
        while True:
            refusals: list[SubmissionRefused] = []
            for validator in self.validators:
                found = self._look(validator, said)
                if isinstance(found, Final):
                    return found
                if isinstance(found, SubmissionRefused):
                    refusals.append(found)
            waiting = [words for words in said.values() if words.startswith("taken")]
            if refusals and not waiting:
                raise refusals[0]
            if self.now_s() >= end_s:
                raise Unavailable(self._late(said))
            self.pause(LOOK_S)

    def _look(self, validator: Validator, said: dict[str, str]) -> Final | SubmissionRefused | None:
        try:
            found = self._ask(validator)
        except _Away as reason:
            found = f"away: {reason}"
        if isinstance(found, Final):
            return found
        words = f"refuses: {found}" if isinstance(found, SubmissionRefused) else found
        if said.get(validator.url) != words:
            self.tell(f"{validator.url}: {words}")
        said[validator.url] = words
        return found if isinstance(found, SubmissionRefused) else None

    def _ask(self, validator: Validator) -> Final | SubmissionRefused | str:
        """Ask what became of it, and send it when it is not known there."""
        code, answer = validator.status(self.transaction)
        if code == 404:
            code, answer = validator.submit(self.transaction)
        match code, answer:
            case 200, {"status": "final", "height": int(height)}:
                return Final(height, validator.url)
            case ((200 | 202), {"status": "waiting"}):
                return "taken; it waits for a block"
            case 422, {"reason": "transaction-replayed"}:
                return "taken; it is in a block already"
            case 422, {"reason": str(reason), "words": str(words)}:
                return self._refused(reason, words)
            case 200, {"status": "refused", "reason": str(reason), "words": str(words)}:
                return self._once_more(validator, self._refused(reason, words))
            case ((429 | 503), {"detail": detail}):
                return f"busy: {_plain(detail)}"
        raise _Away(f"it answers {code}: {_plain(answer.get('detail', 'no validator?'))}")

    def _refused(self, reason: str, words: str) -> SubmissionRefused:
        name = _plain(reason)
        return SubmissionRefused(name, _plain(words), self.remedies.get(name, self.otherwise))

    def _once_more(
        self, validator: Validator, refused: SubmissionRefused
    ) -> SubmissionRefused | str:
        """What was refused once may stand now: a validator was behind."""
        code, _ = validator.submit(self.transaction)
        return "taken; it waits for a block" if code == 202 else refused

    def _late(self, said: dict[str, str]) -> str:
        taken = [url for url, words in said.items() if words.startswith("taken")]
        if taken:
            return (
                f"{taken[0]} has taken the {self.what} and no block has it after"
                f" {self.patience_s:.0f} s: is a quorum of validators up? The same command goes on"
            )
        words = "; ".join(f"{url} {text}" for url, text in said.items())
        return f"no validator takes the {self.what} ({words}): the same command again later"
