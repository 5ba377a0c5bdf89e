"""The mesh of validators: TLS 1.3 both ways, certificates pinned by the validators' own signatures.

Decides who is a peer: whoever shows the certificate that a genesis validator has signed for in
`peers.json`. Frames are four bytes of length and CBOR; what is too long, or no CBOR, ends the
connection. Each peer has one bounded queue, consensus before the rest, and a peer that is slow
loses the oldest of the rest first. What the frames mean the driver decides.
"""

import asyncio
import contextlib
import json
import random
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from wire import cbor
from wire.errors import Malformed, Refused, Unavailable
from wire.genesis import Genesis
from wire.peer import peer_message

MAX_FRAME = 8 * 1024 * 1024
MAX_QUEUED = 1_000
MAX_BULK = 32 * 1024 * 1024
"""Bytes of answers that wait for one peer; whoever asks and does not read gets no more."""
HANDSHAKE_S = 5.0
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0

_log = structlog.get_logger()

Handler = Callable[[str, list[Any]], None]


@dataclass(frozen=True, slots=True)
class Peer:
    """A validator's address and certificate, signed by its key."""

    id: str
    """Validator id."""

    host: str
    """Where it listens."""

    port: int
    """Where it listens."""

    certificate: bytes
    """Its TLS certificate, DER."""

    pem: str
    """The same as PEM, for the trust store."""


def load_peers(path: Path, genesis: Genesis, now_s: int) -> dict[str, Peer]:
    """Read `peers.json`.

    Raises:
        Malformed: not a list of address records.
        BadSignature: a record that its validator has not signed.
    """
    try:
        records = json.loads(path.read_text())
        found = [_peer(record, genesis, now_s) for record in records]
    except (ValueError, KeyError, TypeError) as reason:
        raise Malformed(f"{path}: not a list of address records: {reason}") from None
    return {peer.id: peer for peer in found}


def _peer(record: dict[str, Any], genesis: Genesis, now_s: int) -> Peer:
    name, address, expires_s = record["id"], record["address"], record["expires_s"]
    key = genesis.validators.key(name)
    if key is None:
        raise Malformed(f"peers: {name} is no validator of the genesis file")
    if expires_s < now_s:
        raise Malformed(
            f"peers: the address record of {name} has expired; it has to sign a new one"
        )
    der = x509.load_pem_x509_certificate(record["certificate"].encode()).public_bytes(Encoding.DER)
    message = peer_message(genesis.network, name, address, der, expires_s)
    key.verify(message, bytes.fromhex(record["signature"]))
    host, _, port = address.rpartition(":")
    return Peer(name, host, int(port), der, record["certificate"])


def _context(side: int, own: tuple[Path, Path], peers: dict[str, Peer], me: str) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # The certificate itself is pinned, not a name in it.
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(*own)
    anchors = "\n".join(peer.pem for peer in peers.values() if peer.id != me)
    if anchors:
        context.load_verify_locations(cadata=anchors)
    return context


class Outbox:
    """What waits to be sent to one peer, bounded."""

    def __init__(self) -> None:
        self._urgent: deque[bytes] = deque(maxlen=MAX_QUEUED)
        self._bulk: deque[bytes] = deque(maxlen=MAX_QUEUED)
        self._bulk_size = 0
        self._filled = asyncio.Event()

    def put(self, frame: bytes, *, urgent: bool) -> None:
        """Add a frame; of urgent ones the oldest goes when full, others are asked for again."""
        if urgent:
            self._urgent.append(frame)
        elif len(self._bulk) < MAX_QUEUED and self._bulk_size + len(frame) <= MAX_BULK:
            self._bulk.append(frame)
            self._bulk_size += len(frame)
        self._filled.set()

    async def get(self) -> bytes:
        """Wait for the next frame, urgent ones first."""
        while not self._urgent and not self._bulk:
            self._filled.clear()
            await self._filled.wait()
        if self._urgent:
            return self._urgent.popleft()
        frame = self._bulk.popleft()
        self._bulk_size -= len(frame)
        return frame

    def clear(self) -> None:
        """Forget what waits; a new connection begins with what is new."""
        self._urgent.clear()
        self._bulk.clear()
        self._bulk_size = 0


