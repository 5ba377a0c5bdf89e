import subprocess
import sys
import time
from pathlib import Path

import pytest

from device.provision.keys import signer_of
from gridwitness import cli
from gridwitness.clock import PacedTimeNotAllowed, clock_for
from wire.errors import WrongUsage


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


def test_without_a_command_help_is_shown_and_the_version_when_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main([]) == cli.WRONG_USAGE
    assert "bench" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out.startswith("gridwitness ")


def test_what_waiting_cannot_cure_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bench", "validators", "--readings", "-5"]) == cli.WRONG_USAGE
    (tmp_path / "certificate").write_text("-----BEGIN CERTIFICATE-----")
    for key, words in (
        ("none", "there is no key file"),
        ("", "is a folder"),
        ("certificate", "is a certificate: name the file of the private key"),
    ):
        with pytest.raises(WrongUsage, match=words), signer_of(str(tmp_path / key)):
            pass
    assert "--readings -5" in capsys.readouterr().err


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
