"""A change of validators, authorities or parameters on its way from hand to hand.

The file is the transaction as far as it has been signed; each authority adds its signature. Decides
what a change is made for (what is decided now, as validators tell it) and what it says in words.
Copies signed apart are put together by `gridwitness.registry_file`, as those of any transaction;
whether a change stands, the validators decide.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from hsm.durable import replace, write_new
from validator.app.governance import fewest_left, most_at_once, parameter_fault
from validator.app.parameters import parameters_hash
from validator.app.ruling import DELAY
from validator.client import Client, NotThere
from wire.errors import BadSignature, Malformed, Refused
from wire.governance import (
    ADD,
    EXPEL,
    REMOVE,
    REVOKE,
    AuthorityStep,
    ChangeAuthorities,
    ChangeParameters,
    ChangeValidators,
    Governing,
    ValidatorStep,
    authorities_hash,
    new_keys,
)
from wire.keys import PublicKey, Signer
from wire.transaction import NONCE_SIZE, Transaction, payload_of

EXPIRES_AFTER_BLOCKS = 100_000
"""Some days of full blocks: authorities sign one after the other, on paper's time."""


class _HasHeight(Protocol):
    """Something that holds from a height on."""

    from_height: int
    """The height."""


_Era = TypeVar("_Era", bound=_HasHeight)


@dataclass(frozen=True, slots=True)
class Standing:
    """What is decided now, as one validator tells it."""

    network: bytes
    """Network id, 32 bytes."""

    height: int
    """The newest block."""

    validators_hash: bytes
    """Of the newest set that is decided."""

    validators: tuple[tuple[str, str], ...]
    """(id, authority) of that set."""

    authorities: tuple[tuple[str, PublicKey], ...]
    """(id, key) of the newest authorities that are decided."""

    parameters: Mapping[str, Any]
    """The newest parameters that are decided."""

    validator_keys: Mapping[str, str] = field(default_factory=dict)
    """Keys of that set by id, as text."""

    @classmethod
    def asked(cls, client: Client, before_height: int | None = None) -> Self:
        """Ask, also for what was decided before something held; raises Unavailable."""
        roster = _newest(client.rosters(), before_height)
        roll = _newest(client.rolls(), before_height)
        status = client.status()
        return cls(
            bytes.fromhex(status.network_id),
            status.height,
            bytes.fromhex(roster.hash),
            tuple((each.id, each.authority) for each in roster.validators),
            tuple((each.id, PublicKey.from_text(each.key)) for each in roll.authorities),
            dict(_newest(client.tables(), before_height).parameters),
            {each.id: each.key for each in roster.validators},
        )

    @property
    def parameters_hash(self) -> bytes:
        """Of the newest parameters that are decided."""
        return parameters_hash(self.parameters)

    @property
    def quorum(self) -> int:
        """How many authorities have to sign."""
        return (2 * len(self.authorities) - 1) // 3 + 1

    def of_validators(self, steps: Iterable[ValidatorStep]) -> Transaction:
        """A change of the set that nobody has signed yet; raises Refused when no block has it."""
        body = ChangeValidators(self.validators_hash, tuple(steps))
        _check_fits("validator", [name for name, _ in self.validators], body.steps)
        return self._made(body)

    def of_authorities(self, steps: Iterable[AuthorityStep]) -> Transaction:
        """A change of authorities that nobody has signed yet; raises Refused as above."""
        body = ChangeAuthorities(authorities_hash(self.authorities), tuple(steps))
        runs = {authority: name for name, authority in self.validators}
        for step in body.steps:
            if step.verb == REVOKE and step.id in runs:
                raise Refused(f"authority {step.id} runs {runs[step.id]}: first --remove that one")
        _check_fits("authority", [name for name, _ in self.authorities], body.steps)
        return self._made(body)

    def of_parameters(self, values: Iterable[tuple[str, int]]) -> Transaction:
        """A change of parameters that nobody has signed yet; raises Refused as above."""
        body = ChangeParameters(self.parameters_hash, tuple(sorted(values)))
        fault = parameter_fault(self.parameters, body.values)
        if fault:
            now = ", ".join(f"{name} is {self.parameters.get(name)} now" for name, _ in body.values)
            raise Refused(f"no block would have it: {fault} ({now})")
        return self._made(body)

    def _made(self, body: Governing) -> Transaction:
        nonce = secrets.token_bytes(NONCE_SIZE)
        expiry_height = self.height + EXPIRES_AFTER_BLOCKS
        return Transaction.of(payload_of(self.network, nonce, expiry_height, body))


