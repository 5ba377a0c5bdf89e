"""Signed transactions over HTTP: taken, and followed until a block has them.

Decides how much a stranger may ask for: so many bytes, and so many submissions a second, because
each costs signature checks. Whether a transaction stands, the application decides; who sends one
does not matter, because the signatures in it do.
"""

import time

from fastapi import APIRouter, Request, Response

from validator.api import models
from validator.api.parameters import Hash
from validator.api.problems import Fault, answers
from validator.api.sources import Sources
from validator.node.conduct import Bucket
from validator.node.frames import Rate
from validator.node.registrar import refusal
from wire import cbor
from wire.cose import open_sign
from wire.errors import Refused, Unavailable
from wire.results import REASONS, TxResult
from wire.transaction import MOST_BYTES, Transaction, is_registry_transaction

MEDIA_TYPE = "application/cbor"
SUBMISSIONS = Rate(20, 20)
"""From everybody together."""

_BODY = {
    "requestBody": {
        "required": True,
        "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    }
}


class Office:
    """Takes transactions, so many a second."""

    def __init__(self, sources: Sources) -> None:
        """Take one validator."""
        self._sources = sources
        self._bucket = Bucket(SUBMISSIONS)

    async def submit(self, data: bytes) -> Transaction:
        """Hand a transaction over; raises Fault."""
        if len(data) > MOST_BYTES:
            raise Fault(413, f"a transaction has at most {MOST_BYTES} bytes")
        if not self._bucket.take(1, time.monotonic()):
            words = f"more than {SUBMISSIONS.per_s} submissions a second"
            raise Fault(429, words, headers={"Retry-After": "1"})
        try:
            return await self._sources.submit(data)
        except Refused as refused:
            told = refusal(refused)
            raise Fault(422, f"refused: {refused}", told["words"], **told) from None
        except Unavailable as reason:
            raise Fault(503, str(reason), headers={"Retry-After": "2"}) from None


def router(sources: Sources, office: Office) -> APIRouter:
    """The routes of transactions."""
    routes = APIRouter()

    @routes.post(
        "/api/v1/transactions",
        status_code=202,
        responses=answers(413, 415, 503),
        openapi_extra=_BODY,
    )
    async def take_transaction(request: Request) -> models.Taken:
        """Take a signed transaction; answers its id, or why no block may carry it."""
        if request.headers.get("content-type") != MEDIA_TYPE:
            raise Fault(415, f"a transaction is sent as {MEDIA_TYPE}")
        transaction = await office.submit(await request.body())
        return models.Taken(id=transaction.id.hex(), status="waiting")

    @routes.get("/api/v1/transactions/{transaction_id}", responses=answers(404))
    async def show_transaction(
        transaction_id: Hash, response: Response
    ) -> models.TransactionStatus:
        """What has become of a transaction or a batch: waiting, final at a height, or refused."""
        response.headers["Cache-Control"] = "no-cache"
        return described(sources, bytes.fromhex(transaction_id))

    return routes


def described(sources: Sources, transaction_id: bytes) -> models.TransactionStatus:
    """What has become of it; raises Fault."""
    stored = sources.ledger.result(transaction_id)
    if stored is None:
        found = sources.registrar.status(transaction_id)
        if found is None:
            raise Fault(404, "no such transaction is known here", "send it again, or ask another")
        return models.TransactionStatus(id=transaction_id.hex(), kind="", **found)
    outline = sources.ledger.outline(stored.height)
    assert outline is not None
    encoded = outline.transactions[stored.position]
    code = TxResult.decode(stored.tx_result).code
    return models.TransactionStatus(
        id=transaction_id.hex(),
        kind=kind_of(encoded),
        status="final",
        height=stored.height,
        position=stored.position,
        code=code,
        reason=REASONS[code].name,
        words=REASONS[code].words,
        transaction=encoded.hex(),
        result=stored.tx_result.hex(),
    )


def kind_of(encoded: bytes) -> str:
    """What a transaction of a final block is: `batch`, or a registry transaction's kind."""
    if not is_registry_transaction(encoded):
        return "batch"
    return str(cbor.decode(open_sign(encoded).payload)[3][0])
