"""What validators say to each other beside votes: heights, batches, changes, evidence, blocks.

Decides who is behind, and helps it: a validator that learns of a greater height asks for the next
final block until it has caught up (rule R11). Everything received is checked before it changes
anything; a peer that sends nonsense is cut off by the mesh.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from validator.node.driver import Driver
from validator.node.evidence_pool import EvidencePool
from validator.node.fetching import Fetching, read_final
from validator.node.peers import Mesh
from validator.node.registrar import Registrar
from wire import fields
from wire.errors import BadSignature, Malformed, Refused, Unavailable

STATUS_S = 1.0
ASK_AGAIN_S = 3.0
MOST_FINAL_WAITING = 4

_log = structlog.get_logger()


class Exchange:
    """Routes frames between the mesh and the driver."""

    def __init__(
        self, mesh: Mesh, driver: Driver, fetching: Fetching, pools: tuple[Registrar, EvidencePool]
    ) -> None:
        """Take both sides; `run` keeps heights known."""
        self._mesh = mesh
        self._registrar, self._evidence = pools
        self._driver = driver
        self._fetching = fetching
        self._asked_at = 0.0
        self._asked_height = 0
        self._final: asyncio.Queue[tuple[str, list[Any]]] = asyncio.Queue(MOST_FINAL_WAITING)
        self._handlers: dict[str, Callable[[str, list[Any]], None]] = {
            "consensus": self._on_consensus,
            "status": self._on_status,
            "get-batch": self._on_get_batch,
            "batch": self._on_answer,
            "get-block": self._on_get_block,
            "block": self._on_answer,
            "get-final": self._on_get_final,
            "final": self._on_final,
            "transaction": self._on_transaction,
            "evidence": self._on_evidence,
        }
        mesh.on_connect = self._greet
        self._registrar.forward = self._evidence.forward = mesh.broadcast

    def handle(self, peer: str, frame: list[Any]) -> None:
        """Take one frame; raises Refused when the peer talks nonsense."""
        handler = self._handlers.get(frame[0]) if isinstance(frame[0], str) else None
        if handler is None:
            raise Malformed(f"a frame of unknown name {str(frame[0])[:20]!r}")
        handler(peer, frame)

    async def run(self) -> None:
        """Tell heights now and then, and apply final blocks one by one."""
        await asyncio.gather(self._tell(), self._apply())

    def announce(self) -> None:
        """Tell everyone one's height."""
        self._mesh.broadcast(["status", self._driver.tip.height])

    async def _tell(self) -> None:
        while True:
            self.announce()
            await asyncio.sleep(STATUS_S)

    def _greet(self, peer: str) -> None:
        self._mesh.send(peer, ["status", self._driver.tip.height])
        for frame in [*self._evidence.waiting(), *self._registrar.waiting()]:
            self._mesh.send(peer, frame)

    def _on_transaction(self, peer: str, frame: list[Any]) -> None:
        _, data = fields.items(frame, "transaction", 2)
        self._registrar.hear(peer, fields.blob(data, "transaction"))

    def _on_evidence(self, peer: str, frame: list[Any]) -> None:
        _, data = fields.items(frame, "evidence", 2)
        try:
            self._evidence.hear(fields.blob(data, "evidence"))
        except Refused as reason:
            raise Malformed(f"{peer} tells what proves nothing: {reason}") from None

    def _on_consensus(self, peer: str, frame: list[Any]) -> None:
        _, data = fields.items(frame, "consensus", 2)
        try:
            self._driver.receive_bytes(fields.blob(data, "message"))
        except BadSignature as reason:
            raise Malformed(f"{peer} forwards what nobody signed: {reason}") from None

    def _on_status(self, peer: str, frame: list[Any]) -> None:
        _, height = fields.items(frame, "status", 2)
        if fields.uint(height, "height") > self._driver.tip.height:
            self._ask_final(peer)

    def _ask_final(self, peer: str) -> None:
        now_s = asyncio.get_running_loop().time()
        wanted = self._driver.tip.height + 1
        if wanted != self._asked_height or now_s - self._asked_at > ASK_AGAIN_S:
            self._asked_height, self._asked_at = wanted, now_s
            self._mesh.send(peer, ["get-final", wanted])

    def _on_get_batch(self, peer: str, frame: list[Any]) -> None:
        _, name = fields.items(frame, "get-batch", 2)
        batch_id = fields.octets(name, "batch id", 32)
        batch = self._driver.mempool.get(batch_id) or self._driver.store.batch(batch_id)
        if batch is not None:
            self._mesh.send(peer, ["batch", batch_id, batch.encoded])

    def _on_get_block(self, peer: str, frame: list[Any]) -> None:
        _, name = fields.items(frame, "get-block", 2)
        digest = fields.octets(name, "digest", 32)
        block = self._driver.proposed(digest)
        if block is not None:
            self._mesh.send(peer, ["block", digest, block])

    def _on_answer(self, peer: str, frame: list[Any]) -> None:
        kind, name, data = fields.items(frame, "answer", 3)
        asked = fields.octets(name, "name", 32)
        self._fetching.answered(peer, kind, asked, fields.blob(data, "answer"))

    def _on_get_final(self, peer: str, frame: list[Any]) -> None:
        _, height = fields.items(frame, "get-final", 2)
        store = self._driver.store
        stored = store.block(fields.uint(height, "height", most=2**63 - 1))
        if stored is not None:
            batches = store.batches_at(height)
            content = [stored.block.encoded, stored.commit.items(), batches]
            self._mesh.send(peer, ["final", *content])

    def _on_final(self, peer: str, frame: list[Any]) -> None:
        if not self._final.full():
            self._final.put_nowait((peer, frame))

    async def _apply(self) -> None:
        while True:
            peer, frame = await self._final.get()
            try:
                block, commit, batches = read_final(frame)
                before = self._driver.tip.height
                await self._driver.apply(block, commit, batches, peer)
            except (Refused, Unavailable) as reason:
                _log.warning("final block refused", peer=peer, reason=str(reason))
                continue
            if self._driver.tip.height > before:
                self._ask_final(peer)
