"""All pages of a validator in one application, in the order in which they are looked for.

Decides what stands where: the API under `/api/v1`, JSON-RPC at `/rpc`, metrics, the reference at
`/docs`, and the explorer's files at `/`, when they are there.
"""

import html
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from validator.api import (
    authorities,
    problems,
    readings,
    registry,
    rest,
    rpc,
    settlement,
    transactions,
    zones,
)
from validator.api import events as event_pages
from validator.api.access import Access
from validator.api.events import Events
from validator.api.guard import Guard, Limits
from validator.api.sources import Sources

EXPLORER = Path(__file__).parent.parent / "explorer"
"""Static files, served as they stand."""

LIBRARIES = Path("/usr/share/javascript/chart.js")
"""Chart.js, where Debian's libjs-chart.js puts it."""

_TITLE = "GridWitness validator"


class Pages:
    """One validator's pages."""

    def __init__(
        self, sources: Sources, limits: Limits | None = None, metrics: APIRouter | None = None
    ) -> None:
        """Put the pages together; `metrics` are served where they are given."""
        self.events = Events(sources)
        """Who listens to events."""

        self.app = _application(sources, self.events, metrics)
        """Without the guard, for OpenAPI."""

        self.guarded: ASGIApp = Guard(self.app, limits or Limits())
        """As it is served."""


def _application(sources: Sources, events: Events, metrics: APIRouter | None) -> FastAPI:
    app = FastAPI(title=_TITLE, version="1", openapi_url="/openapi.json", docs_url=None)
    app.redoc_url = None
    problems.install(app)
    access, office = Access(sources), transactions.Office(sources)
    for each in (
        rest.router(sources),
        transactions.router(sources, office),
        readings.router(sources, access),
        zones.router(sources, access),
        settlement.router(sources, access),
        registry.router(sources),
        authorities.router(sources),
        event_pages.router(sources, events),
        rpc.router(sources, office),
    ):
        app.include_router(each)
    if metrics is not None:
        app.include_router(metrics)

    @app.get("/docs", include_in_schema=False)
    async def show_reference() -> HTMLResponse:
        return HTMLResponse(reference(app.openapi()))

    if LIBRARIES.is_dir():
        app.mount("/libraries", StaticFiles(directory=LIBRARIES), name="libraries")
    if EXPLORER.is_dir():
        app.mount("/", StaticFiles(directory=EXPLORER, html=True), name="explorer")
    _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    """Add to OpenAPI what every answer may be; names and shapes are the routes'."""
    made = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = made()
            schemas = schema["components"]["schemas"]
            for model in (problems.Problem, rpc.Call):
                schemas[model.__name__] = model.model_json_schema()
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]


def reference(schema: dict[str, Any]) -> str:
    """OpenAPI as a page that needs nothing from elsewhere."""
    rows = []
    for path, methods in schema["paths"].items():
        for method, about in methods.items():
            given = ", ".join(
                f"<code>{html.escape(each['name'])}</code>" for each in about.get("parameters", [])
            )
            told = html.escape(about.get("description", about.get("summary", "")))
            codes = " ".join(about["responses"])
            rows.append(
                f"<tr><td><code>{method.upper()} {html.escape(path)}</code></td>"
                f"<td>{given}</td><td>{told}</td><td>{codes}</td></tr>"
            )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{_TITLE}</title>'
        f"<h1>{_TITLE}</h1><p>The same for programs: "
        '<a href="/openapi.json">/openapi.json</a></p>'
        '<table border="1"><thead><tr><th>request</th><th>parameters</th><th>what it tells</th>'
        f"<th>answers</th></tr></thead><tbody>{''.join(rows)}</tbody></table></html>"
    )
