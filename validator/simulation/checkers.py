"""What must hold in every run, checked apart from the machines.

Agreement: no two honest validators commit different blocks at one height. Validity: what is
committed was made by a validator for that height. Accountability: nobody honest is ever reported.
Liveness: after healing, heights grow within a bound.
"""

from dataclasses import dataclass, field


@dataclass
class Checkers:
    """Watches one run."""

    honest: frozenset[str] = frozenset()
    """Validators that do not lie."""

    agreed: dict[int, bytes] = field(default_factory=dict)
    """Digest by height, as first committed by an honest validator."""

    violations: list[str] = field(default_factory=list)
    """What went wrong, in words."""

    reported: set[str] = field(default_factory=set)
    """Who was reported with evidence."""

    def committed(self, name: str, height: int, digest: bytes) -> None:
        """An honest validator has committed."""
        if self.honest and name not in self.honest:
            return
        known = self.agreed.setdefault(height, digest)
        if known != digest:
            self.violations.append(
                f"{name} committed {digest.hex()[:8]} at {height}, others {known.hex()[:8]}"
            )

    def report(self, by: str, accused: str) -> None:
        """A validator has evidence against another."""
        self.reported.add(accused)
        if accused in self.honest:
            self.violations.append(f"{by} framed the honest {accused}")
