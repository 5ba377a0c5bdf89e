"""What must hold in every run, checked apart from the machines.

Agreement: no two honest validators commit different blocks at one height. Validity: what is
committed is the block of its digest, made by a validator for that height. Soundness: it has a
quorum's seals. Accountability: nobody honest is ever reported. Liveness, that heights grow within a
bound after healing, is judged in `runs`.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from validator.consensus import effects as do
from validator.consensus.messages import Commit, Message
from wire.block import ValidatorSet


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
        valid = maker.decode() in self.validators.ids and made_for == str(height).encode()
        if not valid or hashlib.sha256(final.block).digest() != final.digest:
            self.violations.append(f"{name} committed at {height} what is not a valid block")
        if not self._is_sound(height, final):
            self.violations.append(f"{name} committed at {height} without a quorum's seals")

    def report(self, by: str, accused: str) -> None:
        """A validator has evidence against another."""
        self.reported.add(accused)
        if accused in self.honest:
            self.violations.append(f"{by} framed the honest {accused}")

    def _is_sound(self, height: int, final: do.Commit) -> bool:
        sealers = set()
        for index, signature in final.commit.seals:
            name = self.validators.ids[index]
            vote = self.sign(Commit(height, final.commit.round, name, final.digest))
            if vote.signature != signature:
                return False
            sealers.add(name)
        return len(sealers) >= self.validators.quorum and final.commit.digest == final.digest
