"""`gridwitness bench gateway`: what a gateway costs, and how it drains a year's outage.

Decides what is measured: the gateway's own processes, by the kernel's account, while a real broker
carries and validators that agree at once answer from processes of their own. Meters are simulated
Eastrons on a Modbus TCP port; network time is paced, so that intervals follow one another.
"""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from gridwitness.plan import NetworkPlan
    from hwsim.scaled_clock import PacedClock

METERS = 32
WARM, INTERVALS = 2, 20
DEFAULT_READINGS = 20_000
SETTLE_S = 60.0
IDLE_S = 3.0
LOOK_S = 0.25
DWELL_S = 0.5
AIMS = {
    "cpu_ms_per_reading": "aim: at most 2 ms, batch witness included; idling apart",
    "idle_cpu_percent": "of one core; looking at the paced clock 100 times a second included",
    "rss_mb": "aim: at most 80 MB with 32 meters",
    "token_rss_mb": "of the processes that own the two keys, beside it",
    "bytes_per_reading": "aim: at most 570, so that 50 meters' year fits in 1 GB",
    "audit_bytes_per_signature": "of the keys' audit file, kept until it is archived",
    "start_s": "integrity check of the whole spool included",
    "drain_readings_per_s": "each batch's receipt verified, each deletion on the disk",
    "drain_memory_growth_mb": "aim: flat, at most 5 MB from the first tenth to the end",
    "wire_utilisation": "aim: at least 0.95 at 9600 baud, silence that meters demand included",
    "live_during_drain_s": "from an interval's end to its receipts, while the backlog drains",
}

LIMITS = {
    "cpu_ms_per_reading": (0.0, 2.0),
    "rss_mb": (0.0, 80.0),
    "bytes_per_reading": (0.0, 570.0),
    "drain_memory_growth_mb": (0.0, 5.0),
    "wire_utilisation": (0.95, 1.0),
}
"""Least and most of what has an aim."""


