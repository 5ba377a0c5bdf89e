"""What validators say to each other beside votes: heights, batches, changes, evidence, blocks.

Decides what each frame is for and answers questions from the ledger, as far as the asker's budget
goes. Everything received is checked before it changes anything; a peer that sends nonsense is cut
off by the mesh.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from validator.node.catching_up import CatchingUp
from validator.node.conduct import WRONG
from validator.node.driver import Driver
from validator.node.evidence_pool import EvidencePool
from validator.node.fetching import Fetching
from validator.node.frames import MOST_FINAL
from validator.node.hearing import Hearing
from validator.node.mesh import Mesh
from validator.node.registrar import Registrar
from validator.node.round_trips import TOKEN, RoundTrips
from wire import fields
from wire.errors import BadSignature, Malformed, Refused

STATUS_S = 1.0
ANNOUNCE_S = 0.05
"""Heights are not told more often; a validator that catches up passes hundreds in a second."""

MOST_BLOCKS = 256

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ears:
    """Where what arrives goes, by what it is."""

    hearing: Hearing
    """Consensus messages."""

    fetching: Fetching
    """Answers to questions about batches and blocks."""

    catching_up: CatchingUp
    """Heights and final blocks."""

    registrar: Registrar
    """Registry transactions."""

    evidence: EvidencePool
    """Evidence against validators."""


class Exchange:
    """Routes frames between the mesh and the driver."""

    def __init__(self, mesh: Mesh, driver: Driver, ears: Ears) -> None:
        """Take both sides; `run` keeps heights known."""
        self._mesh = mesh
        self._driver = driver
        self._ears = ears
        self._announced_s = 0.0
        self._round_trips = RoundTrips(mesh, driver.pace)
        self._handlers: dict[str, Callable[[str, list[Any]], None]] = {
            "consensus": self._on_consensus,
            "status": self._on_status,
            "ping": self._on_ping,
            "pong": self._on_pong,
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
        ears.registrar.forward = ears.evidence.forward = mesh.broadcast

    def handle(self, peer: str, frame: list[Any]) -> None:
        """Take one frame; raises Refused when the peer talks nonsense."""
        handler = self._handlers.get(frame[0]) if isinstance(frame[0], str) else None
        if handler is None:
            raise Malformed(f"a frame of unknown name {str(frame[0])[:20]!r}")
        handler(peer, frame)

    async def run(self) -> None:
        """Tell heights now and then, and catch up when others are ahead."""
        await asyncio.gather(self._tell(), self._ears.catching_up.run())

    def announce(self) -> None:
        """Tell everyone one's height, unless that was just done."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._announced_s >= ANNOUNCE_S:
            self._announced_s = now_s
            self._mesh.broadcast(["status", self._driver.tip.height])

    async def _tell(self) -> None:
        while True:
            self.announce()
            self._round_trips.ask(time.monotonic())
            await asyncio.sleep(STATUS_S)

    def _greet(self, peer: str) -> None:
        self._mesh.send(peer, ["status", self._driver.tip.height])
        for frame in [*self._ears.evidence.waiting(), *self._ears.registrar.waiting()]:
            self._mesh.send(peer, frame)

    # Told.

    def _on_consensus(self, peer: str, frame: list[Any]) -> None:
        _, data = fields.items(frame, "consensus", 2)
        encoded = fields.blob(data, "message")
        try:
            message = self._ears.hearing.open(encoded, self._driver.tip.height)
        except BadSignature as reason:
            raise Malformed(f"{peer} forwards what nobody signed: {reason}") from None
        if message is not None:
            self._driver.receive(message)

    def _on_status(self, peer: str, frame: list[Any]) -> None:
        _, height = fields.items(frame, "status", 2)
        self._ears.catching_up.claimed(peer, fields.uint(height, "height"))

    def _on_ping(self, peer: str, frame: list[Any]) -> None:
        _, token = fields.items(frame, "ping", 2)
        self._mesh.send(peer, ["pong", fields.octets(token, "token", TOKEN)])

    def _on_pong(self, peer: str, frame: list[Any]) -> None:
        _, token = fields.items(frame, "pong", 2)
        answer = fields.octets(token, "token", TOKEN)
        self._round_trips.answered(peer, answer, time.monotonic())

    def _on_transaction(self, peer: str, frame: list[Any]) -> None:
        _, data = fields.items(frame, "transaction", 2)
        self._ears.registrar.hear(peer, fields.blob(data, "transaction"))

    def _on_evidence(self, peer: str, frame: list[Any]) -> None:
        _, data = fields.items(frame, "evidence", 2)
        try:
            self._ears.evidence.hear(fields.blob(data, "evidence"))
        except Refused as reason:
            self._mesh.blame(peer, WRONG, f"tells what proves nothing: {reason}")

    # Asked.

    def _on_get_batch(self, peer: str, frame: list[Any]) -> None:
        _, name = fields.items(frame, "get-batch", 2)
        batch_id = fields.octets(name, "batch id", 32)
        if self._mesh.may_answer(peer):
            waiting = self._driver.mempool.get(batch_id)
            stored = self._driver.store.encoded_batch(batch_id)
            batch = stored if waiting is None else waiting.encoded
            if batch is not None:
                self._mesh.send(peer, ["batch", batch_id, batch])

    def _on_get_block(self, peer: str, frame: list[Any]) -> None:
        _, name = fields.items(frame, "get-block", 2)
        digest = fields.octets(name, "digest", 32)
        if self._mesh.may_answer(peer):
            block = self._driver.proposed(digest)
            if block is not None:
                self._mesh.send(peer, ["block", digest, block])

    def _on_get_final(self, peer: str, frame: list[Any]) -> None:
        """Answer with the blocks from a height on, in so many bytes; one larger goes alone."""
        _, first, most_bytes = fields.items(frame, "get-final", 3)
        fields.uint(first, "height", most=2**62)
        left = min(fields.uint(most_bytes, "most bytes"), MOST_FINAL)
        if not self._mesh.may_answer(peer):
            return
        entries: list[bytes] = []
        looked_up = 0
        for height in range(first, first + MOST_BLOCKS):
            entry = self._driver.store.final(height)
            looked_up += 1
            if entry is None or (entries and len(entry) > left):
                break
            entries.append(entry)
            left -= len(entry)
        self._mesh.looked_up(peer, looked_up)
        self._mesh.send(peer, ["final", first, *entries])

    # Answered.

    def _on_answer(self, peer: str, frame: list[Any]) -> None:
        kind, name, data = fields.items(frame, "answer", 3)
        asked = fields.octets(name, "name", 32)
        self._ears.fetching.answered(peer, kind, asked, fields.blob(data, "answer"))

    def _on_final(self, peer: str, frame: list[Any]) -> None:
        if len(frame) < 2:
            raise Malformed("final blocks from no height")
        self._ears.catching_up.answered(peer, frame)
