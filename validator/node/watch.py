"""What one running validator sees of the agreement, for its status page and its metrics.

Decides whether its clock is off: a block that a quorum sealed in its first round, while this
validator listened, has a time that f + 1 honest clocks agreed to. What follows from what is seen
is decided in `hindrances`, what is counted in `measures`.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from validator.node.attendance import Attendance
from validator.node.candidate import DELAY_MS, PRECISION_MS, Blocks
from validator.node.catching_up import CatchingUp
from validator.node.driver import Driver
from validator.node.fence import Fence
from validator.node.fetching import Fetching
from validator.node.hindrances import View, hindrances
from validator.node.measures import Measures
from validator.node.mesh import Mesh
from wire.block import Block, Commit


class Watch:
    """One validator's view of the others and of itself."""

    def __init__(
        self, me: str, attendance: Attendance, blocks: Blocks, see: Callable[[], Mapping[str, Any]]
    ) -> None:
        """Take where to look.

        Args:
            me: the validator.
            attendance: who said what.
            blocks: tells validators and parameters of a height.
            see: what the parts tell now: connected, heights, due_s, target, halted, silent,
                guarded, missing.
        """
        self.measures = attendance.measures = Measures(me, blocks.validators)
        self.clock_off_ms = 0
        """This clock against the newest block that says something of it; 0 within the bounds."""
        self._me = me
        self._attendance = attendance
        self._blocks = blocks
        self._see = see

    @classmethod
    def over(
        cls,
        blocks: Blocks,
        parts: tuple[Driver, Mesh, Fence, CatchingUp, Fetching],
    ) -> "Watch":
        """Watch the parts of a running validator."""
        driver, mesh, fence, catching_up, fetching = parts
        return cls(
            driver.me,
            driver.attendance,
            blocks,
            lambda: {
                "connected": mesh.connected,
                "heights": fence.heights,
                "due_s": driver.due_s,
                "target": catching_up.target,
                "halted": driver.halted,
                "silent": driver.voice.silent,
                "guarded": fence.words,
                "missing": fetching.missing,
            },
        )

    def final(self, block: Block, commit: Commit, now_ms: int) -> None:
        """A block is final, network time being what one's clock says."""
        self.measures.final(block, time.monotonic())
        height = block.content.height
        if commit.round or self._attendance.heard < self._blocks.validators(height).quorum:
            return
        precision_ms = self._blocks.parameter("block_precision_ms", height, PRECISION_MS)
        delay_ms = self._blocks.parameter("block_delay_ms", height, DELAY_MS)
        off_ms = now_ms - block.content.time_ms
        within = -precision_ms <= off_ms <= delay_ms + precision_ms
        self.clock_off_ms = 0 if within else off_ms

    def report(self) -> dict[str, Any]:
        """How far the next block is, and what hinders it."""
        now_s = time.monotonic()
        seen, attendance = dict(self._see()), self._attendance
        members = self._blocks.validators(attendance.height)
        due_s: float = seen.pop("due_s")
        connected = {self._me, *seen.pop("connected")}
        heights = {**seen.pop("heights"), self._me: attendance.height - 1}
        rows = attendance.rows(members, connected, heights, now_s)
        view = View(
            me=self._me,
            members=members,
            height=attendance.height,
            since_s=now_s - attendance.since_s,
            due=due_s > 0,
            rows=rows,
            clock_off_ms=self.clock_off_ms,
            refused=tuple(attendance.refused),
            **seen,
        )
        return {
            "height": attendance.height,
            "since_s": round(view.since_s, 1),
            "due_s": round(due_s, 1),
            "validators": rows,
            "hindrance": "\n".join(hindrances(view)),
        }
