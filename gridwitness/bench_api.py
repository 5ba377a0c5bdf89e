"""`gridwitness bench api`: how long pages take while the validator's own loop executes a block.

One process, as a validator is: blocks of 5,000 readings are executed one after the other in the
main thread, every signature checked, and pages are served in their thread. What asks is a process
of its own. Decides nothing; the same pages with nothing else to do are measured beside it.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from validator.api.sources import Sources

READINGS, BATCH = 5_000, 500
PATHS = ("/healthz", "/api/v1/blocks?most=20", "/api/v1/zones", "/api/v1/validators")
WARM_S = 0.5


def add_command(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `bench api`."""
    parser = subparsers.add_parser(
        "api",
        help="how long pages take while a block of 5,000 readings is executed",
        description="Serves pages here, executes blocks beside them and asks from another process.",
    )
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="default 10")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on stdout")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    from gridwitness.bench_block import BenchBlock
    from validator.node.candidate import Blocks, Tip
    from validator.node.mempool import Waiting
    from validator.node.verification import Book
    from wire.witness import Batch

    print(f"signing {READINGS} readings", file=sys.stderr, flush=True)
    block = BenchBlock.make(READINGS, BATCH)
    batches = tuple(Batch.open(each) for each in block.batches)
    tip, me = Tip.genesis(block.genesis), block.genesis.validators.ids[0]
    with tempfile.TemporaryDirectory() as folder:
        sources = _sources(Path(folder), block.genesis)
        with _served(sources) as url:
            idle = _asked(url, args.seconds, lambda: time.sleep(0.01))
            executed: list[float] = []

            def execute() -> None:
                started = time.perf_counter()
                fresh = Blocks(block.genesis, sources.application, Book())
                fresh.make(me, tip, block.time_ms, Waiting(batches))
                executed.append(time.perf_counter() - started)

            busy = _asked(url, args.seconds, execute)
    found = {
        "block_readings": READINGS,
        "blocks_executed": len(executed),
        "block_s": round(sum(executed) / len(executed), 2),
        "idle": idle,
        "while_executing": busy,
    }
    _show(args, found)
    return 0


def _show(args: argparse.Namespace, found: dict[str, Any]) -> None:
    if args.json:
        print(json.dumps(found))
        return
    blocks, took_s = found["blocks_executed"], found["block_s"]
    print(f"{blocks} blocks of {READINGS} readings executed, {took_s} s each")
    for name in ("idle", "while_executing"):
        row = found[name]
        print(
            f"{name.replace('_', ' '):16} {row['pages']} pages: median {row['p50_ms']} ms,"
            f" 99 % within {row['p99_ms']} ms, longest {row['longest_ms']} ms"
        )


def _sources(folder: Path, genesis: Any) -> "Sources":
    from validator.api.sources import Sources
    from validator.app.application import Application
    from validator.node.ledger_view import LedgerView
    from validator.node.mempool import Mempool
    from validator.node.registrar import Registrar
    from validator.node.store import Store
    from validator.node.tally import Tally
    from validator.node.verification import Book
    from wire.transaction import Transaction

    class Clock:
        def now_ms(self) -> int:
            return int(genesis.time_ms)

    async def submit(data: bytes) -> Transaction:
        return Transaction.open(data)

    application, mempool = Application(genesis), Mempool()
    store = Store(folder / "ledger.sqlite")
    view = LedgerView(folder / "ledger.sqlite")
    return Sources(
        id=genesis.validators.ids[0],
        genesis=genesis,
        genesis_file=b"{}",
        application=application,
        ledger=view,
        registrar=Registrar(application, mempool, store, Book(), Clock()),
        mempool=mempool,
        tally=Tally(view, application.ruling.validators),
        submit=submit,
        live=dict,
        halted=str,
    )


@contextlib.contextmanager
def _served(sources: "Sources") -> Iterator[str]:
    """Pages in their thread, as a validator serves them; the main thread is the caller's."""
    from gridwitness.addresses import free_ports
    from validator.api.guard import Limits
    from validator.api.pages import Pages
    from validator.api.server import ServingThread
    from validator.config import Address
    from validator.node.frames import Rate

    plenty = Rate(10**6, 10**6)
    address = Address("127.0.0.1", free_ports(1)[0])
    serving = ServingThread(Pages(sources, Limits(plenty, plenty)).guarded, address, "the API")
    loop = asyncio.new_event_loop()
    task = loop.create_task(serving.run())

    def wait() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    waiting = threading.Thread(target=wait)
    waiting.start()
    try:
        yield f"http://{address}"
    finally:
        loop.call_soon_threadsafe(task.cancel)
        waiting.join()
        loop.close()


def _asked(url: str, seconds: float, meanwhile: Any) -> dict[str, Any]:
    """What another process waits for each page while something is done here again and again."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    asking = context.Process(target=_ask, args=(url, seconds, there))
    asking.start()
    try:
        while not here.poll():
            meanwhile()
        took_ms: list[float] = sorted(here.recv())
    finally:
        asking.kill()
        asking.join()
    return {
        "pages": len(took_ms),
        "p50_ms": round(took_ms[len(took_ms) // 2], 1),
        "p99_ms": round(took_ms[len(took_ms) * 99 // 100], 1),
        "longest_ms": round(took_ms[-1], 1),
    }


def _ask(url: str, seconds: float, told: "Connection") -> None:
    from validator.desk import Desk

    desk, took_ms = Desk(url), []
    warm_s = time.perf_counter() + WARM_S
    end_s = warm_s + seconds
    while time.perf_counter() < end_s:
        for path in PATHS:
            started = time.perf_counter()
            assert desk.ask("GET", path).status == 200, path
            if started > warm_s:
                took_ms.append((time.perf_counter() - started) * 1000)
    told.send(took_ms)
