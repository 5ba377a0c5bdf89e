"""The commands of `gridwitness gateway`, with broker, buses and neighbours away."""

import json
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway import config
from gateway.cli import ask_status
from gateway.operation.control import socket_path
from gridwitness.addresses import free_ports
from gridwitness.network import make_network
from gridwitness.network_commands import GATEWAY, synthetic_plan
from gridwitness.plan import Address
from wire.errors import Unavailable

COMMAND = [sys.executable, "-m", "gridwitness.cli", "gateway"]
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    plan = synthetic_plan("test", 4)
    broker, status, bus = (Address("127.0.0.1", port) for port in free_ports(3))
    gateway = replace(
        plan.gateways[0], status=status, buses=(replace(plan.gateways[0].buses[0], port=bus),)
    )
    plan = replace(plan, broker=broker, gateways=(gateway,))
    folder = tmp_path_factory.mktemp("network") / "here"
    return make_network(folder, plan).gateway(GATEWAY)


@pytest.fixture
def running(toml: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([*COMMAND, "run", str(toml)], stderr=subprocess.PIPE) as process:
        settings, deadline = config.load(toml), time.monotonic() + PATIENCE_S
        while True:
            try:
                ask_status(settings)
                break
            except Unavailable:
                assert time.monotonic() < deadline
        yield process
        process.kill()


def command(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, *words], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


def test_a_gateway_ends_in_order_while_everything_else_is_away(
    running: "subprocess.Popen[bytes]",
) -> None:
    running.send_signal(signal.SIGTERM)
    assert running.wait(PATIENCE_S) == 0


def test_a_second_gateway_is_told_why_it_cannot_run(
    running: "subprocess.Popen[bytes]", toml: Path
) -> None:
    second = command("run", str(toml))
    assert second.returncode == 75
    assert "another gateway works on" in second.stderr
    assert second.stderr.count("\n") == 1


def test_status_is_shown_to_people_and_scripts(
    running: "subprocess.Popen[bytes]", toml: Path
) -> None:
    shown = command("status", str(toml))
    assert "broker away" in shown.stdout
    assert "boundary: dead, modbus, no reading yet" in shown.stdout
    assert "place: by survey" in shown.stdout
    assert "down, no connection" in shown.stdout
    broken = toml.with_name("broken.toml")
    broken.write_text(toml.read_text().replace("max_wait_s", "max_weight_s"))
    shown = command("status", str(broken))
    assert "max_wait_s" in shown.stderr
    assert "boundary: dead" in shown.stdout
    found = command("doctor", str(broken))
    assert found.returncode == 1
    assert "BAD  file: broken.toml" in found.stdout
    assert "ok   gateway: gw" in found.stdout
    broken.write_text("status = ")
    assert "curl http://" in command("status", str(broken)).stderr
    report = json.loads(command("status", str(toml), "--json").stdout)
    assert report["last_interval_start_s"] == -1
    assert report["meters"]["customer-1"] == {
        "state": "dead",
        "last_sequence": -1,
        "kind": "modbus",
    }


def test_what_is_wrong_is_said_in_one_line(toml: Path) -> None:
    nobody = command("status", str(toml))
    assert (nobody.returncode, nobody.stderr.count("\n")) == (75, 1)
    assert "no gateway answers" in nobody.stderr
    assert "4 meters on 1 buses; good" in command("check", str(toml)).stdout
    wrong = toml.with_name("wrong.toml")
    wrong.write_text(toml.read_text().replace("max_wait_s", "max_weight_s"))
    refused = command("check", str(wrong))
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)


def test_the_doctor_says_what_is_away_and_what_is_well(toml: Path) -> None:
    found = command("doctor", str(toml), "--json")
    assert found.returncode == 1
    report = json.loads(found.stdout.splitlines()[-1])
    good = {name: each["good"] for name, each in report.items()}
    assert good["registry"]
    assert good["token"]
    assert good["certificate"]
    assert not good["broker"]
    assert "is Mosquitto running there?" in report["broker"]["words"]
    assert not good["lines"]


def test_a_running_gateway_is_asked_instead_of_its_line(
    running: "subprocess.Popen[bytes]", toml: Path
) -> None:
    control = socket_path(config.load(toml).spool)
    assert stat.S_IMODE(control.stat().st_mode) == 0o600
    bus = config.load(toml).buses[0].name
    asked = command("probe", str(toml), "1", "--bus", bus)
    assert "through the running gateway" in asked.stderr
    assert "the gateway says: no connection" in asked.stderr
    assert asked.returncode == 75
    running.send_signal(signal.SIGTERM)
    assert running.wait(PATIENCE_S) == 0
    assert not control.exists()
