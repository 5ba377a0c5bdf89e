"""A change of validators, authorities or parameters on its way from hand to hand.

The file is the transaction as far as it has been signed; each authority adds its signature. Decides
what a change is made for (what is decided now, as validators tell it) and what it says in words.
Copies signed apart are put together by `gridwitness.registry_file`, as those of any transaction;
whether a change stands, the validators decide.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from hsm.durable import replace, write_new
from validator.app.governance import fewest_left, most_at_once
from validator.app.parameters import parameters_hash
from validator.client import Client
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

    parameters_hash: bytes
    """Of the newest parameters that are decided."""

    @classmethod
    def asked(cls, client: Client) -> Self:
        """Ask; raises Unavailable when nobody tells it now."""
        status, roster, roll = client.status(), client.rosters()[-1], client.rolls()[-1]
        return cls(
            bytes.fromhex(status.network_id),
            status.height,
            bytes.fromhex(roster.hash),
            tuple((each.id, each.authority) for each in roster.validators),
            tuple((each.id, PublicKey.from_text(each.key)) for each in roll.authorities),
            parameters_hash(client.tables()[-1].parameters),
        )

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
        """A change of parameters that nobody has signed yet."""
        return self._made(ChangeParameters(self.parameters_hash, tuple(sorted(values))))

    def _made(self, body: Governing) -> Transaction:
        nonce = secrets.token_bytes(NONCE_SIZE)
        expiry_height = self.height + EXPIRES_AFTER_BLOCKS
        return Transaction.of(payload_of(self.network, nonce, expiry_height, body))


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
    transaction = Transaction.open(path.read_bytes())
    body_of(transaction)
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


def steps_in_words(body: Governing) -> list[str]:
    """What a change does, a line for each step."""
    match body:
        case ChangeValidators(steps=steps):
            return [_validator_step(step) for step in steps]
        case ChangeAuthorities(steps=authority_steps):
            return [_authority_step(step) for step in authority_steps]
        case ChangeParameters(values=values):
            return [f"parameter {name} becomes {value}" for name, value in values]


def _validator_step(step: ValidatorStep) -> str:
    key = "" if step.key is None else step.key.text
    return {
        "add": f"validator {step.id} of {step.authority} joins with the key {key}",
        "rotate": f"validator {step.id} takes the key {key}",
        "remove": f"validator {step.id} leaves and may follow as an observer",
        "expel": f"validator {step.id} leaves and is not let in any more",
    }[step.verb]


def _authority_step(step: AuthorityStep) -> str:
    key = "" if step.key is None else step.key.text
    return {
        "add": f"authority {step.id} ({step.name}) is added with the key {key}",
        "rotate": f"authority {step.id} takes the key {key}",
        "revoke": f"authority {step.id} is revoked for ever",
    }[step.verb]


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
