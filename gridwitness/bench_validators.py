"""`gridwitness bench validators`: four real validators on this machine, as fast as they will go.

Real processes, a real broker, readings signed by real keys; every validator checks every signature.
Decides how the load is offered: so many readings are under way at any time, and the next batch
follows when a receipt has come, so that each step of the table shows one point of the curve of
throughput against latency. The limit is what the cores could check if they did nothing else: the
P-256 rate of all cores by their CPU time / validators, measured in the same run before anything is
started and again after everything has ended.
"""

import argparse
import asyncio
import json
import os
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridwitness import status_pages
from gridwitness.addresses import free_ports
from gridwitness.bench_limit import QUIET, CheckRate, between, busy, check_rate
from gridwitness.bench_load import COS_PPM, INTERVAL_S, METERS, OPERATOR, SITE, Load, witness_key
from gridwitness.broker import Broker
from gridwitness.network import Network, make_network
from gridwitness.plan import (
    PARAMETERS,
    Address,
    AuthorityPlan,
    GatewayPlan,
    NetworkPlan,
    ValidatorPlan,
)
from gridwitness.process_account import cpu_s, rss_mb
from gridwitness.processes import Program
from wire import cbor
from wire.block import MAX_READINGS
from wire.errors import Unavailable, WrongUsage
from wire.witness import Batch

if TYPE_CHECKING:
    import paho.mqtt.client as mqtt

VALIDATORS = 4
GATEWAY = "gw-bench"
BATCH = 500
STEPS = (500, 2_000, 5_000, 10_000)
"""Readings under way at a time."""

START_LIMIT_S = 60.0
STEP_LIMIT_S = 300.0
_LOOK_S = 0.02

BLOCK_S = 1.0
_PARAMETERS = {
    "block_interval_ms": int(BLOCK_S * 1000),
    # The load is of past intervals: its windows are sealed when they are complete, not before.
    "deadline_intervals": 3_000,
}


