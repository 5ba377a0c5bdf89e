"""Which changes of validators, authorities and parameters stand.

Decides one reason code for one transaction of q authorities on one state. A change names what it
changes (its base), so that of two that do not know of each other the second is stale; it holds two
blocks later. Never more than f validators change at once, and never fewer than four are left, so
that whoever knows one set can follow to the next; a network that began with fewer may only grow.
The same holds for authorities. A key that comes in signs too, and is nobody's already.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from validator.app.carrier import SignatureBook
from validator.app.enrolment import (
    BY_STRANGER,
    EXPIRED,
    KEY_TAKEN,
    OTHER_NETWORK,
    REPLAYED,
    Moment,
    RefusedTransaction,
)
from validator.app.entries import Authority
from validator.app.parameters import Parameters, parameters_hash
from validator.app.ruling import DELAY, Member, Next, ParameterTable, Roll, Roster, Ruling
from wire.cose import Sign
from wire.errors import Malformed
from wire.governance import (
    ADD,
    EXPEL,
    REVOKE,
    ROTATE,
    AuthorityStep,
    ChangeAuthorities,
    ChangeParameters,
    ChangeValidators,
    Governing,
    ValidatorStep,
    new_keys,
)
from wire.keys import PublicKey
from wire.transaction import Transaction

STALE_BASE = 90
TOO_FEW_AUTHORITIES = 91
NOT_BY_NEW_KEY = 92
TOO_MANY_AT_ONCE = 93
TOO_FEW_LEFT = 94
UNKNOWN_MEMBER = 95
MEMBER_TAKEN = 96
AUTHORITY_IN_USE = 97
UNFIT_PARAMETERS = 98
ANOTHER_IN_BLOCK = 99

LEAST = 4
"""Fewer validators, or authorities, are never left."""

NODE_PARAMETERS = {
    "block_interval_ms": (50, 600_000),
    "empty_block_interval_ms": (50, 3_600_000),
    "round_timeout_ms": (50, 600_000),
    "round_timeout_cap_ms": (50, 3_600_000),
    "block_precision_ms": (1, 60_000),
    "block_delay_ms": (1, 600_000),
    "evidence_age_blocks": (100, 100_000_000),
}
"""Parameters of agreement that may change, with their least and largest values."""

RULE_RANGES = {"skew_missing_s": (0, 3_600)}
"""Parameters of the rules with narrower ranges for changes: no interval is longer than an hour."""

FIXED = frozenset({"interval_s"})
"""Of the rules' parameters those that never change: what a reading is rests on them."""


@dataclass(frozen=True, slots=True)
class Registered:
    """What the rest of the registry says."""

    keys: Collection[bytes]
    """Raw keys of technicians, gateways and meters, which nobody else may have."""

    operators: Collection[str]
    """Authorities that operate a zone or a gateway, or employ technicians."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A change that stands."""

    following: Next
    """What holds from two blocks later."""

    signers: tuple[PublicKey, ...]
    """Authorities' keys that signed, in order of authority id."""


def check_change(
    ruling: Ruling,
    transaction: Transaction,
    moment: Moment,
    registered: Registered,
    book: SignatureBook,
) -> Decision:
    """Decide about a change.

    Raises:
        RefusedTransaction: with its reason.
    """
    if transaction.network != moment.network:
        raise RefusedTransaction(OTHER_NETWORK, transaction.network.hex()[:8])
    if transaction.expiry_height < moment.height:
        raise RefusedTransaction(EXPIRED, f"after block {transaction.expiry_height}")
    if transaction.id in ruling.decided:
        raise RefusedTransaction(REPLAYED, transaction.id.hex()[:16])
    first = moment.height + DELAY
    following: Next
    body = transaction.body
    match body:
        case ChangeValidators():
            following = _next_roster(ruling, body, registered, first)
        case ChangeAuthorities():
            following = _next_roll(ruling, body, registered, first)
        case ChangeParameters():
            following = _next_table(ruling, body, first)
        case _:
            raise AssertionError(f"{transaction.kind} is decided elsewhere")
    signers = _check_signatures(ruling.roll(moment.height), transaction.sign, new_keys(body), book)
    return Decision(following, signers)


def _check_base(known: bytes, base: bytes, newest: int, first: int) -> None:
    if newest >= first:
        raise RefusedTransaction(ANOTHER_IN_BLOCK, f"from height {first}")
    if base != known:
        raise RefusedTransaction(STALE_BASE, f"{base.hex()[:16]}, not {known.hex()[:16]}")


