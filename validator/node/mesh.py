"""The mesh of validators: TLS 1.3 both ways, certificates pinned by the validators' own signatures.

Decides who is a peer: whoever shows the certificate that a validator of the ledger has signed for
in its address record. Frames are four bytes of length and CBOR. Before a frame is read, `frames`
says what it is and `conduct` whether it is welcome; after one, every other peer has its turn. What
the frames mean `exchange` decides.
"""

import asyncio
import contextlib
import random
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from validator.node import frames
from validator.node.conduct import Conduct
from validator.node.doorway import HANDSHAKE_S, Doorway
from validator.node.outbox import Outbox
from validator.node.peers import Peer
from wire import cbor
from wire.errors import Malformed, Refused

SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0

SILENCE_S = 30.0
"""Everyone tells its height each second; a link that brings nothing for so long is dead."""

SENDING_S = 60.0
"""A peer that takes nothing for so long is cut off."""

BUFFER = 128 * 1024
CHUNK = 64 * 1024

_log = structlog.get_logger()

Handler = Callable[[str, list[Any]], None]


def _context(side: int, own: tuple[Path, Path], peers: Mapping[str, Peer]) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # The certificate itself is pinned, not a name in it.
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(*own)
    for peer in peers.values():
        try:
            context.load_verify_locations(cadata=peer.pem)
        except ssl.SSLError as reason:  # Its validator signed what is no use; the others are.
            _log.warning("certificate refused", peer=peer.id, reason=str(reason))
    return context


