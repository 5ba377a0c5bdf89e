"""Server-sent events: new blocks, zone seals and evidence, as they become final.

Every event has a place in the ledger, its id `HEIGHT.NUMBER`, so a client that comes back names the
last one it had (`Last-Event-ID`) and misses nothing. Decides how many may listen, of these how many
from one address, how far back one may begin and how often a heartbeat tells that the line stands.
There is no queue for a slow client: it has a place in the ledger and reads on from there when it
can.
"""

import asyncio
import json
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from validator.api.guard import client_name
from validator.api.problems import Fault, answers
from validator.api.rest import short
from validator.api.sources import Sources
from validator.api.zones import seal
from validator.node.stored import StoredSeal

MEDIA_TYPE = "text/event-stream"
MOST_LISTENERS = 100
MOST_OF_A_CLIENT = 16
"""From one address: an office's browsers and programs; nobody takes all places."""

HEARTBEAT_S = 15.0
PAUSE_S = 0.01
"""Between pieces: who reads back thousands of blocks lets others be served."""

MOST_BACK = 10_000
"""Blocks; who begins further back is told that it missed some."""

_KEPT = 128
_LATER = {"Retry-After": "10"}
_ID = r"^[0-9]{1,18}(\.[0-9]{1,6})?$"

Place = tuple[int, int]
"""Height, and number within it."""


class Events:
    """What happened, in order, as often as somebody asks."""

    def __init__(self, sources: Sources) -> None:
        """Take one validator."""
        self._sources = sources
        self._blocks: OrderedDict[int, list[bytes]] = OrderedDict()
        self._changed = asyncio.Event()
        self._seats: Counter[str] = Counter()

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return self._seats.total()

    @contextmanager
    def seat(self, client: str) -> Iterator[None]:
        """A listener's place while it listens; raises Fault when there is none for it."""
        if self._seats[client] >= MOST_OF_A_CLIENT:
            words = f"{MOST_OF_A_CLIENT} listen already from this address"
            raise Fault(429, words, headers=_LATER)
        if self.listeners >= MOST_LISTENERS:
            raise Fault(503, f"{MOST_LISTENERS} listen already", headers=_LATER)
        self._seats[client] += 1
        try:
            yield
        finally:
            self._seats[client] -= 1
            self._seats += Counter()  # Forgets who has none.

    def wake(self) -> None:
        """There is a new block."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def of_block(self, height: int) -> list[bytes]:
        """A block's events, encoded; the newest that were asked for are kept."""
        found = self._blocks.get(height)
        if found is None:
            found = self._blocks[height] = self._made(height)
            if len(self._blocks) > _KEPT:
                self._blocks.popitem(last=False)
        return found

    def _made(self, height: int) -> list[bytes]:
        sources = self._sources
        outline = sources.ledger.outline(height)
        assert outline is not None
        told: list[tuple[str, Any]] = [("block", short(sources, outline))]
        for position, encoded in enumerate(sources.ledger.seals_at(height)):
            stored = StoredSeal(height, position, encoded, ())
            told.append(("seal", seal(stored).model_dump(exclude={"inputs"})))
        if outline.evidence:
            told += [
                ("evidence", offence._asdict() | {"block": block})
                for offence, block in sources.application.offences()
                if block == height
            ]
        return [_encoded(f"{height}.{n}", name, data) for n, (name, data) in enumerate(told)]

    def after(self, place: Place) -> tuple[bytes, Place]:
        """What follows a place, in one piece of at most a few blocks, and the place after it."""
        height, number = place
        newest = self._sources.height
        told: list[bytes] = []
        if newest - height > MOST_BACK:
            told.append(_encoded("", "missed", {"from": height, "until": newest - MOST_BACK}))
            height, number = newest - MOST_BACK, -1
        for each in range(max(1, height), min(newest, height + 8) + 1):
            found = self.of_block(each)
            told += found[number + 1 :] if each == height else found
            place = (each, len(found) - 1)
        return b"".join(told), place

    async def stream(self, place: Place) -> AsyncIterator[bytes]:
        """Events from a place on, for ever."""
        yield b"retry: 2000\n\n"
        while True:
            changed = self._changed
            told, place = self.after(place)
            if told:
                yield told
                await asyncio.sleep(PAUSE_S)
                continue
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await changed.wait()
            except TimeoutError:
                yield b": here\n\n"


class Told(StreamingResponse):
    """Events for one listener, whose place is free again however the answer ends."""

    def __init__(self, events: Events, place: Place) -> None:
        """Take from where on."""
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(events.stream(place), headers=headers, media_type=MEDIA_TYPE)
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell them until the listener goes."""
        with self._events.seat(client_name(scope)):
            await super().__call__(scope, receive, send)


def _encoded(name: str, kind: str, data: Any) -> bytes:
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    head = f"id: {name}\n" if name else ""
    return f"{head}event: {kind}\ndata: {text}\n\n".encode()


def router(sources: Sources, events: Events) -> APIRouter:
    """The route of events."""
    routes = APIRouter()

    @routes.get(
        "/api/v1/events",
        response_class=StreamingResponse,
        responses=answers(503) | {200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}},
    )
    async def show_events(
        after: Annotated[
            str | None,
            Query(pattern=_ID, description="an event's id, or a height: what follows it"),
        ] = None,
        last_event_id: Annotated[
            str | None, Header(pattern=_ID, description="the same, as browsers send it")
        ] = None,
    ) -> Told:
        """New blocks, zone seals and evidence as they become final, for as long as one listens.

        Without a place it begins with what comes next.
        """
        newest = sources.height
        place = _place(last_event_id or after) or (newest, 10**6)
        return Told(events, min(place, (newest, 10**6)))

    return routes


def _place(text: str | None) -> Place | None:
    """A place as written; a height alone means that its block is known whole."""
    if text is None:
        return None
    height, _, number = text.partition(".")
    return int(height), int(number) if number else 10**6
