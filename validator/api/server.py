"""The HTTP server of a validator: FastAPI under uvicorn, in a thread with a loop of its own.

Pages are answered while the validator's own loop executes a large block; what they change goes back
into that loop. Decides how the server starts and ends with its program, which owns the signals.
Where it may speak without TLS the configuration decides; what is served, `pages`, and for a
bootnode `validator.bootnode`.
"""

import asyncio
import concurrent.futures
import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import uvicorn
from starlette.types import ASGIApp

from validator.api import metrics, rest
from validator.api.doors import Door, Listener
from validator.api.pages import Pages
from validator.api.sources import Sources
from validator.config import Address
from validator.node.tally import Tally
from wire.errors import Unavailable
from wire.transaction import Transaction

if TYPE_CHECKING:
    from validator.service import Validator

SUBMIT_S = 10.0
"""For the validator's own loop to take a transaction; it may be executing a block."""

_END_S = 1
_BACKLOG = 128

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the server shows."""

    chain: Path
    """Certificate chain, PEM."""

    key: Path
    """Its private key, PEM."""


class _Server(uvicorn.Server):
    """A server that leaves signals to the validator."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def sources_of(validator: "Validator", main: asyncio.AbstractEventLoop) -> Sources:
    """A running validator as its pages see it.

    Args:
        validator: the validator.
        main: the loop that it runs in.
    """
    config, genesis = validator.config, validator.genesis
    view = validator.view

    async def taken(data: bytes) -> Transaction:
        return validator.registrar.submit(data)

    async def submit(data: bytes) -> Transaction:
        return await _in_loop(main, lambda: taken(data))

    application = validator.application
    tally = Tally(view, lambda height: application.ruling.validators(height))
    return Sources(
        id=config.id,
        genesis=genesis,
        genesis_file=config.genesis.read_bytes(),
        application=application,
        ledger=view,
        registrar=validator.registrar,
        mempool=validator.mempool,
        tally=tally,
        submit=submit,
        live=lambda: rest.status(validator),
        halted=lambda: validator.driver.halted,
    )


async def _in_loop(
    loop: asyncio.AbstractEventLoop, work: Callable[[], Coroutine[Any, Any, _Result]]
) -> _Result:
    """Do something in another thread's loop; raises Unavailable when it has no time for it."""
    future = asyncio.run_coroutine_threadsafe(work(), loop)
    try:
        async with asyncio.timeout(SUBMIT_S):
            return await asyncio.wrap_future(future)
    except TimeoutError:
        raise Unavailable("this validator is busy: send it again in a moment") from None


async def serve(validator: "Validator") -> None:
    """Serve a validator's pages until cancelled; raises Unavailable when the port is taken."""
    config = validator.config
    certificate = None
    if config.api_certificate is not None and config.api_key is not None:
        certificate = Certificate(config.api_certificate, config.api_key)
    sources = sources_of(validator, asyncio.get_running_loop())
    pages = Pages(sources, metrics=metrics.router(validator))
    thread = ServingThread(pages.guarded, config.api, "the API", certificate)
    validator.on_block = lambda: thread.call(pages.events.wake)
    await thread.run()


class ServingThread:
    """A server in a thread of its own."""

    def __init__(
        self, app: ASGIApp, address: Address, what: str, certificate: Certificate | None = None
    ) -> None:
        """Take what is served and where; raises Unavailable when the port is taken."""
        self._listener = _listener(address, what)
        self._app = app
        self._certificate = certificate
        self._ended: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None

    def call(self, work: Callable[[], object]) -> None:
        """Do something in the server's loop, soon."""
        with contextlib.suppress(RuntimeError):  # It has ended.
            self._loop.call_soon_threadsafe(work)

    async def run(self) -> None:
        """Serve until cancelled."""
        thread = threading.Thread(target=self._run, name="api", daemon=True)
        thread.start()
        try:
            await asyncio.shield(asyncio.wrap_future(self._ended))
        finally:
            self.call(self._stop)
            await asyncio.to_thread(thread.join)

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._main())
                self._ended.set_result(None)
            except BaseException as reason:
                self._ended.set_exception(reason)

    async def _main(self) -> None:
        self._task = asyncio.current_task()
        with contextlib.suppress(asyncio.CancelledError):
            await serve_on(self._listener, self._app, self._certificate)


async def serve_pages(app: ASGIApp, address: Address, what: str) -> None:
    """Serve pages in this loop until cancelled; raises Unavailable when the port is taken."""
    await serve_on(_listener(address, what), app, None)


async def serve_on(listener: socket.socket, app: ASGIApp, certificate: Certificate | None) -> None:
    """Serve on a socket until cancelled, and close it."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # Strangers' nonsense is no news.
    config = uvicorn.Config(
        app,
        http=Door,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_END_S,
        ssl_certfile=None if certificate is None else certificate.chain,
        ssl_keyfile=None if certificate is None else certificate.key,
    )
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
        return Listener.of(socket.create_server((address.host, address.port), backlog=_BACKLOG))
    except OSError as reason:
        raise Unavailable(f"{what} cannot listen on {address}: {reason}") from None
