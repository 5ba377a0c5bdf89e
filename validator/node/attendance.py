"""Who has said what at the present height, for a person who asks why there is no block.

Keeps of each validator its latest round, what it said in it and when; never more. Decides what
hinders agreement, in words. Votes are counted by the consensus machine, not here.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from validator.consensus.messages import Message
from wire.block import ValidatorSet

SILENT_S = 20.0
"""Who said nothing for so long at a height that is being agreed on counts as silent: a message is
sent again after half a round."""


@dataclass(slots=True)
class _Heard:
    round: int
    kinds: set[str]
    at_s: float


@dataclass(slots=True)
class Attendance:
    """What validators have said at one height."""

    height: int = 0
    """Block height."""

    since_s: float = 0.0
    """When it began, by a clock that only runs forward."""

    _heard: dict[str, _Heard] = field(default_factory=dict)

    def begin(self, height: int, now_s: float) -> None:
        """Begin a height."""
        self.height, self.since_s, self._heard = height, now_s, {}

    def note(self, message: Message, now_s: float) -> None:
        """A validator has said something; what is not of this height is passed over."""
        if message.height != self.height:
            return
        heard = self._heard.setdefault(message.sender, _Heard(message.round, set(), now_s))
        heard.at_s = now_s
        if message.round > heard.round:
            heard.round, heard.kinds = message.round, set()
        if message.round == heard.round:
            heard.kinds.add(message.kind)

    def report(
        self, members: ValidatorSet, connected: Collection[str], due_s: float, now_s: float
    ) -> dict[str, Any]:
        """For the status page.

        Args:
            members: the validators.
            connected: those that a link leads to, and oneself.
            due_s: seconds until the next block is due; 0 while it is being agreed on.
            now_s: by the same clock as everything else.
        """
        rows = [self._row(name, name in connected, now_s) for name in members.ids]
        return {
            "height": self.height,
            "since_s": round(now_s - self.since_s, 1),
            "due_s": round(due_s, 1),
            "validators": rows,
            "hindrance": "" if due_s else self._hindrance(members, rows, now_s),
        }

    def _row(self, name: str, connected: bool, now_s: float) -> dict[str, Any]:
        heard = self._heard.get(name)
        return {
            "validator": name,
            "connected": connected,
            "round": None if heard is None else heard.round,
            "said": [] if heard is None else sorted(heard.kinds),
            "ago_s": None if heard is None else round(now_s - heard.at_s, 1),
        }

    def _hindrance(self, members: ValidatorSet, rows: list[dict[str, Any]], now_s: float) -> str:
        """Why there may be no block; empty when nothing speaks against one."""
        away = [row["validator"] for row in rows if not row["connected"]]
        if len(members) - len(away) < members.quorum:
            there = f"{len(members) - len(away)} of {len(members)} are connected"
            return f"{there}, {members.quorum} must agree: no link to {', '.join(away)}"
        if now_s - self.since_s < SILENT_S:
            return ""
        silent = [
            row["validator"] for row in rows if row["ago_s"] is None or row["ago_s"] > SILENT_S
        ]
        if len(members) - len(silent) < members.quorum:
            return f"{', '.join(silent)} {'is' if len(silent) == 1 else 'are'} connected and silent"
        rounds = sorted({row["round"] for row in rows if row["round"] is not None})
        if len(rounds) > 1:
            return f"validators are in rounds {', '.join(map(str, rounds))}; they draw level"
        return ""
