"""What stands before every page: how often one client may ask, how much it may send, and headers.

Decides for each request by its sender's address; behind a proxy all its clients are one, so the
proxy has to limit them itself (forwarded addresses are not believed: anybody can write them).
Nothing is logged of a request: its headers may hold a holder's secret, its path a meter's name.
Pages of other sites may not read answers: there are no CORS headers, since the explorer is served
from here and programs need none.
"""

import asyncio
import ipaddress
import json
import math
import time
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from validator.api.problems import MEDIA_TYPE, Fault, problem
from validator.node.conduct import Bucket
from validator.node.frames import Rate

MOST_CLIENTS = 4_096
"""Senders whose use is remembered; who was not seen for longest is forgotten first."""

SPEND = "gridwitness.spend"
"""In a request's scope: takes so many requests, and seconds of this thread, from its client."""

API_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " font-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
"""Of the explorer: everything from this server, nothing written into the page."""

_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
}


_SHORT_S, _LONG_S, _PER_S = 0.01, 1.0, 500
"""What a request may take of this thread for nothing, how much is counted at most, and how many
requests a second then costs: long lists get one client a fifth of the thread."""

_CLOSE = {"Connection": "close"}
_REQUESTS, _POSTS = Rate(100, 400), Rate(20, 60)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may ask for."""

    requests: Rate = _REQUESTS
    """Requests a second, and at once after a pause."""

    posts: Rate = _POSTS
    """Of these, those with a body."""

    body_bytes: int = 256 * 1024
    """Of a request."""

    body_s: float = 10.0
    """For a body to arrive."""


class Guard:
    """An ASGI application before another one."""

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what is guarded."""
        self._app = app
        self._limits = limits
        self._now_s = now_s
        self._buckets: OrderedDict[str, tuple[Bucket, Bucket]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _dressed(scope, send)
        requests, posts = self._buckets_of(client_name(scope))
        now_s, short = self._now_s(), scope["method"] in ("GET", "HEAD")
        if not (requests.take(1, now_s) and (short or posts.take(1, now_s))):
            words = "too many requests from this address"
            wait_s = max(1, math.ceil(requests.spend(0, now_s)))
            await _refuse(send, 429, words, {b"retry-after": b"%d" % wait_s})
            return

        def spend(many: int, took_s: float) -> None:
            extra = max(0.0, min(took_s, _LONG_S) - _SHORT_S) * _PER_S
            requests.spend(many + extra, self._now_s())

        body, began_s = _Body(receive, self._limits), time.thread_time()
        answer = body.answering(send)

        async def told(message: Message) -> None:
            if short and message["type"] == "http.response.start":
                spend(0, time.thread_time() - began_s)
            await answer(message)

        await self._app({**scope, SPEND: spend}, body.receive, told)

    def _buckets_of(self, name: str) -> tuple[Bucket, Bucket]:
        """What a client has left: of requests, and of those with a body."""
        buckets = self._buckets.pop(name, None) or (
            Bucket(self._limits.requests),
            Bucket(self._limits.posts),
        )
        self._buckets[name] = buckets
        if len(self._buckets) > MOST_CLIENTS:
            self._buckets.popitem(last=False)
        return buckets


def client_name(scope: MutableMapping[str, Any]) -> str:
    """Whose bucket: an IPv4 address, or the /64 that one subscriber has of IPv6."""
    host = (scope.get("client") or ("",))[0]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return str(host)
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped or ipaddress.ip_network((int(address), 64), strict=False))
    return str(address)


class _Body:
    """A request's body, as far as it is taken."""

    def __init__(self, receive: Receive, limits: Limits) -> None:
        self._receive = receive
        self._limits = limits
        self._left = limits.body_bytes
        self._until_s = time.monotonic() + limits.body_s
        self._complete = False
        self._answered = False

    async def receive(self) -> Message:
        """The next part; raises Fault, which the application tells."""
        if self._complete or self._answered:
            return await self._receive()  # Tells when the client has gone.
        try:
            async with asyncio.timeout(max(0.0, self._until_s - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            words = f"the body took more than {self._limits.body_s:.0f} s"
            raise Fault(408, words, headers=_CLOSE) from None
        self._left -= len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._left < 0:
            words = f"a body has at most {self._limits.body_bytes} bytes"
            raise Fault(413, words, headers=_CLOSE)
        return message

    def answering(self, send: Send) -> Send:
        """The same, which notes that the answer has begun."""

        async def noting(message: Message) -> None:
            self._answered = True
            await send(message)

        return noting


def _dressed(scope: Scope, send: Send) -> Send:
    """Adds the headers that every answer has."""
    path = scope["path"]
    is_page = not path.startswith(("/api/", "/rpc", "/metrics", "/healthz", "/openapi.json"))
    headers = dict(_HEADERS)
    headers[b"content-security-policy"] = (PAGE_POLICY if is_page else API_POLICY).encode()
    if scope.get("scheme") == "https":
        headers[b"strict-transport-security"] = b"max-age=31536000"

    async def dressed(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *headers.items()]}
        await send(message)

    return dressed


async def _refuse(send: Send, status: int, words: str, headers: dict[bytes, bytes]) -> None:
    body = json.dumps(problem(status, words), allow_nan=False).encode()
    given = {
        b"content-type": MEDIA_TYPE.encode(),
        b"content-length": str(len(body)).encode(),
        **headers,
    }
    start = {"type": "http.response.start", "status": status, "headers": list(given.items())}
    await send(start)
    await send({"type": "http.response.body", "body": body})
