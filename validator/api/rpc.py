"""JSON-RPC 2.0 at `/rpc`: the envelope, batches and faults, by the specification.

Decides which methods there are (`rpc_comet`: CometBFT's verbs; `rpc_qbft`: Besu's names), how many
calls one batch may have, and what a call's parameters may look like. Integers may come as decimal
text, as CometBFT writes them.
"""

import asyncio
import inspect
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from validator import strict_json
from validator.api import rpc_comet, rpc_qbft
from validator.api.guard import SPEND
from validator.api.problems import Fault, answers
from validator.api.rpc_fault import RpcFault
from validator.api.sources import Sources
from validator.api.transactions import Office

MOST_CALLS = 50
PARSE_ERROR, INVALID_REQUEST, NO_METHOD = -32_700, -32_600, -32_601
INVALID_PARAMS, INTERNAL = -32_602, -32_603

Method = Callable[..., Awaitable[Any]]
Spend = Callable[[int, float], None]
"""Takes so many requests, and seconds of this thread, from the client."""

_log = structlog.get_logger()


class Call(BaseModel):
    """One call."""

    jsonrpc: str = Field(pattern="^2\\.0$")
    method: str
    params: list[Any] | dict[str, Any] | None = None
    id: str | int | float | None = None


class CallError(BaseModel):
    """Why a call has no result."""

    code: int
    message: str
    data: Any = None


class Reply(BaseModel):
    """What a call gives: result or error."""

    jsonrpc: str = "2.0"
    id: str | int | float | None
    result: Any = None
    error: CallError | None = None


Replies = Reply | list[Reply]


def router(sources: Sources, office: Office) -> APIRouter:
    """The one route of JSON-RPC."""
    routes = APIRouter()
    methods = {**rpc_comet.methods(sources, office), **rpc_qbft.methods(sources)}
    schema = {
        "oneOf": [
            {"$ref": "#/components/schemas/Call"},
            {
                "type": "array",
                "items": {"$ref": "#/components/schemas/Call"},
                "minItems": 1,
                "maxItems": MOST_CALLS,
            },
        ]
    }
    body = {"required": True, "content": {"application/json": {"schema": schema}}}

    @routes.post(
        "/rpc",
        response_model=Replies,
        responses=answers(408, 413) | {204: {"description": "every call was a notification"}},
        openapi_extra={"requestBody": body},
    )
    async def call(request: Request) -> Response:
        """Calls of JSON-RPC 2.0: one, or a batch; CometBFT's verbs and Besu's `qbft_*` names."""
        spend = request.scope.get(SPEND, _free)
        answer = await reply(methods, await request.body(), spend)
        if answer is None:
            return Response(status_code=204)
        # ASCII: a lone surrogate that a caller sent as id goes back as it came.
        return Response(json.dumps(answer, allow_nan=False), media_type="application/json")

    return routes


def _free(_many: int, _took_s: float) -> None:
    """What is asked without a guard costs nothing."""


async def reply(methods: Mapping[str, Method], data: bytes, spend: Spend = _free) -> Any:
    """The answer to a request's body; None when nothing is to be answered.

    Each call of a batch costs its client what a request does, and others are served in between.
    """
    try:
        given = strict_json.read(data)
    except strict_json.TooLarge as reason:
        return _failed(None, RpcFault(INVALID_REQUEST, str(reason)))
    except (ValueError, RecursionError):
        return _failed(None, RpcFault(PARSE_ERROR, "not JSON"))
    if not isinstance(given, list):
        return await _paid(methods, given, spend, 0)
    if not 0 < len(given) <= MOST_CALLS:
        words = f"a batch has 1 to {MOST_CALLS} calls"
        return _failed(None, RpcFault(INVALID_REQUEST, words))
    told = []
    for number, each in enumerate(given):
        told.append(await _paid(methods, each, spend, min(number, 1)))
        await asyncio.sleep(0)
    return [each for each in told if each is not None] or None


async def _paid(
    methods: Mapping[str, Method], given: Any, spend: Spend, many: int
) -> dict[str, Any] | None:
    began_s = time.thread_time()
    told = await _one(methods, given)
    spend(many, time.thread_time() - began_s)
    return told


async def _one(methods: Mapping[str, Method], given: Any) -> dict[str, Any] | None:
    call_id = given.get("id") if isinstance(given, dict) else None
    if isinstance(call_id, (dict, list, bool)):
        call_id = None
    try:
        result = await _called(methods, given)
    except RpcFault as fault:
        is_notification = isinstance(given, dict) and "id" not in given
        # What is no request at all is answered even so, with the id null.
        quiet = is_notification and fault.code != INVALID_REQUEST
        return None if quiet else _failed(call_id, fault)
    if "id" not in given:
        return None
    return {"jsonrpc": "2.0", "id": call_id, "result": result}


def _failed(call_id: Any, fault: RpcFault) -> dict[str, Any]:
    error = {"code": fault.code, "message": str(fault)}
    if fault.data is not None:
        error["data"] = fault.data
    return {"jsonrpc": "2.0", "id": call_id, "error": error}


async def _called(methods: Mapping[str, Method], given: Any) -> Any:
    match given:
        case {"jsonrpc": "2.0", "method": str(name), **rest} if not isinstance(
            rest.get("id"), (dict, list, bool)
        ):
            pass
        case _:
            raise RpcFault(INVALID_REQUEST, "a call has jsonrpc 2.0, a method and an id")
    method = methods.get(name)
    if method is None:
        raise RpcFault(NO_METHOD, "no such method; docs/API.md lists them")
    bound = _bound(method, rest.get("params"))
    try:
        return await method(*bound.args, **bound.kwargs)
    except Fault as fault:
        raise RpcFault(INTERNAL, str(fault), fault.problem) from None
    except RpcFault:
        raise
    except Exception as reason:
        _log.error("call failed", method=name, reason=repr(reason))
        raise RpcFault(INTERNAL, "this validator made a mistake") from None


def _bound(method: Method, params: Any) -> inspect.BoundArguments:
    if params is not None and not isinstance(params, (list, dict)):
        raise RpcFault(INVALID_REQUEST, "params is an array or an object")
    signature = inspect.signature(method)
    try:
        if isinstance(params, dict):
            return signature.bind(**params)
        return signature.bind(*(params or ()))
    except TypeError as reason:
        raise RpcFault(INVALID_PARAMS, str(reason)) from None
