"""The whole gateway, in process: simulated meters, SoftHSM, Mosquitto with TLS, sealed receipts."""

import asyncio
import contextlib
import json
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway import config
from gateway.delivery import relay
from gateway.delivery.spool import Spool
from gateway.operation.symptoms import symptoms
from gateway.service import Gateway
from gridwitness.addresses import free_ports
from gridwitness.broker import Broker
from gridwitness.network import Network, make_network
from gridwitness.network_commands import GATEWAY, _meter, synthetic_plan
from gridwitness.plan import Address, Bus, BusMeter
from tests.gateway.answering import Validators
from tests.gateway.street import START_S, Eastron, ModbusHost, SigningMeter, StepClock, until

BUS_PORT, BROKER_PORT, STATUS_PORT = free_ports(3)
SIGNER = SigningMeter("customer-1", "node-1")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    plan = synthetic_plan("test", 4)
    entries = [_meter(number) for number in range(3)]
    entries[1]["key"] = SIGNER.signer.public.text
    meters = tuple(
        BusMeter(entry["id"], unit, "gridwitness" if entry["key"] else "eastron-sdm630")
        for unit, entry in enumerate(entries, 1)
    )
    gateway = replace(
        plan.gateways[0],
        status=Address("127.0.0.1", STATUS_PORT),
        buses=(Bus("street", Address("127.0.0.1", BUS_PORT), meters, timeout_ms=150),),
        max_wait_s=1,
    )
    plan = replace(
        plan,
        time_ms=START_S * 1000,
        broker=Address("127.0.0.1", BROKER_PORT),
        gateways=(gateway,),
        meters=tuple(entries),
        paced_time_file=Path("pace"),
    )
    return make_network(tmp_path_factory.mktemp("network") / "here", plan)


@pytest.fixture
def broker(network: Network) -> Iterator[Broker]:
    broker = Broker(network.broker)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def settings(network: Network, tmp_path: Path) -> config.GatewayConfig:
    return replace(config.load(network.gateway(GATEWAY)), spool=tmp_path / "spool.sqlite")


@asynccontextmanager
async def running(
    settings: config.GatewayConfig, network: Network, clock: StepClock
) -> AsyncIterator[Gateway]:
    spool = await Spool.open(settings.spool)
    gateway = Gateway(settings, network.genesis, clock, spool)
    work = asyncio.ensure_future(gateway.run())
    try:
        yield gateway
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await spool.close()


async def ask(path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", STATUS_PORT)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n\r\n")[2]


async def report_where(condition: Any, at_most_s: float = 30.0) -> dict[str, Any]:
    report: dict[str, Any] = {}
    for _ in range(round(at_most_s / 0.02)):
        with contextlib.suppress(OSError, ValueError):
            report = json.loads(await ask("/status"))
            if condition(report):
                return report
        await asyncio.sleep(0.02)
    raise AssertionError(f"this did not come: {report}")


async def pass_interval(
    clock: StepClock, meters: list[Eastron], signing: SigningMeter, number: int
) -> dict[str, Any]:
    boundary_s = START_S + 900 * number
    clock.move_to(boundary_s - 0.001)
    for meter in meters:
        meter.import_kwh += 0.25
    signing.close(boundary_s - 900, import_wh=250 * number)
    clock.move_to(boundary_s + 0.3)
    report = await report_where(lambda each: each["last_interval_start_s"] >= boundary_s - 900)
    clock.move_to(boundary_s + 5)
    return report


