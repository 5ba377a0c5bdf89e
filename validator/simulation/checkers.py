"""What must hold in every run, checked apart from the machines, at every step.

Agreement: no two honest validators commit different blocks at one height. Validity: what is
committed is the block of its digest, made by a validator for that height, that follows the one
before; it holds what clients sent, each transaction once. Soundness: a quorum's seals, and behind
an honest COMMIT or claim a quorum's PREPAREs. One voice: nobody honest signs twice for a slot, or
forgets a COMMIT. Accountability: nobody honest is ever reported. Liveness, that heights grow within
a bound after healing, is judged in `runs`.
"""

import hashlib
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

from validator.consensus import effects as do
from validator.consensus.messages import (
    Commit,
    Message,
    Prepare,
    PreparedCertificate,
    RoundChange,
)
from validator.simulation.marks import is_final, is_signed, sign
from validator.simulation.set_changes import Rule, Sets
from validator.simulation.values import GENESIS, Value
from wire.block import Commit as BlockCommit
from wire.block import ValidatorSet


class Watch(Protocol):
    """Who is told what happens, and judges it."""

    def committed(self, name: str, height: int, final: do.Commit) -> None:
        """A validator has committed."""

    def report(self, by: str, accused: str) -> None:
        """A validator has evidence against another."""

    def spoke(self, name: str, message: Message, certificate: PreparedCertificate | None) -> None:
        """A validator signs."""

    def tell(self, now_ms: int, name: str, words: str) -> None:
        """Something happened, for people."""


@dataclass
class Checkers:
    """Watches one run."""

    validators: ValidatorSet
    """Who seals."""

    sign: Callable[[Message], Message]
    """What an honest signature looks like."""

    honest: frozenset[str] = frozenset()
    """Validators that do not lie."""

    agreed: dict[int, bytes] = field(default_factory=dict)
    """Digest by height, as first committed by an honest validator."""

    violations: list[str] = field(default_factory=list)
    """What went wrong, in words."""

    reported: set[str] = field(default_factory=set)
    """Who was reported with evidence."""

    def committed(self, name: str, height: int, final: do.Commit) -> None:
        """A validator has committed."""
        if self.honest and name not in self.honest:
            return
        known = self.agreed.setdefault(height, final.digest)
        if known != final.digest:
            words = f"{final.digest.hex()[:8]} at {height}, others {known.hex()[:8]}"
            self.violations.append(f"{name} committed {words}")
        maker, made_for, *_ = [*final.block.split(b"/"), b""]
        valid = maker.decode() in self.members(height).ids and made_for == str(height).encode()
        if not valid or hashlib.sha256(final.block).digest() != final.digest:
            self.violations.append(f"{name} committed at {height} what is not a valid block")
        if not self._is_sound(height, final):
            self.violations.append(f"{name} committed at {height} without a quorum's seals")

    def report(self, by: str, accused: str) -> None:
        """A validator has evidence against another."""
        self.reported.add(accused)
        if accused in self.honest:
            self.violations.append(f"{by} framed the honest {accused}")

    def members(self, height: int) -> ValidatorSet:
        """Who seals a height."""
        return self.validators

    def _is_sound(self, height: int, final: do.Commit) -> bool:
        sealers, members = set(), self.members(height)
        for index, signature in final.commit.seals:
            name = members.ids[index]
            vote = self.sign(Commit(height, final.commit.round, name, final.digest))
            if vote.signature != signature:
                return False
            sealers.add(name)
        return len(sealers) >= members.quorum and final.commit.digest == final.digest


