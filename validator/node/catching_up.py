"""Catching up: a validator that is behind asks for final blocks until it is level (rule R11).

Decides what an answer is worth: blocks are taken one by one, each under its seals and executed, and
the first that does not stand ends the answer and is held against who sent it. Whom to ask is
decided in `pursuit`; what a final block is, by the driver.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import structlog

from validator.node.candidate import Tip, batch_ids
from validator.node.conduct import LIE, WRONG
from validator.node.fetching import open_final
from validator.node.pursuit import Pursuit, Question
from validator.node.store import DiskUnavailable
from wire import fields
from wire.block import Block, Commit
from wire.errors import Malformed, Refused, Unavailable
from wire.witness import Batch

LOOK_S = 0.1
"""A question that has to wait is thought of again after so long."""

SAY_S = 5.0
MOST_WAITING = 4
WORTH_SAYING = 3
"""A validator fewer blocks behind is not said to be catching up."""

_log = structlog.get_logger()


class Links(Protocol):
    """How peers are reached."""

    @property
    def connected(self) -> list[str]:
        """Peers that are connected now."""
        ...

    def send(self, peer: str, frame: list[Any]) -> None:
        """Queue a frame for one peer."""
        ...

    def blame(self, peer: str, cost: float, words: str) -> None:
        """Hold something against a peer."""
        ...


class Follower(Protocol):
    """Who takes final blocks."""

    @property
    def tip(self) -> Tip:
        """The newest block."""
        ...

    @property
    def halted(self) -> str:
        """Why it takes no block any more; empty while it does."""
        ...

    def halt(self, reason: str) -> None:
        """Take no more, because the ledger is damaged."""
        ...

    def pause(self, reason: str) -> None:
        """Take no more until the disk takes writes again."""
        ...

    def apply(
        self, block: Block, commit: Commit, batches: Sequence[Batch], source: str
    ) -> Awaitable[None]:
        """Take the next final block; raises Refused when it is not final."""
        ...


class CatchingUp:
    """Asks, waits, applies."""

    def __init__(self, links: Links, follower: Follower, faulty: int) -> None:
        """Take both sides; `run` does the work.

        Args:
            links: the mesh.
            follower: the driver.
            faulty: so many validators may lie.
        """
        self._links = links
        self._follower = follower
        self._pursuit = Pursuit(faulty)
        self._answers: asyncio.Queue[tuple[str, list[Any]]] = asyncio.Queue(MOST_WAITING)
        self._told = asyncio.Event()
        self._said_s = 0.0
        self.on_claim: Callable[[str, int], None] = lambda *_: None
        """Told which peer tells which height."""

    def expect(self, faulty: int) -> None:
        """So many validators may lie from now on."""
        self._pursuit.faulty = faulty

    @property
    def target(self) -> int:
        """The height to reach; one's own when one is level or nearly so."""
        tip = self._follower.tip.height
        target = self._pursuit.target(tip)
        return target if target - tip >= WORTH_SAYING else tip

    def claimed(self, peer: str, height: int) -> None:
        """A peer tells its height."""
        self._pursuit.claim(peer, height)
        self.on_claim(peer, height)
        if height > self._follower.tip.height:
            self._told.set()

    def answered(self, peer: str, frame: list[Any]) -> None:
        """A peer sends final blocks."""
        if not self._answers.full():
            self._answers.put_nowait((peer, frame))

    async def run(self) -> None:
        """Ask for what is missing, one question at a time."""
        while True:
            await self._told.wait()
            self._told.clear()
            while self._is_behind():
                question = self._pursuit.next(
                    self._follower.tip.height, self._links.connected, self._now_s()
                )
                if question is None:
                    await asyncio.sleep(LOOK_S)
                else:
                    await self._ask(question)

    def _is_behind(self) -> bool:
        tip, connected = self._follower.tip.height, self._links.connected
        return not self._follower.halted and self._pursuit.is_behind(tip, connected)

    @staticmethod
    def _now_s() -> float:
        return asyncio.get_running_loop().time()

    async def _ask(self, question: Question) -> None:
        self._say()
        self._links.send(question.peer, ["get-final", question.first, question.most_bytes])
        asked_s = self._now_s()
        deadline_s = asked_s + question.patience_s
        peer, stood = "", True
        while peer != question.peer:  # A late answer to an earlier question is as good as another.
            try:
                async with asyncio.timeout_at(deadline_s):
                    peer, frame = await self._answers.get()
            except TimeoutError:
                self._disappointed(question, "does not send the blocks that it claims", late=True)
                return
            stood = await self._take(peer, frame, self._now_s() - asked_s)
        if stood and not self._follower.halted:
            self._disappointed(question, "does not have the blocks that it claims", late=False)

    def _disappointed(self, question: Question, words: str, *, late: bool) -> None:
        """Hold it against a peer that its answer brought nothing, when nothing else did."""
        if self._follower.tip.height < question.first:
            self._pursuit.failed(question.peer, self._now_s(), late=late)
            self._links.blame(question.peer, LIE, words)

    async def _take(self, peer: str, frame: list[Any], waited_s: float) -> bool:
        """Apply an answer that came after so long; returns whether all of it stood."""
        before = self._follower.tip.height
        try:
            await self._apply(peer, frame)
            stood = True
        except DiskUnavailable as reason:  # One's own disk: no peer is to blame.
            stood = True
            self._follower.pause(str(reason))
        except Unavailable as reason:
            stood = True
            _log.warning("final block not checked", peer=peer, reason=str(reason))
        except Refused as reason:
            stood = False
            _log.warning("final block refused", peer=peer, reason=str(reason))
            self._pursuit.failed(peer, self._now_s(), late=False)
            self._links.blame(peer, WRONG, f"sends as final what is not: {reason}")
        except Exception as reason:  # A damaged ledger, or a mistake of this program.
            stood = True
            self._follower.halt(repr(reason))
        if self._follower.tip.height > before:
            self._pursuit.delivered(peer, self._follower.tip.height - before, waited_s)
        return stood

    async def _apply(self, peer: str, frame: list[Any]) -> None:
        """Take the blocks of an answer one by one; raises Refused at one that is not final."""
        for entry in frame[2:]:
            block, commit, batches = open_final(fields.blob(entry, "final block"))
            missing = set(batch_ids(block)) - {batch.batch_id for batch in batches}
            if missing:
                raise Malformed(f"block {block.content.height} came without its readings")
            if block.content.height > self._follower.tip.height + 1:
                raise Malformed(f"block {block.content.height} is not the next")
            if block.content.height == self._follower.tip.height + 1:
                await self._follower.apply(block, commit, batches, peer)
            self._say()
            await asyncio.sleep(0)  # Votes and timers have their turn.

    def _say(self) -> None:
        target, now_s = self.target, self._now_s()
        if target > self._follower.tip.height and now_s - self._said_s >= SAY_S:
            self._said_s = now_s
            _log.info("catching up", height=self._follower.tip.height, of=target)
