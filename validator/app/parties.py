"""Who must have signed a registry transaction.

Decides that each party has signed with a key that counts, and nobody else has. Which parties a kind
needs is decided by the kind's own rules.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from validator.app.carrier import SignatureBook
from validator.app.refusals import (
    BY_STRANGER,
    KEY_TAKEN,
    NOT_BY_NEW_KEY,
    NOT_BY_OPERATOR,
    NOT_BY_TECHNICIAN,
    UNKNOWN_OPERATOR,
    Moment,
    RefusedTransaction,
)
from validator.app.registries import Registries
from wire.keys import PublicKey
from wire.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Proposal:
    """A transaction that somebody wants in a block."""

    registries: Registries
    """What is registered, as of the block before."""

    transaction: Transaction
    """The transaction."""

    moment: Moment
    """The block."""

    book: SignatureBook
    """Which signatures stand."""

    def counts(self, public: PublicKey) -> bool:
        """Whether the key has signed, and is not compromised."""
        found = self.transaction.sign.signature_of(public)
        if found is None or self.registries.is_ended(public, self.moment.height):
            return False
        return self.book.stands(public, *found)


@dataclass(frozen=True, slots=True)
class Party:
    """One whose signature is needed."""

    keys: Sequence[PublicKey]
    """Any of these."""

    reason: int
    """Why the transaction is refused without it."""

    who: str
    """Whose signature it is, for people."""


def check_parties(proposal: Proposal, parties: Iterable[Party]) -> list[PublicKey]:
    """The keys that signed, one for each party, in order.

    Raises:
        RefusedTransaction: one is missing, or somebody else has signed too.
    """
    signed = []
    for party in parties:
        key = next((key for key in party.keys if proposal.counts(key)), None)
        if key is None:
            raise RefusedTransaction(party.reason, party.who)
        signed.append(key)
    known = {(key.alg, key.kid) for key in signed}
    for alg, kid in proposal.transaction.sign.signers:
        if (alg, kid) not in known:
            raise RefusedTransaction(BY_STRANGER, kid.hex())
    return signed


def operator(proposal: Proposal, authority: str) -> Party:
    """A grid operator."""
    found = proposal.registries.base.authorities.get(authority)
    if found is None:
        raise RefusedTransaction(UNKNOWN_OPERATOR, authority)
    return Party((found.key,), NOT_BY_OPERATOR, authority)


def operators(proposal: Proposal, authorities: Iterable[str]) -> list[Party]:
    """Several grid operators, each once, the first named first."""
    return [operator(proposal, each) for each in dict.fromkeys(authorities)]


def technicians(proposal: Proposal, authority: str) -> Party:
    """Any technician of an operator who is registered when the block is made."""
    registries, time_s = proposal.registries, proposal.moment.time_s
    found = (registries.technician(each, time_s) for each in registries.ids_ever("technicians"))
    keys = [each.key for each in found if each is not None and each.operator == authority]
    keys = [key for key in keys if not registries.is_ended(key, proposal.moment.height)]
    return Party(keys, NOT_BY_TECHNICIAN, f"{authority} has {len(keys)}")


def new_keys(proposal: Proposal, keys: Sequence[PublicKey]) -> list[Party]:
    """Those who hold keys that come in; raises RefusedTransaction when one is somebody's."""
    check_free(proposal, keys)
    return [Party((key,), NOT_BY_NEW_KEY, key.kid.hex()) for key in keys]


def check_free(proposal: Proposal, keys: Sequence[PublicKey]) -> None:
    """Raise RefusedTransaction when one of these keys is, was or will be somebody's."""
    authorities = {each.key.raw for each in proposal.registries.base.authorities.values()}
    for place, key in enumerate(keys):
        taken = key.raw in proposal.registries.keys_ever or key.raw in authorities
        if taken or key.raw in proposal.moment.keys_taken or key in keys[:place]:
            raise RefusedTransaction(KEY_TAKEN, key.kid.hex())
