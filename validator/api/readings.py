"""Readings and receipts of one meter: for its holder, for authorities, or open to all in a demo.

Decides what a page of readings says and who is let in (`validator.api.access`); what a receipt
holds is decided in `validator.node.receipts`.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import APIKeyHeader, HTTPBearer

from validator.api import models
from validator.api.access import Access, Grant
from validator.api.parameters import LARGEST, After, Most, Name, Number, Time
from validator.api.problems import Fault, answers
from validator.api.sources import Sources
from validator.node.receipts import Receipts
from validator.node.stored import Span, StoredReading

_PRIVATE = {"Cache-Control": "no-store"}

# For OpenAPI; what decides is `Access`.
_LOCKS = [
    Depends(
        HTTPBearer(
            scheme_name="holder",
            description="the secret at the end of a meter's holder link",
            auto_error=False,
        )
    ),
    Depends(
        APIKeyHeader(
            name="Authorization",
            scheme_name="authority",
            description="GridWitness and a request signed by an authority (docs/API.md)",
            auto_error=False,
        )
    ),
]
_RECEIPT: Mapping[str, Any] = {
    "content": {"application/cbor": {"schema": {"type": "string", "format": "binary"}}}
}


def router(sources: Sources, access: Access) -> APIRouter:
    """What is private of one validator."""
    routes = APIRouter(dependencies=_LOCKS)
    receipts = Receipts(sources.genesis, sources.application, sources.ledger)

    def granted(request: Request, meter: str) -> Grant:
        if not sources.application.registries.was_registered("meters", meter):
            raise Fault(404, f"no meter {meter} is registered")
        return access.grant(request, meter)

    @routes.get("/api/v1/readings/{meter}", responses=answers(401, 404))
    async def show_readings(
        request: Request,
        response: Response,
        meter: Name,
        after: After = -1,
        from_s: Time = 0,
        until_s: Time = LARGEST,
        most: Most = 100,
    ) -> models.Page[models.Reading]:
        """Accepted readings of a meter, ascending by sequence; `next` is for `after`.

        Those of intervals that start from `from_s` on and before `until_s`.
        """
        grant = granted(request, meter)
        found = sources.ledger.readings_of(meter, Span(after, from_s, until_s, most))
        response.headers.update(_PRIVATE)
        return models.Page(
            items=[_reading(each) for each in found if grant.covers(each.start_s)],
            next=found[-1].sequence if len(found) == most else None,
        )

    @routes.get(
        "/api/v1/receipts/{meter}/{sequence}",
        response_class=Response,
        responses=answers(401, 404) | {200: dict(_RECEIPT)},
    )
    async def show_receipt(request: Request, meter: Name, sequence: Number) -> Response:
        """The receipt of an accepted reading, as a file: CBOR."""
        grant = granted(request, meter)
        stored = sources.ledger.reading(meter, sequence)
        receipt = receipts.receipt(meter, sequence)
        if stored is None or receipt is None or not grant.covers(stored.start_s):
            raise Fault(404, f"no accepted reading {sequence} of {meter} is on the ledger")
        return Response(receipt.encoded, media_type="application/cbor", headers=dict(_PRIVATE))

    return routes


def _reading(stored: StoredReading) -> models.Reading:
    return models.Reading(
        sequence=stored.sequence,
        interval_start_s=stored.start_s,
        zone=stored.zone,
        batch_id=stored.batch_id.hex(),
        status=stored.status,
        import_wh=stored.import_wh,
        export_wh=stored.export_wh,
        import_advance_wh=stored.import_advance_wh,
        export_advance_wh=stored.export_advance_wh,
    )