def test_every_reading_is_final_once_and_then_forgotten(
    settings: config.GatewayConfig, network: Network, broker: Broker
) -> None:
    meters, signing = [Eastron(), Eastron()], SigningMeter("customer-1", "node-1", SIGNER.signer)

    async def day() -> dict[str, Any]:
        clock = StepClock(START_S + 0.2)
        units: dict[int, Any] = {1: meters[0], 2: signing, 3: meters[1]}
        host = ModbusHost(units)
        host.port = BUS_PORT
        async with host, running(settings, network, clock):
            await report_where(lambda each: each["broker"] == "connected")
            await report_where(has_begun)
            for number in (1, 2, 3):
                await pass_interval(clock, meters, signing, number)
            report = await report_where(lambda each: each["final"] == 9)
            text = (await ask("/metrics")).decode()
            assert 'gridwitness_gateway_readings{state="final"} 9' in text
            return report

    with Validators(network, BROKER_PORT) as validators:
        report = asyncio.run(day())
    assert {report[name] for name in ("closed", "queued", "witnessed", "published")} == {0}
    found = validators.readings()
    assert len(found) == 9
    assert {len(contents) for contents in found.values()} == {1}
    assert report["meters"]["customer-1"] == {
        "state": "live",
        "last_sequence": 2,
        "kind": "signing",
    }


def has_begun(report: dict[str, Any]) -> bool:
    """Each meter that answers was read at the first boundary: its next one closes a reading."""
    return bool(report["last_interval_start_s"] == START_S - 900)


def all_final(count: int) -> Callable[[dict[str, Any]], bool]:
    return lambda report: report["final"] == count


def test_a_broker_that_goes_away_costs_nothing(
    settings: config.GatewayConfig, network: Network, broker: Broker
) -> None:
    meters, signing = [Eastron(), Eastron()], SigningMeter("customer-1", "node-1", SIGNER.signer)

    async def day() -> None:
        clock = StepClock(START_S + 0.2)
        host = ModbusHost({1: meters[0], 2: signing, 3: meters[1]})
        host.port = BUS_PORT
        async with host, running(settings, network, clock):
            await report_where(has_begun)
            await pass_interval(clock, meters, signing, 1)
            await report_where(all_final(3))
            await asyncio.to_thread(broker.kill)
            await report_where(lambda each: each["broker"] == "away")
            for number in (2, 3):
                await pass_interval(clock, meters, signing, number)
            await asyncio.to_thread(broker.start)
            await report_where(all_final(9))

    with Validators(network, BROKER_PORT) as validators:
        asyncio.run(day())
    assert len(validators.readings()) == 9


def test_what_no_validator_got_is_said_and_sent_again(
    settings: config.GatewayConfig, network: Network, broker: Broker
) -> None:
    meters, signing = [Eastron(), Eastron()], SigningMeter("customer-1", "node-1", SIGNER.signer)

    async def day() -> None:
        clock = StepClock(START_S + 0.2)
        host = ModbusHost({1: meters[0], 2: signing, 3: meters[1]})
        host.port = BUS_PORT
        async with host, running(settings, network, clock):
            await report_where(has_begun)
            await pass_interval(clock, meters, signing, 1)
            report = await report_where(lambda each: each["broker_refusal"] == relay.NOBODY)
            assert report["published"] == 0
            assert [each.words for each in symptoms(report) if relay.NOBODY in each.words]
            with Validators(network, BROKER_PORT) as validators:
                report = await report_where(all_final(3))
            assert len(validators.readings()) == 3
            assert report["broker_refusal"] == ""

    asyncio.run(day())


def test_a_batch_without_an_answer_is_sent_again_and_settled_once(
    settings: config.GatewayConfig,
    network: Network,
    broker: Broker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay, "FIRST_RESEND_S", 0.2)
    meters, signing = [Eastron(), Eastron()], SigningMeter("customer-1", "node-1", SIGNER.signer)

    async def day(validators: Validators) -> dict[str, Any]:
        clock = StepClock(START_S + 0.2)
        host = ModbusHost({1: meters[0], 2: signing, 3: meters[1]})
        host.port = BUS_PORT
        async with host, running(settings, network, clock):
            await report_where(has_begun)
            await pass_interval(clock, meters, signing, 1)
            await report_where(lambda each: each["published"] == 3)
            first = validators.batches[0]
            await until(lambda: len(validators.batches) > 1)
            assert {each.batch_id for each in validators.batches} >= {first.batch_id}
            for batch in list(validators.batches) * 2:
                validators.answer(b"garbage")
                validators.answer(validators.authorities.receipt(batch, seals=1))
                validators.answer(validators.authorities.receipt(batch))
            validators.answering = True
            return await report_where(all_final(3))

    with Validators(network, BROKER_PORT) as validators:
        validators.answering = False
        report = asyncio.run(day(validators))
    assert report["published"] == 0
    assert len(validators.readings()) == 3