def add_command(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `bench validators`."""
    parser = subparsers.add_parser(
        "validators",
        help="readings a second through four real validators, against what the cores can check",
        description="Starts a broker and four validators here and offers them signed readings.",
    )
    parser.add_argument(
        "--readings", type=int, default=20_000, metavar="N", help="of each step (default 20000)"
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object on stdout")
    parser.set_defaults(run=run)


@dataclass(frozen=True, slots=True)
class Step:
    """What one step of the load gave."""

    under_way: int
    """Readings under way at a time."""

    readings: int
    """Readings made final."""

    seconds: float
    """From the first batch out to the last receipt in."""

    latencies_s: tuple[float, ...]
    """From a batch's publishing to its first receipt."""

    validators_cpu_s: float
    """CPU time of all validators."""

    load_cpu_s: float
    """CPU time of the load generator and the broker."""

    @property
    def readings_per_s(self) -> float:
        """Readings made final in a second."""
        return self.readings / self.seconds

    @property
    def cpu_us_per_reading(self) -> float:
        """CPU time of one validator for one reading, microseconds."""
        return self.validators_cpu_s / VALIDATORS / self.readings * 1e6

    def latency_s(self, share: float) -> float:
        """The latency that this share of batches does not exceed."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    found = measure(args.readings, STEPS)
    if args.json:
        print(json.dumps(found))
    else:
        _show(found)
    return 0


def measure(readings: int, steps: Sequence[int]) -> dict[str, Any]:
    """Run all steps on one network; raises Unavailable, WrongUsage."""
    if readings < BATCH:
        raise WrongUsage(f"--readings {readings}: at least one batch of {BATCH}")
    with tempfile.TemporaryDirectory() as name:
        return asyncio.run(_Bench(Path(name), readings, steps).run())


@dataclass
class _Bench:
    folder: Path
    readings: int
    steps: Sequence[int]
    programs: list[Program] = field(default_factory=list)

    async def run(self) -> dict[str, Any]:
        self._say("readings are signed")
        intervals = -(-self.readings // METERS)
        each = intervals * METERS
        end_s = int(time.time()) // INTERVAL_S * INTERVAL_S
        load = Load.make(GATEWAY, intervals * len(self.steps), end_s)
        self._say("what the cores can check when they do nothing else")
        before = check_rate(load)
        ports = free_ports(3 * VALIDATORS + 1)
        network = _network(self.folder / "network", load, ports)
        broker = Broker(network.broker)
        broker.start()
        try:
            await self._start(network, ports[VALIDATORS : 2 * VALIDATORS])
            sender = _Sender(network, broker, load)
            steps = []
            try:
                for place, under_way in enumerate(self.steps):
                    self._say(f"{each} readings, {under_way} under way")
                    own = load.readings[place * each : (place + 1) * each]
                    steps.append(await self._step(sender, under_way, own))
            finally:
                sender.close()
            rss = max(rss_mb(program.pid) for program in self.programs)
        finally:
            for program in self.programs:
                program.stop()
            broker.stop()
        return _report(steps, between(before, check_rate(load)), rss)

    def _say(self, words: str) -> None:
        print(words, file=sys.stderr, flush=True)

    async def _start(self, network: Network, api_ports: Sequence[int]) -> None:
        for number in range(VALIDATORS):
            config = network.validator(f"val-{number}")
            arguments = ["-m", "gridwitness.cli", "validator", "run", str(config)]
            log = self.folder / f"val-{number}.log"
            self.programs.append(Program(f"val-{number}", arguments, log))
            self.programs[-1].start()
        deadline = time.monotonic() + START_LIMIT_S
        while not await _all_met(api_ports):
            for program in self.programs:
                program.check()
            if time.monotonic() > deadline:
                raise Unavailable(f"the validators did not meet within {START_LIMIT_S:.0f} s")
            await asyncio.sleep(_LOOK_S)

    async def _step(self, sender: "_Sender", under_way: int, readings: tuple[bytes, ...]) -> Step:
        pids = [program.pid for program in self.programs]
        before = sum(map(cpu_s, pids)), sum(map(cpu_s, sender.pids))
        batches = sender.batches(readings)
        started = time.monotonic()
        latencies = await asyncio.to_thread(sender.offer, batches, max(1, under_way // BATCH))
        seconds = time.monotonic() - started
        return Step(
            under_way,
            len(readings),
            seconds,
            tuple(latencies),
            sum(map(cpu_s, pids)) - before[0],
            sum(map(cpu_s, sender.pids)) - before[1],
        )


class _Sender:
    """A gateway of few words: publishes signed batches and waits for the first receipt of each."""

    def __init__(self, network: Network, broker: Broker, load: Load) -> None:
        import paho.mqtt.client as mqtt
        from paho.mqtt.enums import CallbackAPIVersion

        self._genesis = network.genesis
        self._load = load
        self._signer = witness_key(network, GATEWAY)
        self._sequence = 0
        self._waiting: dict[bytes, float] = {}
        self._latencies: list[float] = []
        self._changed = threading.Condition()
        self._closed = False
        assert broker.pid is not None, "the broker runs"
        self.pids = [os.getpid(), broker.pid]
        self._topic = f"gridwitness/1/{network.genesis.topic_name}"
        home = network.folder / "gateways" / GATEWAY
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, GATEWAY, protocol=mqtt.MQTTv5)
        self._client.tls_set(
            str(network.folder / "ca" / "ca.pem"),
            str(home / "mqtt.pem"),
            str(home / "mqtt.key"),
            tls_version=ssl.PROTOCOL_TLS_CLIENT,
        )
        self._client.on_message = self._answered
        self._client.on_connect = lambda client, *_: client.subscribe(
            f"{self._topic}/receipt/{GATEWAY}", qos=1
        )
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()

    def close(self) -> None:
        """Disconnect, and leave the token; who still waits for receipts waits no longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._client.disconnect()
        self._client.loop_stop()
        self._signer.close()

    def batches(self, readings: tuple[bytes, ...]) -> list[Batch]:
        """Witness them, in batches."""
        made = []
        for at in range(0, len(readings), BATCH):
            part, now_s = readings[at : at + BATCH], int(time.time())
            made.append(self._load.batch(self._genesis, self._signer, self._sequence, part, now_s))
            self._sequence += 1
        return made

    def offer(self, batches: Sequence[Batch], under_way: int) -> list[float]:
        """Make them all final, so many at a time; the latency of each batch, seconds."""
        self._latencies = []
        for batch in batches:
            with self._changed:
                self._until(lambda: len(self._waiting) < under_way)
                self._waiting[batch.batch_id] = time.monotonic()
            self._client.publish(f"{self._topic}/batch/{GATEWAY}", batch.encoded, qos=1)
        with self._changed:
            self._until(lambda: not self._waiting)
        return self._latencies

    def _until(self, ready: Any) -> None:
        if not self._changed.wait_for(lambda: self._closed or ready(), STEP_LIMIT_S):
            raise Unavailable(f"no receipt for {STEP_LIMIT_S:.0f} s")
        if self._closed:
            raise Unavailable("the measurement was ended")

    def _answered(self, _client: object, _data: object, message: "mqtt.MQTTMessage") -> None:
        kind, content = cbor.decode(bytes(message.payload))
        with self._changed:
            if kind != 1:
                raise AssertionError("a batch was refused: the load is not what validators accept")
            since = self._waiting.pop(content[1], None)
            if since is not None:
                self._latencies.append(time.monotonic() - since)
                self._changed.notify_all()


def _network(folder: Path, load: Load, ports: Sequence[int]) -> Network:
    """Four validators, one gateway, and the streets of the load."""
    validators = [
        ValidatorPlan(
            f"val-{number}",
            OPERATOR,
            peers=Address("127.0.0.1", ports[number]),
            api=Address("127.0.0.1", ports[VALIDATORS + number]),
        )
        for number in range(VALIDATORS)
    ]
    gateway = GatewayPlan(
        id=GATEWAY,
        operator=OPERATOR,
        site=SITE,
        site_cos_ppm=COS_PPM,
        zones=tuple(zone["id"] for zone in load.zones),
        status=Address("127.0.0.1", ports[-1]),
    )
    return make_network(
        folder,
        NetworkPlan(
            name="bench",
            time_ms=int(time.time()) * 1000,
            broker=Address("127.0.0.1", ports[2 * VALIDATORS]),
            authorities=(AuthorityPlan(OPERATOR, OPERATOR, OPERATOR),),
            validators=tuple(validators),
            gateways=(gateway,),
            meters=load.meters,
            zones=load.zones,
            parameters={**PARAMETERS, **_PARAMETERS},
        ),
    )


async def _all_met(ports: Sequence[int]) -> bool:
    pages = [await status_pages.validator(port) for port in ports]
    return all(
        page and len(page["peers"]) == VALIDATORS - 1 and page["broker"] == "connected"
        for page in pages
    )


def _report(steps: Sequence[Step], rate: CheckRate, rss: float) -> dict[str, Any]:
    limit = rate.per_s / VALIDATORS
    best = max(steps, key=lambda step: step.readings_per_s)
    fitting = [step for step in steps if step.under_way <= MAX_READINGS] or steps
    return {
        "validators": VALIDATORS,
        "cores": rate.cores,
        "verify_per_s_per_core": round(rate.per_s / rate.cores),
        "limit_readings_per_s": round(limit),
        "cores_share": round(rate.share, 2),
        "readings_per_s": round(best.readings_per_s),
        "ratio_to_limit": round(best.readings_per_s / limit, 2),
        "cpu_ratio_to_limit": round(1e6 * rate.cpu_s / best.cpu_us_per_reading, 2),
        # Of as many readings under way as one block holds: more have to wait for the next.
        "receipt_p99_blocks": round(fitting[-1].latency_s(0.99) / BLOCK_S, 2),
        "rss_mb": round(rss),
        "steps": [_step_row(step) for step in steps],
    }


def _step_row(step: Step) -> dict[str, Any]:
    return {
        "under_way": step.under_way,
        "readings_per_s": round(step.readings_per_s),
        "receipt_p50_s": round(step.latency_s(0.5), 2),
        "receipt_p99_s": round(step.latency_s(0.99), 2),
        "receipt_p99_blocks": round(step.latency_s(0.99) / BLOCK_S, 2),
        "validator_cpu_us_per_reading": round(step.cpu_us_per_reading, 1),
        "load_cpu_us_per_reading": round(step.load_cpu_s / step.readings * 1e6, 1),
    }


def _show(found: dict[str, Any]) -> None:
    print(
        f"{found['cores']} cores at once, {found['verify_per_s_per_core']} P-256 checks/s each: "
        f"at most {found['limit_readings_per_s']} readings/s through {VALIDATORS} validators"
    )
    print("under way  readings/s  receipt p50    p99  CPU per reading: validator   load")
    for row in found["steps"]:
        print(
            f"{row['under_way']:>9} {row['readings_per_s']:>11} {row['receipt_p50_s']:>10} s "
            f"{row['receipt_p99_s']:>5} s {row['validator_cpu_us_per_reading']:>23} us "
            f"{row['load_cpu_us_per_reading']:>4} us"
        )
    print(
        f"{found['readings_per_s']} readings/s are {found['ratio_to_limit']:.0%} of the limit; "
        f"{found['cpu_ratio_to_limit']:.0%} of a validator's CPU time checks meters' signatures"
    )
    if found["cores_share"] < QUIET:
        print(busy(found["cores_share"]))