@dataclass
class Judge(Checkers):
    """Watches a whole network: its chain and every signature too."""

    sent: Container[str] = ()
    """Transactions that clients really sent."""

    tell: Callable[[int, str, str], None] = lambda now_ms, name, words: None
    """Told what happens, for people: virtual milliseconds, validator, words."""

    included: dict[str, int] = field(default_factory=dict)
    """Height of each transaction in the agreed chain."""

    values: dict[int, Value] = field(default_factory=dict)
    """The agreed chain."""

    slots: dict[tuple[str, int, int, str], bytes] = field(default_factory=dict)
    """What each honest validator signed for each slot."""

    locked: dict[tuple[str, int], int] = field(default_factory=dict)
    """Round of the newest COMMIT of each honest validator at each height."""

    rule: Rule | None = None
    """How the set changes; not at all when None."""

    _sets: Sets | None = None

    def members(self, height: int) -> ValidatorSet:
        """Who seals a height, by the agreed chain."""
        if self.rule is None:
            return self.validators
        if self._sets is None:
            self._sets = Sets(self.rule)
        return self._sets.at(height)

    @property
    def sets(self) -> int:
        """How many sets in a row have sealed the agreed chain."""
        return sum(one != other for one, other in self._steps()) + 1

    @property
    def keys(self) -> int:
        """How many of them differ from the one before in a key alone."""
        return sum(one != other and one.ids == other.ids for one, other in self._steps())

    def _steps(self) -> Iterable[tuple[ValidatorSet, ValidatorSet]]:
        return pairwise(self.members(height) for height in sorted(self.values))

    def _is_sound(self, height: int, final: do.Commit) -> bool:
        whole = is_final(final.commit, self.members(height), height)
        return whole and final.commit.digest == final.digest

    def committed(self, name: str, height: int, final: do.Commit) -> None:
        """A validator has committed: the chain goes on from what was agreed before."""
        Checkers.committed(self, name, height, final)
        if name not in self.honest or height in self.values:
            return
        value = Value.decode(final.block)
        if value is None:
            return
        before = self.values.get(height - 1)
        self._extend(value)
        if value.parent != (GENESIS if before is None else before.digest):
            self.violations.append(f"{name} committed at {height} what does not follow")
        if before is not None:
            self._check_parent(name, value, before)
        for each in value.transactions:
            if each not in self.sent:
                self.violations.append(f"{name} committed {each}, which nobody sent")
            if self.included.setdefault(each, height) != height:
                known = self.included[each]
                self.violations.append(f"{each} is in block {height} and in {known}")

    def _extend(self, value: Value) -> None:
        self.values[value.height] = value
        if self._sets is not None:
            self._sets.add(value.transactions)

    def _check_parent(self, name: str, value: Value, before: Value) -> None:
        if value.time_ms <= before.time_ms:
            self.violations.append(f"{name} committed at {value.height} a time that goes back")
        sealed = BlockCommit.decode(value.parent_commit)
        whole = is_final(sealed, self.members(before.height), before.height)
        if sealed.digest != before.digest or not whole:
            self.violations.append(f"{name} committed at {value.height} over an unsealed parent")

    def spoke(self, name: str, message: Message, certificate: PreparedCertificate | None) -> None:
        """A validator signs."""
        if name not in self.honest:
            return
        key = self.members(message.height).key(name)
        if key is None:
            self.violations.append(f"{name} speaks at {message.height}, which it does not seal")
        elif sign(message, key) != message:
            self.violations.append(f"{name} speaks at {message.height} by another key than its own")
        slot = (name, message.height, message.round, message.kind)
        if self.slots.setdefault(slot, message.signature) != message.signature:
            self.violations.append(f"{name} signed two of {slot[1:]}")
        if isinstance(message, Commit):
            prepares = () if certificate is None else certificate.prepares
            self._check_prepared(name, message, message.round, message.digest, prepares)
            self.locked[(name, message.height)] = message.round
        elif isinstance(message, RoundChange):
            self._check_claim(name, message)

    def _check_claim(self, name: str, change: RoundChange) -> None:
        claimed = -1 if change.prepared_round is None else change.prepared_round
        if claimed < self.locked.get((name, change.height), -1):
            self.violations.append(f"{name} forgot its COMMIT at height {change.height}")
        if change.prepared_round is not None and change.prepared_digest is not None:
            digest, prepares = change.prepared_digest, change.prepares
            self._check_prepared(name, change, change.prepared_round, digest, prepares)

    def _check_prepared(
        self,
        name: str,
        message: Message,
        round_number: int,
        digest: bytes,
        prepares: tuple[Prepare, ...],
    ) -> None:
        wanted = (message.height, round_number, digest)
        members = self.members(message.height)
        signers = {
            each.sender
            for each in prepares
            if (each.height, each.round, each.digest) == wanted and is_signed(each, members)
        }
        if len(signers) < members.quorum:
            words = f"{message.kind} in round {message.round}"
            self.violations.append(f"{name} had no quorum's PREPAREs behind its {words}")
