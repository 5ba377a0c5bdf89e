"""Finding the other validators with the help of bootnodes.

Decides when to ask: often while somebody is missing, seldom when all are connected. Tells the
bootnodes where this validator is, takes what is newer of the others, and makes the mesh know it. A
bootnode that is away, lies or is another network's is said and passed over.
"""

import asyncio
import http.client
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from validator.node.peers import AddressBook, Peer, UnknownValidator
from wire.errors import Refused, Unavailable
from wire.light import SetChange, encode_changes

TIMEOUT_S = 5.0
LARGEST_ANSWER = 1024 * 1024

SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0
"""Between two questions while somebody is missing; it doubles until somebody comes or goes."""

CALM_S = 600.0
"""Between two questions when all are connected."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Bootnode:
    """Where one listens."""

    host: str
    """Name or IP address."""

    port: int
    """TCP port."""

    def records(self) -> Sequence[Mapping[str, Any]]:
        """Ask for all records; raises Unavailable. Blocks."""
        status, body = self._talk("GET", b"")
        try:
            found = json.loads(body)["records"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Unavailable(f"{self} answers {status}, and no records") from None
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    def offer(self, record: Mapping[str, Any]) -> None:
        """Offer one's own record; raises Unavailable. Blocks."""
        status, body = self._talk("PUT", json.dumps(record).encode())
        if status not in (200, 208):
            raise Unavailable(f"{self} does not take this validator's record: {body[:200]!r}")

    def tell(self, changes: Sequence[SetChange]) -> None:
        """Tell who are validators now; raises Unavailable. Blocks."""
        status, body = self._talk("PUT", encode_changes(changes), "/changes")
        if status not in (200, 208):
            raise Unavailable(f"{self} does not take the validators' changes: {body[:200]!r}")

    def _talk(self, method: str, body: bytes, path: str = "/records") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            return response.status, response.read(LARGEST_ANSWER)
        except (OSError, http.client.HTTPException) as reason:
            raise Unavailable(f"{self} does not answer: {reason}") from None
        finally:
            connection.close()

    def __str__(self) -> str:
        return f"bootnode {self.host}:{self.port}"


class Links(Protocol):
    """The mesh, as far as finding goes."""

    @property
    def connected(self) -> list[str]:
        """Peers that are connected now."""
        ...

    async def update(self, peers: Mapping[str, Peer]) -> None:
        """Take newer records."""
        ...


class Finder:
    """Asks bootnodes for as long as the validator runs."""

    def __init__(
        self,
        links: Links,
        book: AddressBook,
        bootnodes: Sequence[Bootnode],
        own: Callable[[int], Mapping[str, Any]],
        others: Callable[[], int],
        changes: Callable[[], Sequence[SetChange]] = tuple,
    ) -> None:
        """Take the parts.

        Args:
            links: the mesh.
            book: what is known.
            bootnodes: whom to ask; each is asked, for any of them may withhold.
            own: gives this validator's record, signed anew when that is due.
            others: tells how many other validators there are.
            changes: gives the changes of the validator set since genesis.
        """
        self._links = links
        self._book = book
        self._bootnodes = bootnodes
        self._own = own
        self._others = others
        self._changes = changes
        self._told: dict[Bootnode, int] = {}
        self._said: dict[Bootnode, str] = {}

    async def run(self) -> None:
        """Look for those who are missing."""
        connected: list[str] = []
        pause_s = SHORTEST_PAUSE_S
        while True:
            await self.look()
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
            waited_s = 0.0
            while waited_s < (pause_s if len(connected) < self._others() else CALM_S):
                if self._links.connected != connected:
                    connected, pause_s = self._links.connected, SHORTEST_PAUSE_S
                await asyncio.sleep(SHORTEST_PAUSE_S * random.uniform(0.5, 1.5))
                waited_s += SHORTEST_PAUSE_S

    async def look(self) -> None:
        """Ask each bootnode once; the mesh is told when somebody is new or has moved."""
        before = self._book.peers
        for bootnode in self._bootnodes:
            try:
                await self._ask(bootnode)
                self._say(bootnode, "")
            except Unavailable as reason:
                self._told.pop(bootnode, None)  # It may have forgotten.
                self._say(bootnode, str(reason))
        if self._book.peers != before:
            await self._links.update(self._book.peers)

    async def _ask(self, bootnode: Bootnode) -> None:
        now_s = int(time.time())
        records = await asyncio.to_thread(bootnode.records)
        for record in records:
            try:
                self._book.take(record, now_s)
            except Refused as reason:
                self._say(bootnode, f"{bootnode} hands out what is no record: {reason}")
        changes = self._changes()
        if len(changes) > self._told.get(bootnode, 0):
            await asyncio.to_thread(bootnode.tell, changes)
            self._told[bootnode] = len(changes)
        own = self._own(now_s)
        try:
            self._book.take(own, now_s)
        except UnknownValidator:
            return  # It joins, and the ledger does not name it yet.
        if not any(each.get("signature") == own["signature"] for each in records):
            await asyncio.to_thread(bootnode.offer, own)

    def _say(self, bootnode: Bootnode, words: str) -> None:
        """Say what is wrong once, not each time."""
        if words and self._said.get(bootnode) != words:
            _log.warning("bootnode", reason=words)
        self._said[bootnode] = words