class Mesh:
    """Connections to all other validators."""

    def __init__(
        self, me: str, peers: Mapping[str, Peer], certificate: Path, key: Path, handler: Handler
    ) -> None:
        """Take who the peers are and who is told what arrives."""
        self.me = me
        self._handler = handler
        self._own = (certificate, key)
        self._peers: dict[str, Peer] = {}
        self._conduct: dict[str, Conduct] = {}
        self._outboxes: dict[str, Outbox] = {}
        self._writers: dict[str, asyncio.StreamWriter] = {}
        self._dialling: dict[str, asyncio.Task[None]] = {}
        self._updating = asyncio.Lock()
        self._is_open = False
        self.on_connect: Callable[[str], None] = lambda _: None
        self.doorway = Doorway(
            _context(ssl.PROTOCOL_TLS_SERVER, self._own, {}), self._accepted, BUFFER
        )
        self._learn(peers)

    @property
    def connected(self) -> list[str]:
        """Peers that are connected now."""
        return sorted(self._writers)

    @property
    def known(self) -> list[str]:
        """Peers whose address is known."""
        return sorted(self._peers)

    @property
    def conducts(self) -> dict[str, Conduct]:
        """How each known peer behaves."""
        return {name: self.conduct(name) for name in self.known}

    @property
    def pending(self) -> dict[str, int]:
        """Bytes that wait to be sent, by peer."""
        return {name: outbox.waiting_bytes for name, outbox in sorted(self._outboxes.items())}

    def conduct(self, peer: str) -> Conduct:
        """How a peer behaves; it is remembered over connections."""
        return self._conduct.setdefault(peer, Conduct())

    def blame(self, peer: str, cost: float, words: str) -> None:
        """Hold something against a peer that an honest one seldom does."""
        if self.conduct(peer).blame(cost, words, time.monotonic()):
            _log.warning("peer is heard for votes only", peer=peer, reason=words)

    def cut(self) -> list[dict[str, Any]]:
        """Peers that are not listened to now, or only for their votes, and why."""
        now_s = time.monotonic()
        rows = []
        for name, conduct in sorted(self._conduct.items()):
            for what, left_s in (
                ("everything", conduct.shut_s(now_s)),
                ("all but votes", conduct.quiet_s(now_s)),
            ):
                if left_s:
                    row = {"peer": name, "from": what, "for_s": round(left_s, 1)}
                    rows.append(row | {"why": conduct.why})
        return rows

    def may_answer(self, peer: str) -> bool:
        """Whether a peer's questions are worth a look into the ledger now."""
        return self.conduct(peer).may_be_answered(time.monotonic())

    def looked_up(self, peer: str, blocks: int) -> None:
        """A peer's question was worth so many look-ups into the ledger."""
        self.conduct(peer).looks_up(blocks, time.monotonic())

    def _learn(self, peers: Mapping[str, Peer]) -> None:
        self._peers = {name: peer for name, peer in peers.items() if name != self.me}
        self.doorway.context = _context(ssl.PROTOCOL_TLS_SERVER, self._own, self._peers)
        self.doorway.known = {peer.host for peer in self._peers.values()}
        self._client_context = _context(ssl.PROTOCOL_TLS_CLIENT, self._own, self._peers)
        for name in self._peers:
            self._outboxes.setdefault(name, Outbox())

    # Life.

    async def start(self, host: str, port: int) -> None:
        """Listen, and dial the peers whose id is greater than one's own.

        Raises Unavailable when the port is taken.
        """
        self.doorway.open(host, port)
        self._is_open = True
        for peer in self._peers.values():
            self._keep_dialling(peer)

    async def update(self, peers: Mapping[str, Peer]) -> None:
        """Take the records of all peers: who is new is let in, who has moved is dialled anew.

        Who is not among them any more is cut off.
        """
        async with self._updating:
            await self._update(peers)

    async def _update(self, peers: Mapping[str, Peer]) -> None:
        before = self._peers
        self._learn(peers)
        changed = [peer for peer in self._peers.values() if before.get(peer.id) != peer]
        gone = before.keys() - self._peers.keys()
        if not (changed or gone) or not self._is_open:
            return
        for name in gone:
            self._cut_off(name)
        for peer in changed:
            known, writer = before.get(peer.id), self._writers.get(peer.id)
            if writer and known and known.certificate != peer.certificate:
                writer.close()
            self._keep_dialling(peer)
        learnt = sorted(peer.id for peer in changed)
        _log.info("addresses learnt", peers=learnt, forgotten=sorted(gone))

    def _cut_off(self, name: str) -> None:
        """End the link to one who is no peer any more."""
        dialling, writer = self._dialling.pop(name, None), self._writers.get(name)
        if dialling is not None:
            dialling.cancel()
        if writer is not None:
            writer.close()

    def _keep_dialling(self, peer: Peer) -> None:
        if peer.id <= self.me:
            return
        known = self._dialling.get(peer.id)
        if known is not None and peer.id not in self._writers:
            known.cancel()
            known = None
        if known is None:
            self._dialling[peer.id] = asyncio.create_task(self._dial(peer.id))

    async def stop(self) -> None:
        """End all connections."""
        self.doorway.close()
        for task in self._dialling.values():
            task.cancel()
        for writer in self._writers.values():
            writer.close()
        await asyncio.gather(*self._dialling.values(), return_exceptions=True)

    # Out.

    def send(self, peer: str, frame: list[Any]) -> None:
        """Queue a frame for one peer; it is dropped when the peer is away."""
        if peer in self._writers:
            self._queue(peer, cbor.encode(frame))

    def broadcast(self, frame: list[Any]) -> None:
        """Queue a frame for all connected peers."""
        data = cbor.encode(frame)
        for peer in self._writers:
            self._queue(peer, data)

    def _queue(self, peer: str, data: bytes) -> None:
        kind = frames.kind_of(data[: frames.HEAD])
        self.conduct(peer).sends(kind, len(data), time.monotonic())
        self._outboxes[peer].put(data, kind.priority)

    async def _send_all(self, peer: str, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                frame = await self._outboxes[peer].get()
                async with asyncio.timeout(SENDING_S):
                    writer.write(len(frame).to_bytes(4, "big") + frame)
                    await writer.drain()
        except TimeoutError:
            _log.warning("peer takes nothing", peer=peer)
            writer.transport.abort()
        except OSError:
            return

    # In.

    async def _dial(self, name: str) -> None:
        pause_s = SHORTEST_PAUSE_S
        while True:
            started_s = time.monotonic()
            with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):
                peer = self._peers[name]
                async with asyncio.timeout(HANDSHAKE_S):
                    reader, writer = await asyncio.open_connection(
                        peer.host, peer.port, ssl=self._client_context, limit=BUFFER
                    )
                if self._identity(writer) == name:
                    await self._converse(name, reader, writer)
                else:
                    _log.warning("peer refused", reason="another certificate", peer=name)
                    writer.close()
            if time.monotonic() - started_s > LONGEST_PAUSE_S:
                pause_s = SHORTEST_PAUSE_S
            # Jitter keeps validators that start together from knocking together for ever.
            shut_s = self.conduct(name).shut_s(time.monotonic())
            await asyncio.sleep(max(shut_s, pause_s * random.uniform(0.5, 1.0)))
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = self._identity(writer)
        if name is None or name > self.me:
            _log.warning("peer refused", reason="unknown certificate or wrong direction")
            writer.close()
        elif not self.conduct(name).may_connect(time.monotonic()):
            writer.close()
        else:
            await self._converse(name, reader, writer)

    def _identity(self, writer: asyncio.StreamWriter) -> str | None:
        tls: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
        certificate = None if tls is None else tls.getpeercert(binary_form=True)
        for peer in self._peers.values():
            if peer.certificate == certificate:
                return peer.id
        return None

    async def _converse(
        self, peer: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        known = self._writers.get(peer)
        if known is not None:
            known.close()  # The peer has started again; the old connection is a dead one.
        self._outboxes[peer].clear()
        self._writers[peer] = writer
        _log.info("peer connected", peer=peer)
        sending = asyncio.create_task(self._send_all(peer, writer))
        try:
            self.on_connect(peer)
            await self._listen(peer, reader)
        except Refused as reason:
            self.conduct(peer).nonsense(str(reason), time.monotonic())
            _log.warning("peer cut off", peer=peer, reason=str(reason))
        except (OSError, EOFError, TimeoutError):
            _log.info("peer gone", peer=peer)
        except Exception as reason:  # Our own fault, said aloud; the mesh goes on and redials.
            _log.error("frame not handled", peer=peer, reason=repr(reason))
        finally:
            sending.cancel()
            writer.close()
            if self._writers.get(peer) is writer:
                del self._writers[peer]

    async def _listen(self, peer: str, reader: asyncio.StreamReader) -> None:
        """Hand over what is welcome, frame by frame, until the peer is gone or talks nonsense."""
        conduct = self.conduct(peer)
        while True:
            async with asyncio.timeout(SILENCE_S):
                size = int.from_bytes(await reader.readexactly(4), "big")
            if size > frames.MAX_FRAME:
                raise Malformed(f"a frame of {size} bytes")
            await asyncio.sleep(conduct.pace(size, time.monotonic()))
            async with asyncio.timeout(SENDING_S):
                await self._take(peer, conduct, reader, size)

    async def _take(
        self, peer: str, conduct: Conduct, reader: asyncio.StreamReader, size: int
    ) -> None:
        head = await reader.readexactly(min(size, frames.HEAD))
        kind = frames.kind_of(head)
        if size > kind.most_bytes:
            raise Malformed(f"a {kind.name} of {size} bytes; at most {kind.most_bytes}")
        if conduct.admits(kind, time.monotonic()):
            data = head + await reader.readexactly(size - len(head))
            conduct.traffic.received[kind.name] += size
            self._handler(peer, frames.decode(data, kind))
            return
        left = size - len(head)
        while left:
            left -= len(await reader.readexactly(min(left, CHUNK)))
