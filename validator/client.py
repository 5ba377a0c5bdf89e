"""A client of validators that trusts none of them: asks one, then the next, and verifies receipts.

Decides whom to ask (who answered last comes first), what counts as an answer (who is away, busy or
has not got it yet is passed over), and what is believed: a receipt that holds from the genesis file
down, whoever hands it out. Everything else it tells as one validator tells it. Blocks while it
waits.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ValidationError

from validator.api import models, zone_models
from validator.desk import SYSTEM, TIMEOUT_S, Answer, Desk, Reader, Trust
from validator.listening import Event, listen
from wire.errors import Refused, Unavailable
from wire.genesis import Genesis
from wire.links import BrokenLink
from wire.receipt import Receipt
from wire.transaction import Transaction

CBOR = {"Content-Type": "application/cbor"}
PAGE = 1_000
LOOK_S = 0.5
"""Between two looks where nobody tells of new blocks."""

_ELSEWHERE = frozenset({404, 429, 500, 502, 503, 504})
"""Statuses after which another validator is asked."""

_Model = TypeVar("_Model", bound=BaseModel)


class NotThere(Refused):
    """Every validator that answered says that there is no such thing."""

    code = "not-there"


class RequestRefused(Refused):
    """A validator says that the request is wrong, or that it may not be made."""

    code = "request-refused"

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.url}: {answer.words}")
        self.answer = answer
        """What it said."""


class FalseReceipt(Refused):
    """What validators handed out as the receipt does not hold."""

    code = "false-receipt"


@dataclass(frozen=True, slots=True)
class VerifiedReceipt:
    """A receipt that holds from the genesis file down."""

    receipt: Receipt
    """The receipt."""

    url: str
    """Who handed it out."""

    false: tuple[str, ...]
    """Who handed out others that do not hold."""


class Client:
    """Asks several validators of one network."""

    def __init__(
        self,
        urls: Sequence[str],
        genesis: Genesis | None = None,
        *,
        reader: Reader | None = None,
        trust: Trust = SYSTEM,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """Take whom to ask.

        Args:
            urls: validators' addresses, in the order in which they are asked at first.
            genesis: what receipts are verified with; needed for them alone.
            reader: who asks, where readings are private.
            trust: whose certificates are believed.
            timeout_s: for each part of an answer.

        Raises:
            Malformed: an address is none.
        """
        self._desks = [Desk(url, trust, timeout_s) for url in urls]
        self._genesis = genesis
        self._reader = reader

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all connections."""
        for desk in self._desks:
            desk.close()

    # Asking.

    def _each(
        self, method: str, path: str, params: Mapping[str, object], content: bytes | None
    ) -> Iterator[tuple[Desk, Answer | Unavailable]]:
        """Every validator's answer, one after the other; who answered last comes first."""
        for desk in list(self._desks):
            try:
                target = desk.target(path, params)
                headers = dict(CBOR) if content is not None else {}
                if self._reader is not None and path.startswith(_PRIVATE):
                    headers |= self._reader.header(self._id_of(desk), method, target)
                yield desk, desk.ask(method, target, content, headers)
            except Unavailable as reason:
                yield desk, reason

    def _id_of(self, desk: Desk) -> str:
        if self._reader is None or self._reader.authority is None:
            return ""
        if not desk.id:
            desk.id = _typed(models.Status, desk.ask("GET", "/api/v1/status")).validator
        return desk.id

    def _ask(
        self,
        path: str,
        params: Mapping[str, object] | None = None,
        method: str = "GET",
        content: bytes | None = None,
    ) -> Answer:
        """The first good answer.

        Raises:
            NotThere: all that answered have not got it.
            RequestRefused: one says that the request is wrong.
            Unavailable: nobody gives an answer now.
        """
        absent: list[str] = []
        reasons: list[str] = []
        for desk, found in self._each(method, path, params or {}, content):
            if isinstance(found, Unavailable):
                reasons.append(str(found))
            elif found.status < 300:
                self._prefer(desk)
                return found
            elif found.status not in _ELSEWHERE:
                raise RequestRefused(found)
            elif found.status == 404:
                absent.append(f"{found.url}: {found.words}")
            else:
                reasons.append(f"{found.url}: {found.words}")
        if absent:
            raise NotThere("; ".join(absent + reasons))
        raise Unavailable("; ".join(reasons) or "no validator to ask")

    def _prefer(self, desk: Desk) -> None:
        self._desks.sort(key=lambda each: each is not desk)

    # The chain.

    def status(self) -> models.Status:
        """How the validator that answers first is."""
        return _typed(models.Status, self._ask("/api/v1/status"))

    def block(self, height: int) -> models.WholeBlock:
        """A final block."""
        return _typed(models.WholeBlock, self._ask(f"/api/v1/blocks/{height}"))

    def blocks(self) -> Iterator[models.Block]:
        """All final blocks in short, the newest first."""
        return self._pages(models.Block, "/api/v1/blocks", "before")

    def seals(self, zone: str) -> Iterator[models.Seal]:
        """The newest seal of each of a zone's windows, ascending."""
        return self._pages(models.Seal, f"/api/v1/zones/{zone}/seals", "after")

    def readings(self, meter: str, **span: int) -> Iterator[models.Reading]:
        """Accepted readings of a meter; `from_s`, `until_s` and `after` narrow them."""
        return self._pages(models.Reading, f"/api/v1/readings/{meter}", "after", span)

    def meter(self, meter: str) -> Mapping[str, Any]:
        """A meter as it is registered, and for which intervals; raises NotThere."""
        found: Mapping[str, Any] = self._ask(f"/api/v1/registry/meters/{meter}").json
        return found

    def entry(self, table: str, name: str) -> Mapping[str, Any]:
        """A meter, gateway, zone, technician or load as registered, and as it was.

        Raises NotThere when nothing of that name ever was.
        """
        found: Mapping[str, Any] = self._ask(f"/api/v1/registry/{table}/{name}").json
        return found

    def listed(self, table: str) -> Iterator[Mapping[str, Any]]:
        """What is registered: meters that are now, of the others also those that were; by id."""
        model = zone_models.MeterRow if table == "meters" else zone_models.Entry
        rows = self._pages(model, f"/api/v1/registry/{table}", "after")
        return (row.model_dump() for row in rows)

    def coming(self) -> list[Mapping[str, Any]]:
        """Registry changes that are accepted for later, the next one first."""
        answer = self._ask("/api/v1/registry/changes")
        found = [_checked(zone_models.ComingChange, each, answer.url) for each in answer.json]
        return [each.model_dump() for each in found]

    def _pages(
        self, model: type[_Model], path: str, cursor: str, given: Mapping[str, object] | None = None
    ) -> Iterator[_Model]:
        params: dict[str, object] = {"most": PAGE, **(given or {})}
        while True:
            page = _typed(models.Page[Any], self._ask(path, params))
            yield from (_checked(model, each, path) for each in page.items)
            if page.next is None:
                return
            params[cursor] = page.next

    # Who rules.

    def rosters(self) -> list[models.RosterEra]:
        """Every validator set, the newest last."""
        return self._eras(models.RosterEra, "validators")

    def rolls(self) -> list[models.RollEra]:
        """Every list of authorities, the newest last."""
        return self._eras(models.RollEra, "authorities")

    def tables(self) -> list[models.ParameterEra]:
        """Every table of parameters, the newest last."""
        return self._eras(models.ParameterEra, "parameters")

    def _eras(self, model: type[_Model], what: str) -> list[_Model]:
        answer = self._ask(f"/api/v1/governance/{what}")
        found = [_checked(model, each, answer.url) for each in answer.json]
        if not found:
            raise Unavailable(f"{answer.url} names no {what}")
        return found

    # Transactions.

    def submit(self, transaction: Transaction) -> models.Taken:
        """Hand a signed transaction over; raises RequestRefused when no block may carry it."""
        content = transaction.encoded
        return _typed(models.Taken, self._ask("/api/v1/transactions", {}, "POST", content))

    def transaction(self, transaction_id: bytes) -> models.TransactionStatus:
        """What has become of a transaction; raises NotThere when nobody knows it."""
        path = f"/api/v1/transactions/{transaction_id.hex()}"
        return _typed(models.TransactionStatus, self._ask(path))

    def desks(self) -> list[Desk]:
        """Each validator alone, for who has to hear them all."""
        return list(self._desks)

    # Receipts.

    def receipt(self, meter: str, sequence: int) -> VerifiedReceipt:
        """The receipt of an accepted reading, verified.

        Raises:
            NotThere: nobody has it.
            FalseReceipt: what was handed out does not hold, and nobody has one that does.
            RequestRefused: the request is wrong, or the readings are private.
            Unavailable: nobody gives an answer now.
        """
        assert self._genesis is not None, "receipts are verified with the genesis file"
        tried = _Tried(self._genesis, meter, sequence)
        for desk, found in self._each("GET", f"/api/v1/receipts/{meter}/{sequence}", {}, None):
            receipt = tried.take(desk.url, found)
            if receipt is not None:
                self._prefer(desk)
                return VerifiedReceipt(receipt, desk.url, tuple(tried.false))
        raise tried.outcome()

    def await_receipt(
        self,
        meter: str,
        sequence: int,
        patience_s: float,
        pause: Callable[[float], None] = time.sleep,
    ) -> VerifiedReceipt:
        """The same, waiting until there is one: told of each new block, or looking again.

        Raises:
            Unavailable: there is none after that many seconds.
        """
        end_s = time.monotonic() + patience_s
        blocks = self.events(patience_s, self._height())
        while True:
            try:
                return self.receipt(meter, sequence)
            except (NotThere, Unavailable) as reason:
                if time.monotonic() >= end_s:
                    words = f"no receipt of {meter} {sequence} after {patience_s:.0f} s"
                    raise Unavailable(f"{words}: {reason}") from None
            if next(blocks, None) is None:
                pause(LOOK_S)

    def _height(self) -> str:
        """From where to listen: a block that comes while one asks is told too."""
        try:
            return str(self.status().height)
        except Unavailable:
            return ""

    def events(self, patience_s: float, after: str = "") -> Iterator[Event]:
        """New blocks, seals and evidence as they come; ends when nobody tells any more.

        Args:
            patience_s: for the next event, heartbeats not counted.
            after: id of the last event that is known; empty: what comes next.
        """
        return listen(self._desks, patience_s, after)


