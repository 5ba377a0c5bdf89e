"""Why there may be no block now, in words for the person who is called: the causes, one by one.

Decides from what one validator can see; what it sees is gathered in `watch`. Every line says what
is wrong and, where somebody here can do something, what. No line is a proof against anybody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wire.block import ValidatorSet

SILENT_S = 20.0
"""Who said nothing for so long at a height that is being agreed on counts as silent: a message is
sent again after half a round."""

WAITED_S = 1.0
"""A body that is asked for so long is worth a word."""

BEHIND = 2
"""A validator so many blocks behind cannot vote for the next."""


@dataclass(frozen=True, slots=True)
class View:
    """What one validator sees at its present height."""

    me: str
    """Its id."""

    members: ValidatorSet
    """The validators of the height."""

    height: int
    """The height that is being agreed on."""

    since_s: float
    """For so long."""

    due: bool
    """Whether the next block is not due yet."""

    rows: Sequence[Mapping[str, Any]]
    """Each validator: connected, round, said, ago_s, height."""

    halted: str = ""
    """Why it has stopped speaking."""

    silent: str = ""
    """Why its key did not sign what it last wanted to say."""

    guarded: str = ""
    """Why its key may not vote, and what to do."""

    target: int = 0
    """The height that it has to reach."""

    clock_off_ms: int = 0
    """How far its clock is from the newest block's time, where that is too far; 0 where not."""

    missing: Mapping[str, float] = field(default_factory=dict)
    """What it asks others for, and for how long, seconds."""

    refused: Sequence[str] = ()
    """Proposals of this height that it refused, and why."""


def hindrances(view: View) -> list[str]:
    """Every cause that can be seen, one's own first; none when nothing speaks against a block."""
    return [*_own(view), *([] if view.due else _shared(view))]


def _own(view: View) -> list[str]:
    """What keeps this validator alone from voting."""
    found = []
    if view.halted:
        full = "takes no writes" in view.halted
        found.append(f"stopped: {view.halted}" + ("; make room: it goes on by itself" * full))
    if view.guarded:
        found.append(view.guarded)
    elif view.silent:
        found.append(f"the key does not sign: {view.silent}")
    if view.members.index(view.me) is None:
        found.append(f"{view.me} is none of the validators of height {view.height}: it follows")
    if view.clock_off_ms:
        side = "ahead of" if view.clock_off_ms > 0 else "behind"
        found.append(
            f"this clock is {abs(view.clock_off_ms) / 1000:.1f} s {side} the time that a quorum"
            " sealed: set it (chrony); meanwhile what it proposes is refused"
        )
    if view.target >= view.height + BEHIND - 1:
        found.append(f"this validator is at {view.height - 1} of {view.target}: it catches up")
    return found


def _shared(view: View) -> list[str]:
    """What keeps a quorum from agreeing; the first that explains a stall ends the list."""
    members = view.members
    away = [row["validator"] for row in view.rows if not row["connected"]]
    if len(members) - len(away) < members.quorum:
        there = f"{len(members) - len(away)} of {len(members)} are connected"
        return [
            f"{there}, {members.quorum} must agree: no link to {', '.join(away)}: they are down,"
            " or the network between is cut"
        ]
    behind = {
        row["validator"]: row["height"]
        for row in view.rows
        if row["connected"] and row["height"] is not None and row["height"] < view.height - 1
    }
    if len(members) - len(away) - len(behind) < members.quorum:
        told = ", ".join(f"{name} at {height}" for name, height in behind.items())
        return [f"too few are level with {view.height - 1}: {told}; they catch up first"]
    return [*_waiting(view), *_quiet(view)]


def _waiting(view: View) -> list[str]:
    """What is asked for in vain, what was refused."""
    asked = [
        f"{what} for {for_s:.0f} s" for what, for_s in view.missing.items() if for_s > WAITED_S
    ]
    found = [f"waits for {', '.join(asked)}: no validator that is connected sends it"] * bool(asked)
    return [*found, *(f"refused: {words}" for words in view.refused)]


def _quiet(view: View) -> list[str]:
    """Who says nothing, who is in another round."""
    if view.since_s < SILENT_S:
        return []
    members = view.members
    silent = [
        row["validator"] for row in view.rows if row["ago_s"] is None or row["ago_s"] > SILENT_S
    ]
    if len(members) - len(silent) < members.quorum:
        links = all(row["connected"] for row in view.rows if row["validator"] in silent)
        are = "is" if len(silent) == 1 else "are"
        return [f"{', '.join(silent)} {are}{' connected and' * links} silent"]
    rounds = sorted({row["round"] for row in view.rows if row["round"] is not None})
    if len(rounds) > 1:
        return [f"validators are in rounds {', '.join(map(str, rounds))}; they draw level"]
    return []
