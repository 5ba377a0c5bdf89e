"""Real validators, each in a network namespace of its own: links cut, deaf, slow and lossy."""

import json
import subprocess
import sys

import pytest

PROBE = "from hwsim.network_leg import enter; enter()"


def allowed() -> None:
    """Skip where the machine allows no namespaces, and say so."""
    ended = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        pytest.skip(ended.stderr.strip().splitlines()[-1])


def test_the_chain_survives_its_links() -> None:
    allowed()
    command = [sys.executable, "-m", "gridwitness.cli", "sim", "torment", "--json"]
    faults = ["--faults", "partition,loss", "--longest", "1", "--minutes", "0"]
    ended = subprocess.run([*command, *faults], capture_output=True, text=True, check=False)
    if "no TUN device" in ended.stderr:
        pytest.skip(ended.stderr.strip().splitlines()[-1])
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    assert (found["failures"], found["double_signs"], found["faults"]) == ([], [], 2)
    assert found["slowest_recovery_s"] <= found["recovery_bound_s"]
    assert ended.stderr.count("packets lost") == 2
