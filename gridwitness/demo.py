"""`gridwitness demo`: one day of a real feeder, from the meters' pulses to verified receipts.

Decides what is shown and counted. The world it runs in is `gridwitness.world`; what the ledger
says is gathered by `gridwitness.audit`.
"""

import argparse
import asyncio
import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridwitness import demo_folder

if TYPE_CHECKING:
    from gridwitness.world import World
    from hwsim.feeder import FeederDay

GRID = "1-LV-rural1--0-sw"
INTERVALS = 96
SIGNING = 4
RECEIPT_LIMIT_S = 30.0
SETTLE_LIMIT_S = 60.0


def add_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `demo`."""
    parser = subparsers.add_parser(
        "demo",
        help="run a whole grid on this machine for one day of network time",
        description="Runs a SimBench feeder with MicroPython meters, Modbus lines, two gateways, "
        "SoftHSM, Mosquitto and four validators through one day, and verifies a receipt.",
    )
    parser.add_argument(
        "--dir", type=Path, default=Path("demo"), help="folder that is made anew (./demo)"
    )
    parser.add_argument("--intervals", type=int, default=INTERVALS, help="how many (96: a day)")
    parser.add_argument(
        "--grid", default=GRID, help=f"SimBench code, or 'synthetic' (default {GRID})"
    )
    parser.add_argument("--keep", action="store_true", help="stay up afterwards, until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="print nothing but the JSON line")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo; returns the exit status."""
    if not 1 <= args.intervals <= INTERVALS:
        print("gridwitness demo: --intervals is 1 to 96", file=sys.stderr)
        return 2
    folder = args.dir.resolve()
    with demo_folder.take(folder):
        return asyncio.run(_run(args, folder, _feeder(args.grid)))


def _feeder(grid: str) -> "FeederDay":
    if grid == "synthetic":
        from hwsim.feeder import synthetic_day

        return synthetic_day()
    from hwsim.simbench_day import simbench_day

    return simbench_day(grid)


def _signing(day: "FeederDay") -> tuple[str, ...]:
    """The boundary meter, one plant, and customers: spread over the feeder."""
    boundary = [each.id for each in day.meters if each.role == "boundary"]
    sources = [each.id for each in day.meters if each.role == "source"]
    customers = [each.id for each in day.meters if each.role == "customer"]
    chosen = {*boundary[:1], *sources[-1:]}
    chosen |= {*customers[: max(0, (SIGNING - len(chosen) + 1) // 2)]}
    chosen |= {*customers[-(SIGNING - len(chosen)) :]} if len(chosen) < SIGNING else set()
    return tuple(each.id for each in day.meters if each.id in chosen)


async def _run(args: argparse.Namespace, folder: Path, day: "FeederDay") -> int:
    from gridwitness.world import PACED_PARAMETERS, Choice, World

    started = time.monotonic()

    def say(words: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {words}", file=sys.stderr, flush=True)

    world = World(folder, Choice(day, _signing(day), PACED_PARAMETERS), say)
    try:
        await asyncio.to_thread(world.prepare)
        await world.start()
        await world.run(args.intervals, lambda done: _progress(say, done, args.intervals))
        say("the day is over; the last readings become final")
        await world.settle(SETTLE_LIMIT_S)
        summary = await _summarise(world, args, time.monotonic() - started)
        _show(args, summary, world)
        if args.keep:
            await _keep(world)
    finally:
        world.close()
    good = summary["receipt_verified"] and summary["readings_final"] == summary["readings_closed"]
    return 0 if good else 1


def _progress(say: Any, done: int, intervals: int) -> None:
    if done % 8 == 0 or done == intervals:
        say(f"{done} of {intervals} intervals have been read")


async def _summarise(world: "World", args: argparse.Namespace, seconds: float) -> dict[str, Any]:
    from gridwitness import audit, status_pages
    from gridwitness.verify import examine
    from gridwitness.world import ZONE

    pages = [await status_pages.gateway(port) for port in world.status_ports.values()]
    gateways = [page for page in pages if page is not None]
    ledger = await audit.ledger(list(world.api_ports.values()), world.choice.day, ZONE)
    receipt = await _receipt(world, args.intervals)
    path = world.folder / "receipt.cbor"
    path.write_bytes(receipt)
    outcome = examine(receipt, world.network.genesis)
    closed = sum(audit.all_readings(page) for page in gateways)
    return {
        "grid": args.grid,
        "meters": len(world.choice.day.meters),
        "signing_meters": len(world.choice.signing),
        "gateways": len(gateways),
        "validators": len(world.api_ports),
        "intervals": args.intervals,
        "readings_closed": closed,
        "readings_final": ledger.readings,
        "readings_refused": sum(int(page["refused"]) for page in gateways),
        "duplicates": ledger.duplicates,
        "blocks": ledger.blocks,
        "max_round": ledger.max_round,
        "zone_seals": ledger.verdicts,
        "ledgers_agree": ledger.agree,
        "receipt": _short(path),
        "receipt_verified": outcome.fields["verified"],
        "seconds": round(seconds, 1),
    }


async def _receipt(world: "World", intervals: int) -> bytes:
    """The receipt of a signing meter's reading in the middle of the day, whoever hands it out."""
    from validator.client import Client

    meter, sequence = world.choice.signing[-1], intervals // 2
    urls = [f"http://127.0.0.1:{port}" for port in world.api_ports.values()]
    with Client(urls, world.network.genesis) as client:
        found = await asyncio.to_thread(client.await_receipt, meter, sequence, RECEIPT_LIMIT_S)
    return found.receipt.encoded


def _show(args: argparse.Namespace, summary: dict[str, Any], world: "World") -> None:
    if args.json:
        print(json.dumps(summary), flush=True)
    else:
        for name, value in summary.items():
            print(f"{name.replace('_', ' '):18} {_words(value)}")
        program = _short(Path(sys.executable).with_name("gridwitness"))
        genesis = _short(world.network.genesis_path)
        print(
            f"\nverify it:  {program} verify {summary['receipt']} --genesis {genesis}\n", flush=True
        )


def _short(path: Path) -> str:
    """The path from here, when it is below here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {name}" for name, count in value.items())
    return str(value)


async def _keep(world: "World") -> None:
    """Stay up for visitors until Ctrl-C."""
    for name, port in world.api_ports.items():
        print(f"{name}  http://127.0.0.1:{port}/  (explorer)", file=sys.stderr)
    for name, port in world.status_ports.items():
        print(f"{name}  http://127.0.0.1:{port}/status", file=sys.stderr)
    print("Ctrl-C ends it", file=sys.stderr)
    with suppress(asyncio.CancelledError):  # The end that was asked for.
        await asyncio.Event().wait()
