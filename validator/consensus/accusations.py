"""What is reported of others: every contradiction once, and never one's own.

Decides which pairs of seen messages are told to the driver. What contradicts what is decided in
`evidence`; that a copy of one's own key speaks elsewhere, the others tell.
"""

from collections.abc import Sequence

from validator.consensus.effects import Report
from validator.consensus.evidence import Evidence, is_amnesia
from validator.consensus.messages import Commit, RoundChange


class Accusations:
    """What one validator has reported at one height."""

    def __init__(self, me: str) -> None:
        """Take one's own id."""
        self._me = me
        self._reported: set[tuple[str, str]] = set()

    def report(self, evidence: Evidence | None) -> list[Report]:
        """Report it, once for each sender and kind."""
        if evidence is None or evidence.sender == self._me:
            return []
        offence = (evidence.sender, evidence.kind)
        if offence in self._reported:
            return []
        self._reported.add(offence)
        return [Report(evidence)]


def amnesia(commits: Sequence[Commit], change: RoundChange | None) -> Evidence | None:
    """Evidence when a sender's ROUND-CHANGE forgets one of its COMMITs."""
    if change is None:
        return None
    for commit in commits:
        if is_amnesia(commit, change):
            return Evidence(commit, change)
    return None
