"""A validator's pages over the village's ledger, served on loopback in a thread of their own."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import uvicorn

from gridwitness.addresses import free_ports
from tests.node.office import Bureau

_Result = TypeVar("_Result")
_LIMIT_S = 30


class Served:
    """Pages that a browser can open, and the ledger under them."""

    def __init__(self, folder: Path, **parameters: Any) -> None:
        self.address = f"http://127.0.0.1:{free_ports(1)[0]}"
        self._folder = folder
        self._parameters = parameters
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(_LIMIT_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: object, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(_LIMIT_S)

    def do(self, deed: Callable[[Bureau], _Result]) -> _Result:
        """Do something to the ledger, in the thread that has it."""

        async def there() -> _Result:
            return deed(self._bureau)

        return asyncio.run_coroutine_threadsafe(there(), self._loop).result(_LIMIT_S)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._bureau = Bureau(self._folder, **self._parameters)
        host, port = self.address.removeprefix("http://").split(":")
        config = uvicorn.Config(
            self._bureau.pages.guarded, host=host, port=int(port), log_config=None, lifespan="off"
        )
        self._server = uvicorn.Server(config)
        serving = asyncio.create_task(self._server.serve())
        while not self._server.started:
            await asyncio.sleep(0.01)
        self._ready.set()
        await serving
        self._bureau.close()
