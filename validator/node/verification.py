"""Which signatures stand: asked by the rules, checked beforehand in threads.

Decides nothing about keys: it remembers the outcome of strict verification, bounded, so that a
block's execution finds every signature already checked.
"""

import asyncio
import os
from collections.abc import Iterable, Sequence
from threading import Lock

from validator.app.application import Application
from validator.app.registries import Registries
from wire.keys import PublicKey
from wire.reading import SignedReading

CHECKERS = max(1, (os.cpu_count() or 1) - 1)
"""Threads that check a batch; the library lets go of Python's lock while it does. One core stays
with the validator's loop, which executes blocks meanwhile."""

KEPT = 50_000
"""Outcomes remembered, the younger half at least; a block has at most 5,000 readings."""

_Asked = tuple[bytes, bytes, bytes]
"""Raw key, message, signature."""


class Book:
    """A bounded memory of signature checks. Safe to use from threads."""

    def __init__(self) -> None:
        """Start empty."""
        self._young: dict[_Asked, bool] = {}
        self._old: dict[_Asked, bool] = {}
        self._lock = Lock()
        self.checked = 0
        """Signatures checked, for metrics."""

    def stands(self, public: PublicKey, message: bytes, signature: bytes) -> bool:
        """Tell whether this is the key's strict signature over the message."""
        asked = (public.raw, message, signature)
        known = self._young.get(asked)
        if known is None:
            known = self._old.get(asked)
        if known is not None:
            return known
        outcome = public.stands(message, signature)
        with self._lock:
            self.checked += 1
            self._young[asked] = outcome
            if len(self._young) > KEPT // 2:
                self._old, self._young = self._young, {}
        return outcome


def keys_by_kid(registries: Registries) -> dict[bytes, PublicKey]:
    """All keys that may have signed a reading or a statement."""
    return {public.kid: public for public in registries.keys_ever.values()}


class Keyring:
    """The keys of the newest registries; gathered again when these have changed."""

    def __init__(self, application: Application) -> None:
        """Take who knows the registries."""
        self._application = application
        self._registries = application.registries
        self._keys = keys_by_kid(self._registries)

    def keys(self) -> dict[bytes, PublicKey]:
        """All keys by kid."""
        registries = self._application.registries
        if registries is not self._registries:
            self._registries, self._keys = registries, keys_by_kid(registries)
        return self._keys


def check_beforehand(
    book: Book, keys: dict[bytes, PublicKey], readings: Iterable[SignedReading | None]
) -> None:
    """Check readings' signatures, so that `Book.stands` knows them; for a worker thread."""
    for signed in readings:
        public = None if signed is None else keys.get(signed.kid)
        if signed is not None and public is not None:
            book.stands(public, signed.message, signed.signature)


async def check_in_threads(
    book: Book, keys: dict[bytes, PublicKey], readings: Sequence[SignedReading | None]
) -> None:
    """Check a batch's signatures on as many cores as there are; votes and timers go on."""
    shares = [readings[place::CHECKERS] for place in range(min(CHECKERS, len(readings)))]
    await asyncio.gather(
        *(asyncio.to_thread(check_beforehand, book, keys, share) for share in shares)
    )
