"""A registry transaction on its way from hand to hand: made, told in words, put together.

The file (`.gwt`) is the transaction as far as it has been signed; until then, the payload that its
parties will sign. Decides what a prepared transaction says, from when on it holds by default, and
what people are told of it. Whose signatures it needs, and whether it stands, the validators decide.
"""

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wire import fields
from wire.cose import Sign
from wire.errors import Malformed, Refused
from wire.event import time_words
from wire.genesis import Genesis
from wire.governance import ChangeAuthorities, ChangeParameters, ChangeValidators
from wire.resolution import SETTLE, ResolveCase
from wire.transaction import MOST_BYTES, NONCE_SIZE, Body, Transaction, payload_of
from wire.transaction_bodies import (
    LEAKED,
    ChangeHolder,
    CommissionedMeter,
    CompromiseKey,
    Entry,
    ReplaceMeter,
    Retirement,
    RotateKey,
    Withdraw,
)

SUFFIX = ".gwt"
NO_EXPIRY = 2**32
"""Expiry height where the first interval ends it anyway."""

AHEAD_S = 3_600
"""How long its parties have by default to sign and send it."""

_MOST_FILE = 4 * MOST_BYTES


def first_interval(genesis: Genesis, asked: str, now_s: int | None = None) -> int:
    """From when on a change is to hold: a Unix time, a date and time in UTC, or `+SECONDS`.

    The next interval's start that is not before it; raises Malformed when it is no time.
    """
    length_s = fields.uint(genesis.parameters.get("interval_s", 900), "interval_s")
    now_s = int(time.time()) if now_s is None else now_s
    return -(-_seconds(asked, now_s) // length_s) * length_s


def _seconds(asked: str, now_s: int) -> int:
    try:
        if asked.startswith("+"):
            return now_s + int(asked[1:])
        if asked.isdecimal():
            return int(asked)
        found = datetime.fromisoformat(asked)
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())
    except ValueError:
        raise Malformed(
            f"--from {asked[:40]!r}: Unix seconds, 2026-12-01T10:00 (UTC), or +SECONDS from now"
        ) from None


def prepared(genesis: Genesis, body: Body, expiry_height: int = NO_EXPIRY) -> Transaction:
    """A transaction that nobody has signed yet."""
    nonce = secrets.token_bytes(NONCE_SIZE)
    return Transaction.of(payload_of(genesis.network, nonce, expiry_height, body))


def entry_of(path: Path, from_s: int) -> dict[str, Any]:
    """An entry as the genesis file would write it, from a JSON file; raises Malformed.

    Of what `registry show --json` printed it is the one that is registered by then, which may be
    another one than now.
    """
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as reason:
        raise Malformed(f"{path}: not JSON: {reason}") from None
    if isinstance(found, dict) and isinstance(found.get("history"), list):
        steps = [each for each in found["history"] if (each["from_s"] or 0) <= from_s]
        found = steps[-1]["entry"] if steps else None
    elif isinstance(found, dict) and isinstance(found.get("entry"), dict):
        found = found["entry"]
    if not isinstance(found, dict) or not isinstance(found.get("id"), str):
        raise Malformed(f"{path}: not an entry with its id, as the genesis file has them")
    return found


def read(path: Path) -> Transaction:
    """A transaction from its file, signed or not; raises Malformed, or OSError."""
    with path.open("rb") as file:
        data = file.read(_MOST_FILE)
    if not data:
        raise Malformed(f"{path} is no transaction: it is empty")
    try:
        signed = data.startswith(b"\xd8\x62")
        found = Transaction.open(data) if signed else Transaction.of(data)
    except Malformed as reason:
        raise Malformed(f"{path} is no transaction: {reason}") from None
    if isinstance(found.body, ChangeValidators | ChangeAuthorities | ChangeParameters):
        raise Malformed(f"{path} is a change of authorities: gridwitness network show {path}")
    return found


def content(transaction: Transaction) -> bytes:
    """What its file holds: the payload while nobody has signed."""
    unsigned = not transaction.sign.signatures
    return transaction.sign.payload if unsigned else transaction.encoded


