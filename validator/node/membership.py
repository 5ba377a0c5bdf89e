"""Keeps the links in step with the ledger: who may be talked to now, and how many may lie.

Decides nothing: who rules at which height the ledger says. Whoever seals the next three heights and
whoever has left the set as an observer is a peer; whoever was expelled, or whose key has been
rotated away, is not. Address records come from a file, from what was kept, from bootnodes, and from
the transaction that let a validator join.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import structlog

from validator.app.ruling import DELAY, Ruling
from validator.node.peers import AddressBook, Keys, Peer, record_of
from wire.errors import Refused, Unavailable
from wire.keys import PublicKey

_log = structlog.get_logger()


class Links(Protocol):
    """The mesh, as far as who is let in."""

    async def update(self, peers: Mapping[str, Peer]) -> None:
        """Take the records of all who are let in."""
        ...


def holders_keys(ruling: Callable[[], Ruling], tip: Callable[[], int]) -> Keys:
    """The keys that may sign an address record, as of the newest block."""

    def keys(name: str) -> tuple[PublicKey, ...]:
        members = ruling().holders(tip() + 1).get(name, ())
        return tuple(member.key for member in members)

    return keys


class Membership:
    """One validator's view of who belongs."""

    def __init__(
        self, links: Links, book: AddressBook, ruling: Callable[[], Ruling], file: Path | None
    ) -> None:
        """Take the parts; `file` is read again when somebody joins."""
        self._links = links
        self._book = book
        self._ruling = ruling
        self._file = file
        self._known: Any = None
        self._tasks: set[asyncio.Task[None]] = set()

    def look(self, tip: int) -> None:
        """After a block: when others belong now, learn where they are and tell the mesh."""
        holders = self._ruling().holders(tip + 1)
        if holders == self._known:
            return
        self._known = holders
        try:
            self.learn(tip)
        except OSError as reason:  # The disk: what is known in memory is told all the same.
            _log.warning("address records not kept", reason=str(reason))
        task = asyncio.create_task(self._tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self) -> None:
        try:
            await self._links.update(self._book.peers)
        except Unavailable as reason:
            _log.error("the mesh does not listen", reason=str(reason))

    def learn(self, tip: int) -> None:
        """Take every record that counts as of a height; forget those that count no more."""
        now_s = int(time.time())
        self._book.forget_strangers()
        self._book.recall(now_s)
        for members in self._ruling().holders(tip + 1).values():
            for member in members:
                self._take(member.id, member.place, now_s)
        if self._file is not None and self._file.exists():
            try:
                self._book.read(self._file, now_s)
            except Refused as reason:
                _log.warning("address records passed over", reason=str(reason))

    def _take(self, name: str, place: bytes, now_s: int) -> None:
        if place:
            try:
                self._book.take(record_of(name, place), now_s)
            except Refused as reason:
                _log.warning("address record passed over", peer=name, reason=str(reason))

    def others(self, me: str, tip: int) -> int:
        """How many other validators there are at the next height."""
        return len([name for name in self._ruling().validators(tip + 1 + DELAY).ids if name != me])
