"""A gateway that lacks a file is told which key names it, by run, check and doctor alike."""

import json
from pathlib import Path

import pytest

from gateway import config
from gateway.config_table import BadConfiguration
from gateway.operation import doctor, needed
from gridwitness.cli import main


@pytest.fixture
def fresh(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The file that init writes, with nothing beside it."""
    path = tmp_path / "gateway.toml"
    words = ["--id", "gw-1", "--broker", "b.example:8883", "--latitude", "1", "--longitude", "2"]
    assert main(["gateway", "init", str(path), *words, "--serial", "/dev/ttyUSB0"]) == 0
    capsys.readouterr()
    return path


def test_run_names_each_missing_file_and_its_key(
    fresh: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gateway", "run", str(fresh)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"genesis: {fresh.parent}/genesis.json is not there: the network's operator" in said
    assert f"mqtt.certificate: {fresh.parent}/gateway.pem is not there" in said


def test_check_lists_everything_that_is_missing(
    fresh: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = fresh.read_text().replace('"pkcs11:token=gridwitness;object=reader?', '"pkcs11:x=1?')
    text = text.replace("# witness_next = ", 'witness_next = "pkcs11:token=t?pin-value=1" # ')
    fresh.write_text(text.replace('"spool.sqlite"', '"away/spool.sqlite"'))
    assert main(["gateway", "check", str(fresh)]) == 1
    keys = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert keys == [
        *("genesis", "mqtt.ca", "mqtt.certificate", "mqtt.key", "spool"),
        *("token.reader", "token.witness_next"),
    ]
    assert main(["gateway", "check", str(fresh), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert not told["good"]
    assert "a PIN does not belong into a URI" in told["wrong"][-1]


def test_doctor_names_the_file_that_is_missing(fresh: Path) -> None:
    settings = config.load(fresh)
    for name, check in (("genesis.json", doctor._registry), ("ca.pem", doctor._authority)):
        finding = doctor._finding("x", check, settings)
        assert f"{name} is not there" in finding.words
    assert "gateway.pem is not there" in doctor._finding("x", doctor._broker, settings).words


def test_a_spool_without_a_name_or_on_a_folder_is_refused(fresh: Path) -> None:
    text = fresh.read_text()
    (fresh.parent / "folder.sqlite").mkdir()
    fresh.write_text(text.replace('"spool.sqlite"', '"folder.sqlite"'))
    assert any("is a folder" in words for words in needed.wrong_with(config.load(fresh)))
    fresh.write_text(text.replace('"spool.sqlite"', '""'))
    with pytest.raises(BadConfiguration, match="spool needs the path of a file"):
        config.load(fresh)