def test_a_dead_meter_and_a_dead_bus_do_not_stop_the_others(
    settings: config.GatewayConfig, network: Network, broker: Broker
) -> None:
    signing = SigningMeter("customer-1", "node-1", SIGNER.signer)
    meter = Eastron()

    async def day() -> dict[str, Any]:
        clock = StepClock(START_S + 0.2)
        host = ModbusHost({1: meter, 2: signing})
        host.port = BUS_PORT
        async with host, running(settings, network, clock):
            await report_where(has_begun)
            for number in (1, 2):
                await pass_interval(clock, [meter], signing, number)
            return await report_where(all_final(4))

    with Validators(network, BROKER_PORT):
        report = asyncio.run(day())
    states = {name: meter["state"] for name, meter in report["meters"].items()}
    assert states == {"boundary": "live", "customer-1": "live", "customer-2": "dead"}


class Process:
    """A gateway in a process of its own."""

    def __init__(self, config_path: Path, folder: Path) -> None:
        self.clock = folder / "clock"
        self._log = (folder / "log").open("ab")
        self._arguments = [
            *(sys.executable, "-m", "tests.gateway.process"),
            *(str(config_path), str(folder / "spool.sqlite"), str(self.clock)),
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def move_to(self, now_s: float) -> None:
        fresh = self.clock.with_suffix(".new")
        fresh.write_text(str(round(now_s * 1000)))
        fresh.rename(self.clock)

    def start(self) -> None:
        self.process = subprocess.Popen(self._arguments, stdout=self._log, stderr=self._log)

    def end(self, how: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(10)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._log.close()


def test_a_gateway_killed_at_any_moment_loses_and_doubles_no_reading(
    network: Network, broker: Broker, tmp_path: Path
) -> None:
    meters, signing = [Eastron(), Eastron()], SigningMeter("customer-1", "node-1", SIGNER.signer)
    moments = random.Random(7)
    process = Process(network.gateway(GATEWAY), tmp_path)

    async def day() -> dict[str, Any]:
        process.move_to(START_S + 0.2)
        process.start()
        host = ModbusHost({1: meters[0], 2: signing, 3: meters[1]})
        host.port = BUS_PORT
        async with host:
            await report_where(has_begun)
            for number in (1, 2, 3):
                boundary_s = START_S + 900 * number
                for meter in meters:
                    meter.import_kwh += 0.25
                signing.close(boundary_s - 900, import_wh=250 * number)
                process.move_to(boundary_s + 0.3)
                await asyncio.sleep(moments.uniform(0.0, 0.3))
                assert process.end(signal.SIGKILL) == -signal.SIGKILL
                process.start()
                await report_where(
                    lambda each, start_s=boundary_s - 900: (
                        each["last_interval_start_s"] == start_s
                        and {meter["state"] for meter in each["meters"].values()} == {"live"}
                    )
                )
            report = await report_where(all_final(9))
            assert process.end(signal.SIGTERM) == 0
            return report

    try:
        with Validators(network, BROKER_PORT) as validators:
            report = asyncio.run(day())
    finally:
        process.close()
    assert report["refused"] == 0
    found = validators.readings()
    assert len(found) == 9
    assert {len(contents) for contents in found.values()} == {1}
    sequences: dict[int, set[bytes]] = {}
    for batch in validators.batches:
        sequences.setdefault(batch.witness.statement.sequence, set()).add(batch.batch_id)
    assert {len(each) for each in sequences.values()} == {1}