def _newest(eras: Sequence[_Era], before_height: int | None) -> _Era:
    known = [each for each in eras if before_height is None or each.from_height < before_height]
    return known[-1] if known else eras[0]


def _check_fits(
    what: str, known: Sequence[str], steps: Sequence[ValidatorStep | AuthorityStep]
) -> None:
    """Refuse already here what validators would refuse when everybody has signed it."""
    joining = {step.id for step in steps if step.verb == ADD}
    # An observer, whom nobody names here, may be expelled too.
    strange = {step.id for step in steps if step.verb not in (ADD, EXPEL)} - {*known}
    if strange:
        raise Refused(f"no {what} {', '.join(sorted(strange))}: {', '.join(known)} are in force")
    if joining & {*known}:
        raise Refused(f"{', '.join(sorted(joining & {*known}))}: an {what} of that id is in force")
    before, most = len(known), most_at_once(len(known))
    if len(steps) > most:
        raise Refused(
            f"{len(steps)} of {before} at once: at most {most} may change (f of n), so that a"
            " quorum stays; make the others' change when this one holds"
        )
    leaving = {step.id for step in steps if step.verb in (REMOVE, EXPEL, REVOKE)} & {*known}
    after, least = before + len(joining) - len(leaving), fewest_left(before)
    if after < least:
        raise Refused(
            f"{after} would be left of {before}: never fewer than {least}; first let another join"
        )


def read(path: Path) -> Transaction:
    """Read a file; raises Malformed when it holds no change of this kind."""
    data = path.read_bytes()
    try:
        transaction = Transaction.open(data)
    except Malformed as reason:
        words = str(reason) if data else "it is empty"
        raise Malformed(f"{path} is no signed change: {words}") from None
    if not isinstance(transaction.body, Governing):
        raise Malformed(f"{path} is a change of the registry: gridwitness registry show {path}")
    return transaction


def body_of(transaction: Transaction) -> Governing:
    """What it changes; raises Malformed when it is a transaction of the registry."""
    body = transaction.body
    if not isinstance(body, ChangeValidators | ChangeAuthorities | ChangeParameters):
        raise Malformed(f"a {transaction.kind} is not signed by authorities together")
    return body


def write(path: Path, transaction: Transaction, *, new: bool = False) -> None:
    """Write a file; raises FileExistsError when a new one is there already."""
    if new:
        write_new(path, transaction.encoded)
    else:
        replace(path, transaction.encoded)


def signed(transaction: Transaction, signer: Signer) -> Transaction:
    """With one more signature; the same when that key has signed already."""
    if transaction.is_signed_by(signer.public):
        return transaction
    return transaction.with_signature(signer)


def steps_in_words(body: Governing, before: Standing | None = None) -> list[str]:
    """What a change does, a line for each step, with the old values of what it changes."""
    match body:
        case ChangeValidators(steps=steps):
            old = {} if before is None else before.validator_keys
            return [_validator_step(step, old.get(step.id, "")) for step in steps]
        case ChangeAuthorities(steps=authority_steps):
            known = {} if before is None else dict(before.authorities)
            keys = {name: key.text for name, key in known.items()}
            return [_authority_step(step, keys.get(step.id, "")) for step in authority_steps]
        case ChangeParameters(values=values):
            now = {} if before is None else before.parameters
            return [
                f"parameter {name}: {now[name]} → {value}"
                if name in now
                else f"parameter {name} becomes {value}"
                for name, value in values
            ]