class Mesh:
    """Connections to all other validators."""

    def __init__(
        self, me: str, peers: dict[str, Peer], certificate: Path, key: Path, handler: Handler
    ) -> None:
        """Take who the peers are and who is told what arrives."""
        self.me = me
        self._peers = {name: peer for name, peer in peers.items() if name != me}
        self._handler = handler
        own = (certificate, key)
        self._server_context = _context(ssl.PROTOCOL_TLS_SERVER, own, peers, me)
        self._client_context = _context(ssl.PROTOCOL_TLS_CLIENT, own, peers, me)
        self._outboxes = {name: Outbox() for name in self._peers}
        self._writers: dict[str, asyncio.StreamWriter] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.on_connect: Callable[[str], None] = lambda _: None

    @property
    def connected(self) -> list[str]:
        """Peers that are connected now."""
        return sorted(self._writers)

    async def start(self, host: str, port: int) -> None:
        """Listen, and dial the peers whose id is greater than one's own.

        Raises Unavailable when the port is taken.
        """
        try:
            self._server = await asyncio.start_server(
                self._accepted,
                host,
                port,
                ssl=self._server_context,
                ssl_handshake_timeout=HANDSHAKE_S,
                limit=MAX_FRAME,
            )
        except OSError as reason:
            raise Unavailable(f"cannot listen for peers on {host}:{port}: {reason}") from None
        for peer in self._peers.values():
            if peer.id > self.me:
                task = asyncio.create_task(self._dial(peer))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """End all connections."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        for writer in self._writers.values():
            writer.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def send(self, peer: str, frame: list[Any], *, urgent: bool = False) -> None:
        """Queue a frame for one peer; it is dropped when the peer is away."""
        if peer in self._writers:
            self._outboxes[peer].put(cbor.encode(frame), urgent=urgent)

    def broadcast(self, frame: list[Any], *, urgent: bool = False) -> None:
        """Queue a frame for all connected peers."""
        data = cbor.encode(frame)
        for peer in self._writers:
            self._outboxes[peer].put(data, urgent=urgent)

    async def _dial(self, peer: Peer) -> None:
        pause_s = SHORTEST_PAUSE_S
        while True:
            with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):
                async with asyncio.timeout(HANDSHAKE_S):
                    reader, writer = await asyncio.open_connection(
                        peer.host, peer.port, ssl=self._client_context, limit=MAX_FRAME
                    )
                if self._identity(writer) == peer.id:
                    pause_s = SHORTEST_PAUSE_S
                    await self._converse(peer.id, reader, writer)
                else:
                    _log.warning("peer refused", reason="another certificate", peer=peer.id)
                    writer.close()
            # Jitter keeps validators that start together from knocking together for ever.
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = self._identity(writer)
        if name is None or name > self.me:
            _log.warning("peer refused", reason="unknown certificate or wrong direction")
            writer.close()
            return
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
            _log.warning("peer cut off", peer=peer, reason=str(reason))
        except (OSError, EOFError):
            _log.info("peer gone", peer=peer)
        except Exception as reason:  # Our own fault, said aloud; the mesh goes on and redials.
            _log.error("frame not handled", peer=peer, reason=repr(reason))
        finally:
            sending.cancel()
            writer.close()
            if self._writers.get(peer) is writer:
                del self._writers[peer]

    async def _listen(self, peer: str, reader: asyncio.StreamReader) -> None:
        """Hand over what arrives, frame by frame, until the peer is gone or talks nonsense."""
        while True:
            size = int.from_bytes(await reader.readexactly(4), "big")
            if size > MAX_FRAME:
                raise Malformed(f"a frame of {size} bytes")
            frame = cbor.decode(await reader.readexactly(size))
            if not isinstance(frame, list) or not frame:
                raise Malformed("a frame is an array that begins with its name")
            self._handler(peer, frame)

    async def _send_all(self, peer: str, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while True:
                frame = await self._outboxes[peer].get()
                writer.write(len(frame).to_bytes(4, "big") + frame)
                await writer.drain()
