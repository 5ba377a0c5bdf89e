import subprocess
import sys
import time
from pathlib import Path

import pytest

from gridwitness import cli
from gridwitness.clock import PacedTimeNotAllowed, clock_for


def test_an_expected_error_is_one_line_and_a_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "something").touch()
    assert cli.main(["network", "init", "--dir", str(tmp_path)]) == cli.REFUSED
    words = capsys.readouterr().err.splitlines()[-1]
    assert words == (
        f"gridwitness: refused: {tmp_path} is not empty: give another folder, or remove it yourself"
    )


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--help"])
    help_text = capsys.readouterr().out
    assert [command for command in cli.COMMANDS if command not in help_text] == []


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; from gridwitness.cli import parser_for; parser_for(['--help']);"
        "print(*({'pymodbus', 'paho', 'fastapi', 'uvicorn', 'pkcs11', 'pandapower', 'simbench'}"
        " & sys.modules.keys()))"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert said.stdout.split() == []


def test_in_life_network_time_is_the_machines() -> None:
    clock = clock_for(None, paced_time=False)
    now_ms = clock.now_ms()
    assert abs(now_ms - time.time() * 1_000) < 60_000
    assert clock.real_s_until(now_ms - 1_000) == 0
    assert 3_590 < clock.real_s_until(now_ms + 3_600_000) <= 3_600


def test_a_production_genesis_refuses_a_paced_clock(tmp_path: Path) -> None:
    with pytest.raises(PacedTimeNotAllowed):
        clock_for(tmp_path / "pace", paced_time=False)


def test_a_paced_genesis_refuses_the_machines_clock() -> None:
    with pytest.raises(PacedTimeNotAllowed):
        clock_for(None, paced_time=True)