class _Tried:
    """What validators said when they were asked for one receipt."""

    def __init__(self, genesis: Genesis, meter: str, sequence: int) -> None:
        self.false: dict[str, str] = {}
        self._genesis = genesis
        self._wanted = (meter, sequence)
        self._others: list[str] = []
        self._absent = False

    def take(self, url: str, found: Answer | Unavailable) -> Receipt | None:
        """The receipt, when it is one that holds; raises RequestRefused."""
        if isinstance(found, Unavailable):
            self._others.append(str(found))
        elif found.status == 200:
            return self._verified(found)
        elif found.status in _ELSEWHERE:
            self._absent |= found.status == 404
            self._others.append(f"{url}: {found.words}")
        else:
            raise RequestRefused(found)
        return None

    def _verified(self, found: Answer) -> Receipt | None:
        try:
            receipt = Receipt.decode(found.content)
            read = receipt.verify(self._genesis).reading
            if (read.meter, read.sequence) == self._wanted:
                return receipt
            self.false[found.url] = "it is of another reading"
        except (Refused, BrokenLink) as reason:
            self.false[found.url] = str(reason)
        return None

    def outcome(self) -> Exception:
        """Why there is none."""
        if self.false:
            told = "; ".join(f"{url}: {why}" for url, why in self.false.items())
            return FalseReceipt(f"no receipt holds: {told}")
        words = "; ".join(self._others) or "no validator to ask"
        return NotThere(words) if self._absent else Unavailable(words)


_PRIVATE = ("/api/v1/readings/", "/api/v1/receipts/", "/api/v1/zones/")


def _typed(model: type[_Model], answer: Answer) -> _Model:
    return _checked(model, answer.json, answer.url)


def _checked(model: type[_Model], value: Any, where: str) -> _Model:
    try:
        return model.model_validate(value)
    except ValidationError:
        raise Unavailable(f"{where}: the answer is no validator's") from None