def together(copies: Sequence[Transaction]) -> Transaction:
    """One transaction with the signatures of all its copies; raises Refused when they differ."""
    first = copies[0]
    found: dict[bytes, tuple[bytes, bytes]] = {}
    for copy in copies:
        if copy.id != first.id:
            raise Refused("these files hold different transactions: submit them one by one")
        for protected, signature in copy.sign.signatures:
            found.setdefault(protected, (protected, signature))
    sign = Sign(first.sign.protected, first.sign.payload, tuple(found.values()))
    return Transaction(sign)


@dataclass(frozen=True, slots=True)
class Told:
    """What a transaction says."""

    what: str
    """In one line."""

    thing: str
    """Id of what it is about."""


def told(body: Body) -> Told:
    """What a body says, for people."""
    match body:
        case ReplaceMeter():
            return Told(f"meter {body.meter} replaces {body.old}", body.meter)
        case CommissionedMeter():
            place = f"{body.entry.get('node')} in {body.entry.get('zone')}"
            verb = "is enrolled" if body.kind.startswith("enrol") else "is registered anew"
            return Told(f"meter {body.meter} {verb} at {place}", body.meter)
        case Entry():
            verb = "is added" if body.adds else "changes"
            return Told(f"{_noun(body.kind)} {body.entry['id']} {verb}", str(body.entry["id"]))
        case Retirement():
            return Told(f"{_noun(body.kind)} {body.id} is registered no more", body.id)
        case RotateKey():
            said = body.statement
            words = f"{said.role} key of {said.holder}: {said.new.kid.hex()} follows"
            until = f"{said.old.hex()[:16]}, which stands until {time_words(said.until_s)}"
            return Told(f"{words} {until}", said.holder)
        case CompromiseKey():
            kid = body.thumbprint.hex()[:16]
            words = f"{body.role} key {kid} of {body.holder} is compromised: it ends with the block"
            return Told(words, body.holder)
    return _told_of_little(body)


def _told_of_little(body: Body) -> Told:
    match body:
        case ChangeHolder():
            link = "gets another link" if body.holder else "has no link any more"
            old = "opens nothing any more" if body.cause == LEAKED else "keeps the time before"
            return Told(f"the household of {body.meter} {link}; the old one {old}", body.meter)
        case Withdraw():
            name = body.transaction.hex()
            return Told(f"the change {name[:16]}, accepted for later, is withdrawn", name)
        case ResolveCase():
            verb = "is settled" if body.decision == SETTLE else "is dismissed"
            window = f"the case of {body.zone}, window of {time_words(body.start_s)}"
            return Told(f"{window}, {verb} on revision {body.revision}: {body.finding}", body.zone)
    return Told(f"a {body.kind}, which authorities sign together: gridwitness network", body.kind)


def _noun(kind: str) -> str:
    noun = kind.partition("-")[2]
    return "unmetered load" if noun == "unmetered" else noun


def described(
    transaction: Transaction, holders: Mapping[tuple[int, bytes], str] | None = None
) -> dict[str, Any]:
    """A transaction for people and scripts; `holders` says whose keys they are."""
    known = holders or {}
    signers = [
        {"kid": kid.hex(), "who": known.get((alg, kid), "")}
        for alg, kid in transaction.sign.signers
    ]
    said = told(transaction.body)
    return {
        "kind": transaction.kind,
        "what": said.what,
        "id": said.thing,
        "from_s": transaction.from_s or None,
        "ends_with_block": _ends_with_block(transaction.body),
        "network": transaction.network.hex(),
        "expiry_height": transaction.expiry_height,
        "transaction": transaction.id.hex(),
        "signers": signers,
    }


def _ends_with_block(body: Body) -> bool:
    return isinstance(body, ChangeHolder) and body.cause == LEAKED


def lines(found: dict[str, Any]) -> list[str]:
    """The same in lines for people."""
    from_s = found["from_s"]
    signers = [f"{each['kid']} {each['who']}".strip() for each in found["signers"]]
    begins = "its block on" if from_s is None else time_words(from_s)
    if found["ends_with_block"]:
        begins += "; the old link ends with the block already"
    return [
        f"kind         {found['kind']}: {found['what']}",
        f"holds from   {begins}",
        f"network      {found['network'][:16]}",
        f"signed by    {', '.join(signers) or 'nobody yet'}",
        f"transaction  {found['transaction']}",
    ]
