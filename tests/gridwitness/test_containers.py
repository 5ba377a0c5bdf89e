"""The compose file, the alarms and the dashboard speak of the network that `network init` makes.

No container runs here: what they would run is held against the programs themselves.
"""

import json
import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.operation.metrics import metrics as gateway_metrics
from gridwitness.cli import parser_for
from gridwitness.network import make_network
from gridwitness.network_commands import synthetic_plan
from validator.api import consensus_metrics, metrics, peer_metrics
from validator.node.measures import Measures

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "gridwitness/containers"
COMPOSE = (FOLDER / "compose.yaml").read_text()
PLAN = synthetic_plan("test", 4)
PROMTOOL = shutil.which("promtool")


def services() -> dict[str, Any]:
    content = yaml.safe_load(COMPOSE)
    found: dict[str, Any] = content["services"]
    return found


def told() -> set[str]:
    """Names of all metrics that validators and gateways tell."""
    report: defaultdict[str, Any] = defaultdict(int, peers=[], halted="", broker="")
    gateway: defaultdict[str, Any] = defaultdict(
        int,
        disk=defaultdict(int),
        meters={},
        buses={},
        answers={},
        meter_errors={},
        clock=defaultdict(int),
    )
    text = "".join(
        [
            metrics.text(report),
            consensus_metrics.text(_measures(), 0),
            peer_metrics.text({}, {}, 0.0),
            gateway_metrics(gateway),
        ]
    )
    names: set[str] = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        ends = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        names |= {name + end for end in ends}
    return names


def _measures() -> Measures:
    measures = Measures("val-a", lambda _: pytest.fail("nobody votes here"))
    measures.delay_s = dict.fromkeys(consensus_metrics.DELAYS, 0.0)
    return measures


def used(expression: str) -> set[str]:
    return set(re.findall(r"gridwitness_\w+", expression))


def test_each_program_of_the_compose_file_is_one_of_the_network_that_init_makes() -> None:
    commands = {name: each["command"] for name, each in services().items() if "command" in each}
    runs = [each for each in commands.values() if each[:2] == ["validator", "run"]]
    wanted = [f"${{NETWORK}}/validators/{each.id}/validator.toml" for each in PLAN.validators]
    assert [each[2] for each in runs] == wanted
    assert commands["gw-north"][2] == f"${{NETWORK}}/gateways/{PLAN.gateways[0].id}/gateway.toml"


def test_each_command_of_the_compose_file_is_one_that_we_have() -> None:
    for name, service in services().items():
        if service["image"] == "gridwitness" and "command" in service:
            found = parser_for(service["command"]).parse_args(service["command"])
            assert callable(found.run), name


def test_each_path_of_the_compose_file_is_one_that_init_writes(tmp_path: Path) -> None:
    network = make_network(tmp_path / "net", PLAN).folder
    named = re.findall(r'"\$\{NETWORK\}/([^"]+)"', COMPOSE)
    assert len(set(named)) == 8
    assert [path for path in named if not (network / path).is_file()] == []


def test_what_the_compose_file_asks_for_stands_in_its_usage() -> None:
    """Compose does not see what a shell keeps to itself, as bash its UID."""
    usage, content = COMPOSE.split("\nx-program:")
    asked = set(re.findall(r"\$\{(\w+)", content))
    assert asked == set(re.findall(r"\b([A-Z]+)=", usage)) == {"NETWORK", "OWNER"}


def test_no_program_writes_beside_the_networks_folder_but_where_it_may() -> None:
    """The root of each container is read-only."""
    for name, service in services().items():
        if service["image"] == "gridwitness":
            said = [*service.get("entrypoint", []), *service.get("command", [])]
            paths = [word for word in said if word.startswith(("/", "$"))]
            assert service["read_only"], name
            assert all(each.startswith(("${NETWORK}/", "/tmp/")) for each in paths), name
            assert service["tmpfs"] == ["/tmp"], name


def test_the_ports_of_the_compose_file_are_taken_once() -> None:
    found = parser_for(["validator"]).parse_args(["validator", "bootnode", "genesis.json"])
    taken = [str(PLAN.broker), found.listen, "127.0.0.1:9090", "127.0.0.1:3000"]
    taken += [str(each) for plan in PLAN.validators for each in (plan.api, plan.peers)]
    taken += [str(each.status) for each in PLAN.gateways]
    assert len(set(taken)) == len(taken) == 13
    assert "--web.listen-address=127.0.0.1:9090" in services()["prometheus"]["command"]


def test_prometheus_asks_every_program_of_that_network() -> None:
    content = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    asked = {
        each["job_name"]: each["static_configs"][0]["targets"] for each in content["scrape_configs"]
    }
    assert asked["validators"] == [str(each.api) for each in PLAN.validators]
    assert asked["gateways"] == [str(each.status) for each in PLAN.gateways]


def test_alarms_and_dashboard_ask_for_metrics_that_are_told() -> None:
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    expressions = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    board = json.loads((FOLDER / "grafana/gridwitness.json").read_text())
    expressions += [each["expr"] for panel in board["panels"] for each in panel["targets"]]
    asked = set().union(*map(used, expressions))
    assert len(asked) > 15
    assert asked - told() == set()


@pytest.mark.skipif(PROMTOOL is None, reason="promtool: apt install prometheus")
def test_prometheus_takes_its_configuration_and_the_alarms() -> None:
    assert PROMTOOL is not None
    done = subprocess.run(
        [PROMTOOL, "check", "config", FOLDER / "prometheus.yml"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_has_what_its_programs_need() -> None:
    lines = (FOLDER / "Dockerfile").read_text()
    installed = " ".join(re.findall(r"apt-get install -y --no-install-recommends ([^&]+)", lines))
    assert {"mosquitto", "softhsm2", "libjs-chart.js"} <= set(installed.split())
    assert "'.[gateway,validator]'" in lines


@pytest.mark.parametrize("name", ["gridwitness-validator", "gridwitness-bootnode"])
def test_systemd_takes_the_units_of_validators(name: str, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not on this machine: apt install systemd")
    text = (ROOT / f"validator/systemd/{name}.service").read_text()
    program = tmp_path / "gridwitness"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / f"{name}.service"
    unit.write_text(text.replace("/opt/gridwitness/.venv/bin/gridwitness", str(program)))
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True
    )
    ours = [line for line in done.stderr.splitlines() if name in line]
    assert done.returncode == 0, done.stderr
    assert ours == []
