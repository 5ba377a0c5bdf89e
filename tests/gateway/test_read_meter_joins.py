"""A meter without a key of its own is added by its operator, and the gateway polls it, live."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway import config
from gridwitness.addresses import free_ports
from gridwitness.broker import Broker
from gridwitness.cli import main
from gridwitness.network import Network, make_network
from gridwitness.network_commands import GATEWAY, OPERATOR, TECHNICIAN, _meter, synthetic_plan
from gridwitness.plan import Address
from tests.gateway.answering import Validators
from tests.gateway.street import START_S, Eastron, ModbusHost, SigningMeter, StepClock
from tests.gateway.test_gateway_service import (
    STATUS_PORT,
    all_final,
    has_begun,
    pass_interval,
    report_where,
    running,
)

BUS_PORT, BROKER_PORT = free_ports(2)
NEW = 2
"""Number of the meter that the genesis file does not know."""


@pytest.fixture
def network(tmp_path: Path) -> Network:
    """A network whose genesis file has the other meters only."""
    plan = synthetic_plan("joins", 1)
    [bus] = plan.gateways[0].buses
    street = replace(
        bus, port=Address("127.0.0.1", BUS_PORT), meters=bus.meters[:NEW], timeout_ms=150
    )
    gateway = replace(
        plan.gateways[0],
        status=Address("127.0.0.1", STATUS_PORT),
        buses=(street,),
        max_wait_s=1,
    )
    plan = replace(
        plan,
        time_ms=START_S * 1000,
        broker=Address("127.0.0.1", BROKER_PORT),
        gateways=(gateway,),
        meters=plan.meters[:NEW],
        paced_time_file=Path("pace"),
    )
    return make_network(tmp_path / "here", plan)


@pytest.fixture
def broker(network: Network) -> Iterator[Broker]:
    broker = Broker(network.broker)
    broker.start()
    yield broker
    broker.stop()


def added(network: Network, folder: Path) -> Path:
    """The signed transaction, made as an operator makes it."""
    out = folder / "new.gwt"
    (folder / "entry.json").write_text(str(_meter(NEW)).replace("'", '"'))
    common = ("--genesis", network.genesis_path, "--from", START_S, "--out", out)
    home, token = network.gateway(GATEWAY).parent, config.load(network.gateway(GATEWAY)).token
    by_file = [network.authority(OPERATOR), network.technician(TECHNICIAN)]
    commands: list[tuple[Any, ...]] = [
        ("prepare", "add-meter", "--entry", folder / "entry.json", *common),
        *(("sign", out, "--key", key) for key in by_file),
        ("sign", out, "--key", token.reader, "--softhsm2-conf", home / str(token.softhsm2_conf)),
    ]
    for command in commands:
        assert main(["registry", *map(str, command)]) == 0
    return out


def test_a_meter_that_was_added_is_polled_and_its_readings_become_final(
    network: Network, broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(network.gateway(GATEWAY).parent)
    enrolment = added(network, tmp_path)
    settings = replace(config.load(network.gateway(GATEWAY)), spool=tmp_path / "spool.sqlite")
    [street] = settings.buses
    new = config.BusMeter(f"customer-{NEW}", NEW + 1, "eastron-sdm120", enrolment)
    settings = replace(settings, buses=(replace(street, meters=(*street.meters, new)),))
    meters = [Eastron(), Eastron(), Eastron()]

    async def day() -> dict[str, Any]:
        clock, unused = StepClock(START_S + 0.2), SigningMeter("none", "none")
        host = ModbusHost(dict(enumerate(meters, 1)))
        host.port = BUS_PORT
        async with host, running(settings, network, clock):
            await report_where(has_begun)
            for number in (1, 2):
                await pass_interval(clock, meters, unused, number)
            return await report_where(all_final(6))

    with Validators(network, BROKER_PORT) as validators:
        report = asyncio.run(day())
    assert report["meters"][new.id]["kind"] == "modbus"
    assert {meter for meter, _ in validators.readings()} == {"boundary", "customer-1", new.id}
