"""Asking peers: for a batch, a block by digest, and the blocks that one has missed.

Decides whom to ask next and when to give up; checks that an answer is what was asked for. Serves
what others ask for from the store. A peer that sends what was not asked for is ignored.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

import structlog

from validator.node.candidate import decode_block, open_block
from validator.node.frames import check_size
from wire import cbor, fields
from wire.block import Block, Commit
from wire.errors import Refused, Unavailable
from wire.witness import MAX_READINGS, Batch

ANSWER_S = 1.0
ROUNDS = 10

MOST_BATCHES = 5_000
LONGEST_WITNESS = 16 * 1024

_log = structlog.get_logger()

Found = TypeVar("Found")


class Links(Protocol):
    """How peers are reached."""

    @property
    def connected(self) -> list[str]:
        """Peers that are connected now."""
        ...

    def send(self, peer: str, frame: list[Any]) -> None:
        """Queue a frame for one peer."""
        ...


class Speaker(Protocol):
    """Where one's own messages go."""

    def broadcast(self, frame: list[Any]) -> None:
        """Queue a frame for all peers."""
        ...


class Fetching:
    """Questions that wait for an answer, by what was asked for."""

    def __init__(self, links: Links, check: Callable[[Sequence[Batch]], Awaitable[None]]) -> None:
        """Take the mesh, and who checks a batch's signatures beforehand."""
        self._links = links
        self.check_signatures = check
        self._waiting: dict[tuple[str, str, bytes], asyncio.Future[bytes]] = {}
        self._missing: dict[tuple[str, bytes], float] = {}

    @property
    def missing(self) -> dict[str, float]:
        """What is asked for now, and for how long, seconds."""
        now_s = time.monotonic()
        return {
            f"{kind} {name.hex()[:8]}": now_s - since_s
            for (kind, name), since_s in dict(self._missing).items()
        }

    async def batch(self, batch_id: bytes, holders: Sequence[str]) -> Batch:
        """Get a batch by its id; raises Unavailable when nobody has it."""

        def read(data: bytes) -> Batch:
            batch = open_batch(data)
            if batch.batch_id != batch_id:
                raise Unavailable("another batch than the one that was asked for")
            return batch

        return await self._ask("batch", batch_id, holders, read)

    async def block(self, digest: bytes, holders: Sequence[str]) -> Block:
        """Get a block by its digest; raises Unavailable when nobody has it."""
        return await self._ask("block", digest, holders, lambda data: decode_block(data, digest))

    async def body(self, digest: bytes, holder: str) -> bytes:
        """Get another sealer's copy of a final block, however long it takes.

        The digest leaves out the signatures of witness statements, so a liar may have sent a body
        with broken ones; of q sealers at least f + 1 have the true one.
        """
        while True:
            with contextlib.suppress(Unavailable):
                return (await self.block(digest, (holder,))).encoded

    def answered(self, peer: str, kind: str, name: bytes, data: bytes) -> None:
        """A peer has answered; nothing happens when it was not asked."""
        future = self._waiting.get((peer, kind, name))
        if future is not None and not future.done():
            future.set_result(data)

    async def _ask(
        self, kind: str, name: bytes, holders: Sequence[str], read: Callable[[bytes], Found]
    ) -> Found:
        """Ask the holders, then everyone, one after the other."""
        self._missing.setdefault((kind, name), time.monotonic())
        try:
            return await self._ask_all(kind, name, holders, read)
        finally:
            self._missing.pop((kind, name), None)

    async def _ask_all(
        self, kind: str, name: bytes, holders: Sequence[str], read: Callable[[bytes], Found]
    ) -> Found:
        for attempt in range(ROUNDS):
            others = [peer for peer in self._links.connected if peer not in holders]
            for peer in (*holders, *others):
                found = await self._ask_one(kind, name, peer, read)
                if found is not None:
                    return found
            # Nobody is connected, or nobody has it yet: a batch may still be on its way by MQTT.
            await asyncio.sleep(ANSWER_S / 10 * (attempt + 1))
        raise Unavailable(f"no peer has {kind} {name.hex()[:8]}")

    async def _ask_one(
        self, kind: str, name: bytes, peer: str, read: Callable[[bytes], Found]
    ) -> Found | None:
        if peer not in self._links.connected:
            return None
        asked = (peer, kind, name)
        future = self._waiting.setdefault(asked, asyncio.get_running_loop().create_future())
        self._links.send(peer, [f"get-{kind}", name])
        try:
            async with asyncio.timeout(ANSWER_S):
                return read(await asyncio.shield(future))
        except TimeoutError:
            return None
        except (Refused, Unavailable) as reason:
            _log.warning("wrong answer", peer=peer, reason=str(reason))
            return None
        finally:
            self._waiting.pop(asked, None)


def open_batch(data: bytes) -> Batch:
    """Read a batch from a peer; raises Malformed."""
    check_size(data, MAX_READINGS + 4, LONGEST_WITNESS)
    return Batch.open(data)


def open_final(entry: bytes) -> tuple[Block, Commit, list[Batch]]:
    """Read a final block from a peer: block, commit, batches; raises Refused."""
    check_size(entry, MOST_BATCHES + 4)
    block, commit, batches = fields.items(cbor.decode(entry), "final block", 3)
    opened = [open_batch(fields.blob(each, "batch")) for each in fields.items(batches, "batches")]
    sealed = Commit.decode(fields.blob(commit, "commit"))
    return open_block(fields.blob(block, "block")), sealed, opened
