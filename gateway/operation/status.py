"""The status page: what the gateway is doing, for people, monitors and the demo's pacer.

Serves `GET /` (a page for a person), `GET /status` (JSON) and `GET /metrics` (Prometheus text) on
loopback; changes nothing and knows no secret. What the numbers mean is decided where they are
counted.
"""

import asyncio
import http.client
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gateway.config import Address
from gateway.operation.metrics import metrics
from gateway.operation.page import page
from wire.errors import Unavailable

REQUEST_TIMEOUT_S = 5.0
MOST_REQUEST = 8_192
MOST_REPORT = 64 * 2**20
Report = Callable[[], Awaitable[Mapping[str, Any]]]


class StatusPage:
    """A small HTTP server."""

    def __init__(self, address: Address, report: Report) -> None:
        self._address = address
        self._report = report
        self.listening = asyncio.Event()
        """Set when the page can be asked for."""

    async def run(self) -> None:
        """Serve for ever; raises Unavailable when the port is taken."""
        try:
            server = await asyncio.start_server(
                self._answer, self._address.host, self._address.port, limit=MOST_REQUEST
            )
        except OSError as reason:
            where = f"{self._address.host}:{self._address.port}"
            raise Unavailable(f"the status page cannot listen on {where}: {reason}") from None
        self.listening.set()
        async with server:
            await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
            writer.write(await self._page(head.split(b"\r\n", 1)[0]))
            await writer.drain()
        except (
            OSError,
            TimeoutError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
        ):
            return  # Not HTTP, or gone: nobody to tell.
        finally:
            writer.close()

    async def _page(self, request_line: bytes) -> bytes:
        words = request_line.split(b" ")
        path = words[1].partition(b"?")[0] if len(words) == 3 and words[0] == b"GET" else b""
        if path == b"/status":
            body = json.dumps(await self._report()) + "\n"
            return _response("200 OK", "application/json", body)
        if path == b"/metrics":
            return _response("200 OK", "text/plain; version=0.0.4", metrics(await self._report()))
        if path == b"/":
            return _response("200 OK", "text/html; charset=utf-8", page(await self._report()))
        return _response("404 Not Found", "text/plain", "GET /, /status or /metrics\n")


def ask(address: Address) -> Mapping[str, Any]:
    """Ask a running gateway for its report; raises Unavailable."""
    connection = http.client.HTTPConnection(address.host, address.port, timeout=REQUEST_TIMEOUT_S)
    nobody = f"no gateway answers at {address.host}:{address.port}"
    another = f"{nobody}, but another program: is that a gateway's `status` address?"
    try:
        connection.request("GET", "/status")
        report: Any = json.loads(connection.getresponse().read(MOST_REPORT))
    except ConnectionRefusedError as reason:
        words = f"{nobody}: nobody listens there; `gridwitness gateway run` should ({reason})"
        raise Unavailable(words) from None
    except OSError as reason:
        raise Unavailable(f"{nobody}: {reason}") from None
    except (ValueError, RecursionError, http.client.HTTPException):
        raise Unavailable(another) from None
    finally:
        connection.close()
    if not isinstance(report, dict) or "gateway" not in report:
        raise Unavailable(another)
    return report


def _response(status: str, kind: str, body: str) -> bytes:
    content = body.encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + content