def _validator_step(step: ValidatorStep, old: str) -> str:
    key = "" if step.key is None else step.key.text
    place = f" in place of {old}" if old else ""
    return {
        "add": f"validator {step.id} of {step.authority} joins with the key {key}",
        "rotate": f"validator {step.id} takes the key {key}{place}",
        "remove": f"validator {step.id} leaves and may follow as an observer",
        "expel": f"validator {step.id} leaves and is not let in any more",
    }[step.verb]


def _authority_step(step: AuthorityStep, old: str) -> str:
    key = "" if step.key is None else step.key.text
    place = f" in place of {old}" if old else ""
    return {
        "add": f"authority {step.id} ({step.name}) is added with the key {key}",
        "rotate": f"authority {step.id} takes the key {key}{place}",
        "revoke": f"authority {step.id} is revoked for ever",
    }[step.verb]


Authorities = Sequence[tuple[str, PublicKey]]


def part_of(transaction: Transaction, key: PublicKey, known: Authorities, source: str) -> str:
    """Whose key it is; raises Refused when its signature would spoil the change.

    Args:
        transaction: the change.
        key: the key that is to sign.
        known: authorities by id.
        source: who says so, for people.
    """
    for name, public in known:
        if public == key:
            return name
    if key in new_keys(body_of(transaction)):
        return f"the new key {key.kid.hex()}"
    names = ", ".join(name for name, _ in known)
    raise Refused(
        f"the key {key.kid.hex()} is no authority's ({names}, by {source}) and comes in by no step"
        " of this change: with its signature the change would be refused. Nothing was signed"
    )


def final_height(client: Client, transaction: Transaction) -> int | None:
    """The block that has a change; None: no block has it yet."""
    try:
        return client.transaction(transaction.id).height
    except NotThere:
        return None


def state_in_words(client: Client, kind: str, height: int) -> str:
    """What has become of a change of a kind that a block has."""
    asked: dict[str, Callable[[], Sequence[_HasHeight]]] = {
        ChangeValidators.kind: client.rosters,
        ChangeAuthorities.kind: client.rolls,
        ChangeParameters.kind: client.tables,
    }
    first = height + DELAY
    later = [each.from_height for each in asked[kind]() if each.from_height > first]
    words = "in force since" if client.status().height + 1 >= first else "it holds from"
    ends = f", until another change holds from block {later[0]} on" if later else ""
    return f"final in block {height}: {words} block {first}{ends}"


def signatures_in_words(transaction: Transaction, standing: Standing) -> list[str]:
    """Who has signed, who has not, and whether that is enough, a line each."""
    lines = []
    count = 0
    for name, key in standing.authorities:
        stands = _stands(transaction, key)
        count += stands
        lines.append(f"  {name}: {'signed' if stands else 'not signed'}")
    for key in new_keys(body_of(transaction)):
        words = "signed" if _stands(transaction, key) else "NOT signed, which is needed too"
        lines.append(f"  the new key {key.kid.hex()}: {words}")
    total = len(standing.authorities)
    left = max(0, standing.quorum - count)
    ending = "enough" if not left else f"{left} more needed"
    return [f"signed by {count} of {total} authorities, {standing.quorum} needed: {ending}", *lines]


def _stands(transaction: Transaction, key: PublicKey) -> bool:
    if not transaction.is_signed_by(key):
        return False
    try:
        transaction.sign.verify(key)
    except BadSignature:
        return False
    return True


def is_stale(transaction: Transaction, standing: Standing) -> bool:
    """Whether it changes what is no longer in force."""
    bases = {
        ChangeValidators.kind: standing.validators_hash,
        ChangeAuthorities.kind: authorities_hash(standing.authorities),
        ChangeParameters.kind: standing.parameters_hash,
    }
    return body_of(transaction).base != bases[transaction.kind]