def add_command(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `bench gateway`."""
    parser = subparsers.add_parser(
        "gateway",
        help="a gateway's memory, CPU and disk, and how it drains an outage",
        description="Runs a real gateway with SoftHSM and Mosquitto and measures its processes.",
    )
    parser.add_argument(
        "--readings",
        type=int,
        default=DEFAULT_READINGS,
        help=f"length of the outage (default {DEFAULT_READINGS}; 1752000 is 50 meters' year)",
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object on stdout")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    import structlog

    from gridwitness import bench_bus

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory(prefix="gridwitness-bench-") as name:
        found = asyncio.run(measure(Path(name), args.readings))
    _say("the wire, under virtual time")
    found["wire_utilisation"] = bench_bus.utilisation(0.0)["wire_utilisation"]
    missed = missed_aims(found)
    if args.json:
        print(json.dumps({**found, "missed": missed}))
    else:
        for key, value in found.items():
            mark = "MISSED: " if key in missed else ""
            print(f"{key:28} {value!s:>12}  {mark}{AIMS.get(key, '')}")
    return 0


def missed_aims(found: Mapping[str, Any]) -> list[str]:
    """Which figures are outside their limits."""
    return [name for name, (low, high) in LIMITS.items() if not low <= found[name] <= high]


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


async def measure(folder: Path, readings: int) -> dict[str, Any]:
    """All figures, in a folder that is thrown away."""
    bench = Bench(folder)
    try:
        await bench.start()
        found = await bench.live()
        found |= await bench.drain(readings)
    finally:
        await bench.close()
    return found


class Bench:
    """A gateway with everything around it."""

    def __init__(self, folder: Path) -> None:
        """Make the network's files."""
        from gateway import config
        from gridwitness.addresses import free_ports
        from gridwitness.broker import Broker
        from gridwitness.network import make_network
        from gridwitness.network_commands import GATEWAY
        from gridwitness.processes import Program
        from hwsim.scaled_clock import Pacer

        _say("making keys, certificates and files")
        self._ports = free_ports(3)
        plan = _plan(self._ports, folder / "pace")
        self._pacer = Pacer(folder / "pace", plan.time_ms)
        self.network = make_network(folder / "network", plan)
        self.settings = config.load(self.network.gateway(GATEWAY))
        self._broker = Broker(self.network.broker)
        logs = folder / "logs"
        arguments = ["-m", "gridwitness.cli", "gateway", "run", str(self.network.gateway(GATEWAY))]
        self.gateway = Program("gateway", arguments, logs / "gateway.log")
        arguments = ["-m", "gridwitness.agreeing", str(self.network.folder), "127.0.0.1"]
        self._answers = Program("answers", [*arguments, str(self._ports[1])], logs / "answers.log")
        self._meters: asyncio.Server | None = None
        self._begun = False

    async def start(self) -> None:
        """Start everything; the first boundary is read."""
        from hwsim.meters import Faults, Line, Meter, serve_tcp
        from hwsim.scaled_clock import PacedClock

        clock = PacedClock(self._pacer.path)
        units = {unit: cast("Meter", BenchMeter(unit, clock)) for unit in range(1, METERS + 1)}
        self._meters = await serve_tcp(self._ports[0], Line(units, Faults(None)))
        self._broker.start()
        self._answers.start()
        self.gateway.start()
        await self._report_where(lambda page: page["broker"] == "connected")

    async def close(self) -> None:
        """End everything."""
        self.gateway.stop()
        self._answers.stop()
        self._broker.stop()
        self._pacer.close()
        if self._meters is not None:
            self._meters.close()

    async def live(self) -> dict[str, Any]:
        """Memory and CPU while intervals follow one another."""
        from gridwitness.process_account import cpu_s, family, rss_mb

        _say(f"{METERS} meters, {INTERVALS} intervals")
        await self._pass(WARM)
        pids, loop = family(self.gateway.pid), asyncio.get_running_loop()
        idle_s = sum(map(cpu_s, pids))
        await asyncio.sleep(IDLE_S)
        idle_share = (sum(map(cpu_s, pids)) - idle_s) / IDLE_S
        before_s, started_s = sum(map(cpu_s, pids)), loop.time()
        await self._pass(INTERVALS)
        await self._report_where(lambda page: not page["witnessed"] and not page["published"])
        spent_s = sum(map(cpu_s, pids)) - before_s - idle_share * (loop.time() - started_s)
        audit = self.settings.spool.with_suffix(".audit.jsonl").read_bytes()
        signed = sum(len(json.loads(line)["digests"]) for line in audit.splitlines())
        return {
            "meters": METERS,
            "cpu_ms_per_reading": round(1000 * spent_s / (INTERVALS * METERS), 2),
            "idle_cpu_percent": round(100 * idle_share, 1),
            "rss_mb": round(rss_mb(pids[0]), 1),
            "token_rss_mb": round(sum(map(rss_mb, pids[1:])), 1),
            "audit_bytes_per_signature": round(len(audit) / signed),
        }

    async def drain(self, readings: int) -> dict[str, Any]:
        """Fill the spool with an outage, start the gateway, and watch it drain."""
        from gridwitness.bench_year import write_outage

        self.gateway.stop()
        now_s = (await self._now_ms()) // 1000

        def report(done: int) -> None:
            if done % 100_000 == 0:
                _say(f"  {done} readings signed and spooled")

        _say(f"writing an outage of {readings} readings")
        size = self.settings.spool.stat().st_size
        topic = self.network.genesis.topic_name
        end_s = now_s // 900 * 900 - 86_400
        await asyncio.to_thread(write_outage, self.settings.spool, topic, readings, end_s, report)
        size = self.settings.spool.stat().st_size - size
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        self.gateway.start()
        first = await self._report_where(lambda page: page["broker"] == "connected")
        start_s = loop.time() - started_s
        return {
            "outage_readings": readings,
            "bytes_per_reading": round(size / readings),
            "start_s": round(start_s, 1),
            **await self._watch(int(first["final"])),
        }

    async def _watch(self, before: int) -> dict[str, Any]:
        from gridwitness.process_account import rss_mb

        _say("draining")
        loop = asyncio.get_running_loop()
        pid = self.gateway.pid
        samples: list[tuple[float, int, float]] = []
        live: asyncio.Task[float] | None = None
        started_s, told_s = loop.time(), loop.time()
        while True:
            page = await self._report_where(lambda _: True)
            waiting = int(page["witnessed"]) + int(page["published"])
            samples.append((loop.time(), int(page["final"]), rss_mb(pid)))
            if live is None and samples[-1][1] > before:
                live = asyncio.create_task(self._pass(1))
            if loop.time() - told_s > 10:
                told_s = loop.time()
                _say(f"  {waiting} readings wait, {samples[-1][2]:.1f} MB")
            if not waiting and not page["closed"] and not page["queued"]:
                break
            await asyncio.sleep(LOOK_S)
        drained_s = loop.time() - started_s
        total = samples[-1][1] - before
        early = [mb for _, final, mb in samples if final - before <= total / 10]
        return {
            "drain_s": round(drained_s, 1),
            "drain_readings_per_s": round(total / drained_s),
            "drain_rss_mb": round(max(mb for _, _, mb in samples), 1),
            "drain_memory_growth_mb": round(max(mb for _, _, mb in samples) - max(early), 1),
            "live_during_drain_s": None if live is None else round(await live, 2),
        }

    async def _pass(self, intervals: int) -> float:
        """Let intervals pass and wait until all their readings have receipts; real seconds."""
        loop = asyncio.get_running_loop()
        started_s = loop.time()

        async def done(_: int) -> bool:
            # Asking for the status page would cost the gateway more than what is measured.
            await asyncio.sleep(DWELL_S)
            return True

        # The first run of a pacer reads one boundary more than intervals end.
        await self._pacer.run(intervals - self._begun, done)
        self._begun = True
        newest_s = (await self._now_ms()) // 1000 // 900 * 900 - 900
        await self._report_where(
            lambda page: (
                not page["closed"] and not page["queued"] and page["newest_final_s"] >= newest_s
            )
        )
        return loop.time() - started_s

    async def _now_ms(self) -> int:
        from hwsim.scaled_clock import PacedClock

        clock = PacedClock(self._pacer.path)
        try:
            return clock.now_ms()
        finally:
            clock.close()

    async def _report_where(self, condition: Any) -> dict[str, Any]:
        from gridwitness import status_pages

        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + SETTLE_S
        while True:
            self.gateway.check()
            page = await status_pages.gateway(self._ports[2])
            if page is not None and condition(page):
                return page
            if loop.time() > deadline_s:
                raise TimeoutError(f"this did not come in {SETTLE_S} s: {page}")
            await asyncio.sleep(LOOK_S)


class BenchMeter:
    """An SDM630 through which a steady kilowatt flows."""

    def __init__(self, unit: int, clock: "PacedClock") -> None:
        """Take its address and network time."""
        from hwsim.vendors.eastron import Sdm630

        self._registers = Sdm630(21_010_000 + unit)
        self._clock = clock
        self._begun_ms = clock.now_ms()

    def answer(self, pdu: bytes) -> bytes:
        """The reply to a request."""
        from hwsim.registers import Flow

        mwh = (self._clock.now_ms() - self._begun_ms) * 1_000 // 3_600
        return self._registers.answer(pdu, Flow(mwh, 0, (1_000 / 3,) * 3))


def _plan(ports: list[int], pace: Path) -> "NetworkPlan":
    from gridwitness.network_commands import _meter, synthetic_plan
    from gridwitness.plan import Address, Bus, BusMeter

    plan = synthetic_plan("bench", 4)
    entries = [_meter(number) for number in range(METERS)]
    meters = tuple(
        BusMeter(entry["id"], unit, "eastron-sdm630") for unit, entry in enumerate(entries, 1)
    )
    bus, broker, status = (Address("127.0.0.1", port) for port in ports)
    gateway = replace(
        plan.gateways[0], status=status, buses=(Bus("street", bus, meters),), max_wait_s=5
    )
    return replace(
        plan,
        time_ms=plan.time_ms // 900_000 * 900_000,
        broker=broker,
        gateways=(gateway,),
        meters=tuple(entries),
        zones=(),
        paced_time_file=pace,
    )
