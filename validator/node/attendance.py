"""Who has said what at the present height, for a person who asks why there is no block.

Keeps of each validator its latest round, what it said in it and when, and which proposals were
refused; never more. What hinders agreement is decided in `hindrances`; votes are counted by the
consensus machine, not here.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from validator.consensus.messages import Message
from validator.node.measures import Measures
from wire.block import ValidatorSet

MOST_REFUSED = 3
"""Refused proposals of a height that are told; the newest."""


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

    measures: Measures | None = None
    """Who counts what happens, where anybody does."""

    refused: list[str] = field(default_factory=list)
    """Proposals that this validator refused, by whom and why."""

    _heard: dict[str, _Heard] = field(default_factory=dict)

    def begin(self, height: int, now_s: float) -> None:
        """Begin a height."""
        self.height, self.since_s, self._heard = height, now_s, {}
        self.refused.clear()
        if self.measures is not None:
            self.measures.begin(height)

    def round_begun(self, round_number: int, now_s: float) -> None:
        """A round begins here, or goes on."""
        if self.measures is not None:
            self.measures.round_begun(round_number, now_s)

    def refuse(self, proposer: str, reason: str) -> None:
        """A proposal is refused."""
        self.refused[:] = [*self.refused[-MOST_REFUSED + 1 :], f"{proposer}'s block: {reason}"]
        if self.measures is not None:
            self.measures.refused()

    @property
    def heard(self) -> int:
        """How many validators were heard at this height."""
        return len(self._heard)

    def note(self, message: Message, now_s: float) -> None:
        """A validator has said something; what is not of this height is passed over."""
        if self.measures is not None:
            self.measures.heard(message, now_s)
        if message.height != self.height:
            return
        heard = self._heard.setdefault(message.sender, _Heard(message.round, set(), now_s))
        heard.at_s = now_s
        if message.round > heard.round:
            heard.round, heard.kinds = message.round, set()
        if message.round == heard.round:
            heard.kinds.add(message.kind)

    def rows(
        self,
        members: ValidatorSet,
        connected: Collection[str],
        heights: Mapping[str, int],
        now_s: float,
    ) -> list[dict[str, Any]]:
        """What each validator said, for the status page.

        Args:
            members: the validators.
            connected: those that a link leads to, and oneself.
            heights: what each told of its newest block.
            now_s: by the same clock as everything else.
        """
        return [
            self._row(name, name in connected, heights.get(name), now_s) for name in members.ids
        ]

    def _row(self, name: str, connected: bool, height: int | None, now_s: float) -> dict[str, Any]:
        heard = self._heard.get(name)
        return {
            "validator": name,
            "connected": connected,
            "height": height,
            "round": None if heard is None else heard.round,
            "said": [] if heard is None else sorted(heard.kinds),
            "ago_s": None if heard is None else round(now_s - heard.at_s, 1),
        }
