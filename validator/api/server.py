"""The HTTP server of a validator: FastAPI under uvicorn, in the validator's own event loop.

Decides how it starts and ends with its program, which owns the signals. What is served is decided
in `rest`, `registry` and `metrics`, and for a bootnode in `validator.bootnode`.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import uvicorn
from fastapi import FastAPI

from validator.api import metrics, registry, rest
from validator.config import Address
from wire.errors import Unavailable

if TYPE_CHECKING:
    from validator.service import Validator

_END_S = 1
_BACKLOG = 128


class _Server(uvicorn.Server):
    """A server that leaves signals to the validator."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def application(validator: "Validator") -> FastAPI:
    """The pages of a validator."""
    app = FastAPI(title="GridWitness validator", version="1", openapi_url="/openapi.json")
    app.include_router(rest.router(validator))
    app.include_router(registry.router(validator))
    app.include_router(metrics.router(validator))
    return app


async def serve(validator: "Validator") -> None:
    """Serve until cancelled; raises Unavailable when the port is taken."""
    await serve_pages(application(validator), validator.config.api, "the API")


async def serve_pages(app: FastAPI, address: Address, what: str) -> None:
    """Serve pages until cancelled; raises Unavailable when the port is taken."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=_END_S,
    )
    listener = _listener(address, what)
    server = _Server(config)
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await serving
        raise
    finally:
        listener.close()


def _listener(address: Address, what: str) -> socket.socket:
    try:
        return socket.create_server((address.host, address.port), backlog=_BACKLOG)
    except OSError as reason:
        raise Unavailable(f"{what} cannot listen on {address}: {reason}") from None
