"""Registry transactions over HTTP: taken, followed; and what is registered now.

Decides how much a stranger may ask for: a body of 8 KiB, and so many submissions a second, because
each costs signature checks. Whether a transaction stands, the application decides; who may send one
does not matter, because the signatures in it do.
"""

import time
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import JSONResponse

from validator.api.rest import Name
from validator.node.registrar import refusal
from wire.errors import Refused, Unavailable
from wire.transaction import MOST_BYTES

if TYPE_CHECKING:
    from validator.app.registries import Registries
    from validator.service import Validator

MEDIA_TYPE = "application/cbor"
MOST_A_SECOND = 20
"""Submissions; as many may come at once after a pause."""

Id = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]


class Allowance:
    """So many a second, and no more saved up than for one second."""

    def __init__(self, most: int) -> None:
        """Begin with all of it."""
        self._most = self._left = float(most)
        self._seen_s = time.monotonic()

    def take(self) -> bool:
        """Take one; False when there is none now."""
        now_s = time.monotonic()
        self._left = min(self._most, self._left + (now_s - self._seen_s) * self._most)
        self._seen_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


def router(validator: "Validator") -> APIRouter:
    """The registry's routes of one validator."""
    routes = APIRouter()
    allowance = Allowance(MOST_A_SECOND)

    @routes.post("/api/v1/transactions", status_code=202)
    async def take_transaction(request: Request) -> JSONResponse:
        """Take a signed registry transaction (CBOR); answers its id or why not."""
        if request.headers.get("content-type") != MEDIA_TYPE:
            raise HTTPException(415, f"a registry transaction is {MEDIA_TYPE}")
        if not allowance.take():
            raise HTTPException(429, "too many at once: try again in a second")
        return _submit(validator, await _body(request))

    @routes.get("/api/v1/transactions/{transaction_id}")
    async def show_transaction(transaction_id: Id) -> dict[str, Any]:
        """What has become of a transaction: waiting, final at a height, or refused and why."""
        found = validator.registrar.status(bytes.fromhex(transaction_id))
        return {"id": transaction_id, **_known(found, "no such transaction is known here")}

    @routes.get("/api/v1/registry/meters/{meter}")
    async def show_meter(meter: Name) -> dict[str, Any]:
        """A meter as it is registered, and for which intervals."""
        found = registered(validator.application.registries, meter)
        return _known(found, f"no meter {meter} is registered")

    return routes


def _known(found: dict[str, Any] | None, otherwise: str) -> dict[str, Any]:
    if found is None:
        raise HTTPException(404, otherwise)
    return found


def _submit(validator: "Validator", data: bytes) -> JSONResponse:
    try:
        transaction = validator.registrar.submit(data)
    except Refused as refused:
        return JSONResponse(refusal(refused), 422)
    except Unavailable as reason:
        raise HTTPException(503, str(reason)) from None
    return JSONResponse({"id": transaction.id.hex(), "status": "waiting"}, 202)


async def _body(request: Request) -> bytes:
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > MOST_BYTES:
            raise HTTPException(413, f"a registry transaction has at most {MOST_BYTES} bytes")
    return bytes(data)


def registered(registries: "Registries", meter: str) -> dict[str, Any] | None:
    """A meter's entry with the first interval for which it holds, and the first no more.

    Both are null for a meter of the genesis file that nobody retired; 'transaction' names what
    enrolled it.
    """
    enrolled, retired = registries.enrolment(meter), registries.retirement(meter)
    written = registries.base.written["meters"].get(meter) if enrolled is None else enrolled.written
    if written is None:
        return None
    return {
        "meter": dict(written),
        "from_s": None if enrolled is None else enrolled.from_s,
        "until_s": None if retired is None else retired.from_s,
        "transaction": None if enrolled is None else enrolled.id.hex(),
        "height": None if enrolled is None else enrolled.height,
    }
