"""A network's affairs: who and what is registered, and who rules; and what one transaction changes.

Decides which rules judge a transaction by its kind: those of the registry
(`validator.app.enrolment`) or those of the authorities (`validator.app.governance`). Objects are
immutable, so that a block tries its transactions one after the other and throws away what it does
not keep.
"""

import hashlib
from dataclasses import dataclass, replace

from validator.app.carrier import SignatureBook
from validator.app.enrolment import Moment, RefusedTransaction, check_transaction
from validator.app.entries import Gateway, Technician, Zone
from validator.app.governance import UNFIT_PARAMETERS, Registered, check_change
from validator.app.records import GOVERNANCE, REGISTRY, RULING
from validator.app.registries import Registries
from validator.app.registry import BadRegistry
from validator.app.ruling import ParameterTable, Ruling, era_row
from wire.governance import REVOKE, ChangeAuthorities, ChangeParameters, ChangeValidators
from wire.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Affairs:
    """As of one block."""

    registries: Registries
    """The registry, interval by interval, under the parameters and authorities of the height."""

    ruling: Ruling
    """Validators, authorities and parameters, height by height."""

    def at(self, height: int) -> "Affairs":
        """The same under the parameters and authorities of another height."""
        authorities = {each.id: each for each in self.ruling.roll(height).authorities}
        governed = self.registries.governed(self.ruling.table(height).rules, authorities)
        return replace(self, registries=governed)

    def height_of(self, transaction: bytes) -> int | None:
        """The block that has a transaction of this id, None when none has."""
        change = self.registries.change(transaction)
        return self.ruling.decided.get(transaction) if change is None else change.height

    def after(self, transaction: Transaction, moment: Moment, book: SignatureBook) -> "Outcome":
        """What a transaction changes.

        Raises:
            RefusedTransaction: with its reason.
        """
        if isinstance(transaction.body, ChangeValidators | ChangeAuthorities | ChangeParameters):
            return self._governed(transaction, moment, book)
        ruling = self.ruling
        taken = ruling.authority_keys_ever | ruling.validator_keys_ever
        moment = replace(moment, keys_taken=taken)
        accepted = check_transaction(self.registries, transaction, moment, book)
        write = (REGISTRY, transaction.id, accepted.change.packed())
        affairs = replace(self, registries=self.registries.with_change(accepted.change))
        return Outcome(affairs, (write,), accepted.operator_key.thumbprint)

    def _governed(self, transaction: Transaction, moment: Moment, book: SignatureBook) -> "Outcome":
        decision = check_change(
            self.ruling, transaction, moment, self._registered(transaction, moment), book
        )
        following = decision.following
        if isinstance(following, ParameterTable):
            try:
                self.registries.governed(following.rules, self.registries.base.authorities)
            except BadRegistry as reason:
                raise RefusedTransaction(UNFIT_PARAMETERS, str(reason)) from None
        writes = (
            (RULING, era_row(following), following.packed()),
            (GOVERNANCE, transaction.id, moment.height.to_bytes(8, "big")),
        )
        ruling = self.ruling.with_next(following, transaction.id, moment.height)
        thumbprints = b"".join(key.thumbprint for key in decision.signers)
        thumbprint = hashlib.sha256(thumbprints).digest()
        return Outcome(replace(self, ruling=ruling), writes, thumbprint)

    def _registered(self, transaction: Transaction, moment: Moment) -> Registered:
        """Keys that are taken; and who operates something now or later, where that matters."""
        registries, body = self.registries, transaction.body
        revokes = isinstance(body, ChangeAuthorities) and any(
            step.verb == REVOKE for step in body.steps
        )
        if not revokes:  # The whole registry is gone through for nothing else.
            return Registered(registries.keys_ever, ())
        operators = {
            entry.operator
            for table in ("gateways", "technicians", "zones")
            for name in registries.ids_ever(table)
            for entry in registries.later(table, name, moment.time_s)
            if isinstance(entry, Gateway | Technician | Zone)
        }
        return Registered(registries.keys_ever, operators)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a transaction that stands changes."""

    affairs: Affairs
    """The affairs after it."""

    writes: tuple[tuple[str, bytes, bytes], ...]
    """Table, key and value of rows of the state."""

    thumbprint: bytes
    """Whose word decided, 32 bytes: the operator's key, or SHA-256 over the thumbprints of the
    authorities' keys that signed, in order of authority."""