def most_at_once(before: int) -> int:
    """How many of so many may change: more than two thirds of a set stay in the next one."""
    return max(1, (before - 1) // 3)


def fewest_left(before: int) -> int:
    """How many of so many have to be left, so that one may be faulty among them."""
    return min(LEAST, before)


def _check_count(before: int, after: int, steps: int) -> None:
    most = most_at_once(before)
    if steps > most:
        raise RefusedTransaction(TOO_MANY_AT_ONCE, f"{steps} of {before}; at most {most}")
    if after < fewest_left(before):
        raise RefusedTransaction(TOO_FEW_LEFT, f"{after}")


# Validators.


def _next_roster(
    ruling: Ruling, body: ChangeValidators, registered: Registered, first: int
) -> Roster:
    newest = ruling.rosters[-1]
    _check_base(newest.hash, body.base, newest.first, first)
    members = {each.id: each for each in newest.members}
    observers = {each.id: each for each in newest.observers}
    before = len(members)
    for step in body.steps:
        _take_step(ruling, step, members, observers)
    _check_count(before, len(members), len(body.steps))
    _check_new_keys(ruling, body, registered)
    return Roster(first, _in_order(members.values()), _in_order(observers.values()))


def _take_step(
    ruling: Ruling, step: ValidatorStep, members: dict[str, Member], observers: dict[str, Member]
) -> None:
    known = members.get(step.id)
    if step.verb == ADD:
        if known is not None:
            raise RefusedTransaction(MEMBER_TAKEN, step.id)
        if all(each.id != step.authority for each in ruling.rolls[-1].authorities):
            raise RefusedTransaction(UNKNOWN_MEMBER, f"authority {step.authority}")
        assert step.key is not None
        observers.pop(step.id, None)
        members[step.id] = Member(step.id, step.authority, step.key, step.place)
    elif step.verb == EXPEL and known is None and step.id in observers:
        del observers[step.id]
    elif known is None:
        raise RefusedTransaction(UNKNOWN_MEMBER, step.id)
    elif step.verb == ROTATE:
        assert step.key is not None
        members[step.id] = replace(known, key=step.key, place=step.place)
    else:
        del members[step.id]
        if step.verb != EXPEL:
            observers[step.id] = known


def _in_order(members: Iterable[Member]) -> tuple[Member, ...]:
    return tuple(sorted(members, key=lambda each: each.id))


# Authorities.


def _next_roll(ruling: Ruling, body: ChangeAuthorities, registered: Registered, first: int) -> Roll:
    newest = ruling.rolls[-1]
    _check_base(newest.hash, body.base, newest.first, first)
    authorities = {each.id: each for each in newest.authorities}
    revoked = set(newest.revoked)
    before = len(authorities)
    in_use = {each.authority for each in ruling.rosters[-1].members} | {*registered.operators}
    for step in body.steps:
        _change_authority(step, authorities, revoked, in_use)
    _check_count(before, len(authorities), len(body.steps))
    _check_new_keys(ruling, body, registered)
    found = sorted(authorities.values(), key=lambda each: each.id)
    return Roll(first, tuple(found), tuple(sorted(revoked)))


def _change_authority(
    step: AuthorityStep, authorities: dict[str, Authority], revoked: set[str], in_use: set[str]
) -> None:
    known = authorities.get(step.id)
    if step.verb == ADD:
        if known is not None or step.id in revoked:
            raise RefusedTransaction(MEMBER_TAKEN, step.id)
        assert step.key is not None
        authorities[step.id] = Authority(step.id, step.name, step.kind, step.key)
    elif known is None:
        raise RefusedTransaction(UNKNOWN_MEMBER, f"authority {step.id}")
    elif step.verb == REVOKE:
        if step.id in in_use:
            raise RefusedTransaction(AUTHORITY_IN_USE, step.id)
        del authorities[step.id]
        revoked.add(step.id)
    else:
        assert step.key is not None
        authorities[step.id] = replace(known, key=step.key)


# Parameters.


def _next_table(ruling: Ruling, body: ChangeParameters, first: int) -> ParameterTable:
    newest = ruling.tables[-1]
    _check_base(newest.hash, body.base, newest.first, first)
    fault = parameter_fault(newest.values, body.values)
    if fault:
        raise RefusedTransaction(UNFIT_PARAMETERS, fault)
    return ParameterTable(first, {**newest.values, **dict(body.values)})


def parameter_fault(known: Mapping[str, Any], values: Iterable[tuple[str, int]]) -> str:
    """Why parameters cannot be changed so; empty when they can."""
    rules = {each.name for each in fields(Parameters)} - FIXED
    ranges = NODE_PARAMETERS | RULE_RANGES
    changes = dict(values)
    for name, value in changes.items():
        if name in ranges:
            least, most = ranges[name]
            if not least <= value <= most:
                return f"{name} is {least} to {most}"
        elif name not in rules:
            return f"{name[:40]} cannot be changed"
    following = {**known, **changes}
    try:
        Parameters.of(following)
    except Malformed as reason:
        return str(reason)
    return "nothing changes" if parameters_hash(following) == parameters_hash(known) else ""


# Signatures.


def _check_new_keys(ruling: Ruling, body: Governing, registered: Registered) -> None:
    keys = [key.raw for key in new_keys(body)]
    # Anybody can have this asked: keys are looked up, never gathered.
    taken = (ruling.validator_keys_ever, ruling.authority_keys_ever, registered.keys)
    for number, raw in enumerate(keys):
        if raw in keys[:number] or any(raw in each for each in taken):
            raise RefusedTransaction(KEY_TAKEN, raw.hex()[:16])


def _check_signatures(
    roll: Roll, sign: Sign, keys: Collection[PublicKey], book: SignatureBook
) -> tuple[PublicKey, ...]:
    """Of the authorities in force q distinct keys have signed, and all new keys; nobody else."""
    for key in keys:
        if not _has_signed(sign, key, book):
            raise RefusedTransaction(NOT_BY_NEW_KEY, key.kid.hex())
    signers = _distinct(each.key for each in roll.authorities if _has_signed(sign, each.key, book))
    if len(signers) < roll.quorum:
        words = f"{len(signers)} of {len(roll.authorities)}; {roll.quorum} are needed"
        raise RefusedTransaction(TOO_FEW_AUTHORITIES, words)
    known = {(key.alg, key.kid) for key in (*signers, *keys)}
    for alg, kid in sign.signers:
        if (alg, kid) not in known:
            raise RefusedTransaction(BY_STRANGER, kid.hex())
    return signers


def _distinct(keys: Iterable[PublicKey]) -> tuple[PublicKey, ...]:
    return tuple({key.raw: key for key in keys}.values())


def _has_signed(sign: Sign, public: PublicKey, book: SignatureBook) -> bool:
    found = sign.signature_of(public)
    return found is not None and book.stands(public, *found)
