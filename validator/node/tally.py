"""What committed blocks say of validators and gateways: who proposed, sealed and failed, who lags.

Reads each block once, in pieces, and keeps a row a block for the newest ones. Decides nothing: a
round is held against the leader whose turn it was in the plain rotation, as rule R1 counts it
(`validator.node.ledger.decided`), and a seal is one in the canonical commit, which the next block
carries.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from validator.consensus.proposer import order
from validator.node.ledger_view import LedgerView, Outline
from wire.block import ValidatorSet

MOST_BLOCKS = 10_000
"""Blocks that are looked back on."""

PIECE = 200
"""Blocks that are read at once."""


@dataclass(frozen=True, slots=True)
class Turn:
    """How one block came about."""

    height: int
    """Its height."""

    proposer: str
    """Who made it."""

    round: int
    """The round that committed it, by the canonical commit."""

    failed: tuple[str, ...]
    """Who led the rounds before."""

    sealers: tuple[str, ...]
    """Whose seals are in the canonical commit."""

    members: tuple[str, ...]
    """The validators then."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """The newest batch of a gateway on the ledger."""

    gateway: str
    """Gateway id."""

    height: int
    """Block that has it."""

    block_time_ms: int
    """That block's network time."""

    witnessed_at_s: int
    """When the gateway saw the readings, Unix seconds by its clock."""

    sequence: int
    """Batch sequence."""

    readings: int
    """Readings in it."""

    batch_id: bytes
    """Its id, 32 bytes."""


@dataclass(slots=True)
class Score:
    """What a span of blocks says of one validator."""

    validator: str
    """Validator id."""

    blocks: int = 0
    """Blocks at whose height it was a validator."""

    proposed: int = 0
    """Blocks that it made."""

    sealed: int = 0
    """Blocks that it sealed."""

    missed_rounds: int = 0
    """Rounds that it led and that brought no block."""

    last_proposed: int | None = None
    """Height of the newest block that it made."""

    last_sealed: int | None = None
    """Height of the newest block that it sealed."""


class Tally:
    """Follows a ledger; `catch_up` before asking."""

    def __init__(self, ledger: LedgerView, members: Callable[[int], ValidatorSet]) -> None:
        """Take the ledger, and who tells the validators of a height."""
        self._ledger = ledger
        self._members = members
        self._turns: deque[Turn] = deque(maxlen=MOST_BLOCKS)
        self._seen: dict[str, Sighting] = {}
        self._before: Outline | None = None
        self._grandparent: Outline | None = None

    @property
    def sightings(self) -> list[Sighting]:
        """The newest batch of each gateway that the blocks looked at have, by gateway."""
        return [each for _, each in sorted(self._seen.items())]

    @property
    def height(self) -> int:
        """The newest block that was read."""
        return 0 if self._before is None else self._before.header.height

    async def catch_up(self) -> None:
        """Read what is new, at most MOST_BLOCKS, and let others work between the pieces."""
        while True:
            first = max(self.height, self._ledger.height - MOST_BLOCKS - 2) + 1
            piece = self._ledger.outlines_from(first, PIECE)
            for each in piece:
                self._read(each)
            if len(piece) < PIECE:
                return
            await asyncio.sleep(0)

    def _read(self, outline: Outline) -> None:
        header, before = outline.header, self._before
        follows = before is not None and before.header.height + 1 == header.height
        if before is not None and follows and outline.parent_commit is not None:
            self._turns.append(self._turn(before, outline))
        for batch_id, each in outline.statements:
            self._seen[each.gateway] = Sighting(
                each.gateway,
                header.height,
                header.time_ms,
                each.witnessed_at_s,
                each.sequence,
                each.tree_size,
                batch_id,
            )
        self._grandparent, self._before = before, outline

    def _turn(self, block: Outline, after: Outline) -> Turn:
        commit, members = after.parent_commit, self._members(block.header.height)
        assert commit is not None
        before = None if self._grandparent is None else self._grandparent.header.proposer
        leaders = order(members, before, ())
        sealers = tuple(members.ids[index] for index, _ in commit.seals if index < len(members))
        return Turn(
            block.header.height,
            block.header.proposer,
            commit.round,
            leaders[: min(commit.round, len(leaders))],
            sealers,
            members.ids,
        )

    def scores(self, blocks: int) -> tuple[int, int, list[Score]]:
        """First and last height of the span and what it says of each validator, by id."""
        turns = list(self._turns)[-blocks:]
        scores: dict[str, Score] = {}
        for turn in turns:
            for name in turn.members:
                scores.setdefault(name, Score(name)).blocks += 1
            for name in turn.failed:
                scores[name].missed_rounds += 1
            for name in turn.sealers:
                scores[name].sealed += 1
                scores[name].last_sealed = turn.height
            made = scores.setdefault(turn.proposer, Score(turn.proposer))
            made.proposed += 1
            made.last_proposed = turn.height
        first, last = (turns[0].height, turns[-1].height) if turns else (0, 0)
        return first, last, [scores[name] for name in sorted(scores)]
