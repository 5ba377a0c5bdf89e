"""The transaction that resolves a case: what a zone's grid operator decides about one window.

Decides shape only; whether there is such a case, and what a decision credits, is decided by the
validators (`validator.app.resolving`).
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from wire import fields
from wire.errors import Malformed

RESOLVE_CASE = "resolve-case"
SETTLE, DISMISS = "settle", "dismiss"
LONGEST_FINDING = 500


@dataclass(frozen=True, slots=True)
class ResolveCase:
    """A decision about a window that did not settle by itself."""

    kind: ClassVar[str] = RESOLVE_CASE

    zone: str
    """Zone id."""

    start_s: int
    """Start of the case's window, Unix seconds."""

    revision: int
    """Revision of the newest seal that the decision was made on."""

    decision: str
    """SETTLE: credit what meters signed; DISMISS: credit nothing."""

    finding: str
    """What was found, in words, at most 500 characters."""

    def items(self) -> list[Any]:
        """As encoded."""
        return [self.kind, self.zone, self.start_s, self.revision, self.decision, self.finding]

    @classmethod
    def of_items(cls, value: Any) -> Self:
        """Read a decoded body; raises Malformed."""
        kind, zone, start_s, revision, decision, finding = fields.items(value, cls.kind, 6)
        if kind != cls.kind:
            raise Malformed(f"a body of kind {cls.kind} was expected")
        if decision not in (SETTLE, DISMISS):
            raise Malformed(f"decision: {SETTLE} or {DISMISS}")
        if not isinstance(finding, str) or len(finding) > LONGEST_FINDING:
            raise Malformed(f"finding: not a text of at most {LONGEST_FINDING} characters")
        return cls(
            fields.identifier(zone, "zone"),
            fields.uint(start_s, "start"),
            fields.uint(revision, "revision"),
            decision,
            finding,
        )
