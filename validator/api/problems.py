"""One shape for everything that is not an answer: problem details (RFC 9457) with what to do.

Decides the shape, and how faults of FastAPI, of ours and of the sender become it. What a sender
wrote is never repeated: it may hold a holder's link, and it is a stranger's words.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"

_log = structlog.get_logger()


class Problem(BaseModel):
    """Why there is no answer (RFC 9457), and what to do."""

    type: str = Field("about:blank", description="always about:blank: the status says which kind")
    title: str = Field(description="the status in words")
    status: int = Field(description="the HTTP status")
    detail: str = Field(description="what is wrong here")
    remedy: str = Field(description="what to do")
    code: int | None = Field(None, description="of a refused transaction: its reason code")
    reason: str | None = Field(None, description="of a refused transaction: its reason's name")
    words: str | None = Field(None, description="of a refused transaction: the reason in words")


REMEDIES: Mapping[int, str] = {
    400: "send what the reference says: /docs",
    401: "give the meter's holder link, or a request signed by an authority: docs/API.md",
    403: "ask the grid operator for access",
    404: "check the name or number",
    405: "use the method that the reference names: /docs",
    408: "send it at once, or try a better line",
    413: "send less at once",
    415: "send the media type that the reference names: /docs",
    422: "correct the named value: /docs says what it may be",
    429: "wait as long as Retry-After says, then ask again",
    500: "tell the operator of this validator; another validator may answer",
    503: "ask again in a moment, or ask another validator",
    504: "ask again in a moment, or ask another validator",
}


class Fault(Exception):
    """What ends a request: a status, why, and what to do when that is something special."""

    def __init__(
        self,
        status: int,
        detail: str,
        remedy: str = "",
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        """HTTP status."""
        self.headers = dict(headers or {})
        """Beyond the usual ones."""
        self.problem = problem(status, detail, remedy, **more)
        """The body."""


def problem(status: int, detail: str, remedy: str = "", **more: Any) -> dict[str, Any]:
    """A problem's body."""
    found = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        remedy=remedy or REMEDIES.get(status, "see /docs"),
        **more,
    )
    return found.model_dump(exclude_none=True)


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a route may answer with, for OpenAPI; every route may answer 422, 429."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        each: {"description": HTTPStatus(each).phrase, "content": content}
        for each in sorted({422, 429, *statuses})
    }


def respond(status: int, body: Mapping[str, Any], headers: Mapping[str, str]) -> JSONResponse:
    """A problem as response."""
    return JSONResponse(body, status, dict(headers), media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make every fault of an application a problem."""

    @app.exception_handler(Fault)
    async def tell_fault(_: Request, fault: Fault) -> JSONResponse:
        return respond(fault.status, fault.problem, fault.headers)

    @app.exception_handler(HTTPException)
    async def tell_http(_: Request, fault: HTTPException) -> JSONResponse:
        body = problem(fault.status_code, str(fault.detail))
        return respond(fault.status_code, body, fault.headers or {})

    @app.exception_handler(RequestValidationError)
    async def tell_wrong_value(_: Request, fault: RequestValidationError) -> JSONResponse:
        faults = "; ".join(
            f"{' '.join(str(part) for part in each['loc'])}: {each['msg']}"
            for each in fault.errors()[:5]
        )
        return respond(422, problem(422, faults), {})

    @app.exception_handler(Exception)
    async def tell_own_fault(request: Request, fault: Exception) -> JSONResponse:
        _log.error("request failed", route=_route(request), reason=repr(fault))
        return respond(500, problem(500, "this validator made a mistake"), {})


def _route(request: Request) -> str:
    """The route's pattern, not what was asked: that may be private."""
    route = request.scope.get("route")
    return getattr(route, "path", "?")
