"""A bootnode: hands out the address records of a network's validators, and takes newer ones.

Decides nothing: a record is worth its validator's signature, and of two the one that expires later
is kept, on disk. Who is a validator it follows from the genesis file by the seals of each change,
which validators tell it. Nobody has to trust it; it can only withhold, so a network may have
several. It needs the genesis file alone, no key, and serves plain HTTP: all that it tells is public
and signed.
"""

import asyncio
import contextlib
import json
import time
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response

from hsm import durable
from validator.api.server import serve_pages
from validator.config import Address
from validator.ending import end_of_process
from validator.node.conduct import Bucket
from validator.node.frames import Rate
from validator.node.peers import AddressBook
from wire.errors import Malformed, Refused
from wire.genesis import Genesis
from wire.keys import PublicKey
from wire.light import LightClient, decode_changes

LARGEST_RECORD = 16 * 1024
LARGEST_CHANGES = 4 * 1024 * 1024
OFFERS = Rate(20, 200)
"""Records offered, from everybody together; each costs a signature check."""


class Registered:
    """Who is a validator, followed from the genesis file by the seals of each change."""

    def __init__(self, genesis: Genesis, kept: Path) -> None:
        """Take where changes are kept; raises Refused when what is there does not follow."""
        self._client = LightClient.of(genesis)
        self._kept = kept
        if kept.exists():
            self._client.follow(decode_changes(kept.read_bytes()))

    @property
    def count(self) -> int:
        """How many validators there are."""
        return len(self._client.newest)

    def take(self, data: bytes) -> bool:
        """Follow changes since genesis; returns whether there was a new one. Raises Refused."""
        before = len(self._client.sets)
        self._client.follow(decode_changes(data))
        if len(self._client.sets) == before:
            return False
        durable.replace(self._kept, data)
        return True

    def keys(self, name: str) -> tuple[PublicKey, ...]:
        """Keys of the newest two sets, or the last one of who has left."""
        sets = self._client.sets
        recent = [key for each in sets[-2:] if (key := each.key(name)) is not None]
        if recent:
            return tuple({key.raw: key for key in recent}.values())
        left = [key for each in reversed(sets) if (key := each.key(name)) is not None]
        return tuple(left[:1])


def open_book(
    genesis: Genesis, registered: Registered, kept: Path, initial: Path | None, now_s: int
) -> AddressBook:
    """The records known so far: those of a file, and those kept before.

    Raises:
        Malformed: the file is no list of address records.
        BadSignature: a record in it that its validator has not signed.
    """
    book = AddressBook(genesis, kept, registered.keys)
    if initial is not None:
        book.read(initial, now_s)
    book.recall(now_s)
    return book


def application(genesis: Genesis, registered: Registered, book: AddressBook) -> FastAPI:
    """The pages of a bootnode."""
    app = FastAPI(title="GridWitness bootnode", version="1", openapi_url="/openapi.json")

    @app.get("/healthz")
    async def healthz() -> dict[str, Any]:
        """How many of the network's validators have told where they are."""
        return {"known": len(book.peers), "validators": registered.count}

    @app.get("/records")
    async def show_records() -> dict[str, Any]:
        """The newest record of each validator that has offered one."""
        records = [peer.record for _, peer in sorted(book.peers.items())]
        return {"network": genesis.network.hex(), "records": records}

    _takes(app, registered, book)
    return app


def _takes(app: FastAPI, registered: Registered, book: AddressBook) -> None:
    offers = Bucket(OFFERS)

    @app.put("/records")
    async def offer_record(request: Request) -> Response:
        """Take a record; 200 when it is newer than the known one, 208 when it is not."""
        if not offers.take(1, time.monotonic()):
            raise HTTPException(429, "too many records at once: try again later")
        try:
            newer = book.take(_record(await _body(request)), int(time.time()))
        except Refused as reason:
            raise HTTPException(422, str(reason)) from None
        return Response(status_code=200 if newer else 208)

    @app.put("/changes")
    async def tell_changes(request: Request) -> Response:
        """Take the validator-set changes since genesis (CBOR); 200 when there was a new one."""
        if not offers.take(1, time.monotonic()):
            raise HTTPException(429, "too many at once: try again later")
        try:
            newer = registered.take(await _body(request, LARGEST_CHANGES))
            book.forget_strangers()
        except Refused as reason:
            raise HTTPException(422, str(reason)) from None
        return Response(status_code=200 if newer else 208)


async def _body(request: Request, most: int = LARGEST_RECORD) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise HTTPException(413, f"at most {most} bytes are taken")
    return body


def _record(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as reason:
        raise Malformed(f"not JSON: {reason}") from None


async def run(
    genesis: Genesis, registered: Registered, book: AddressBook, address: Address
) -> None:
    """Serve until SIGTERM or SIGINT; raises Unavailable when the port is taken."""
    pages = serve_pages(application(genesis, registered, book), address, "the bootnode")
    serving, ended = asyncio.create_task(pages), asyncio.create_task(end_of_process().wait())
    await asyncio.wait([serving, ended], return_when=asyncio.FIRST_COMPLETED)
    for task in (serving, ended):
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving
