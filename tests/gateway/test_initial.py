"""`gateway init`: every key is explained, and nothing is written over."""

import re
from pathlib import Path

import pytest

from gateway import config, config_token
from gateway.operation import initial
from gateway.operation.initial import Answers
from gridwitness.cli import main

RTU = ("--serial", "/dev/ttyUSB0", "--meter", "m1:1:eastron-sdm630", "--meter", "m2:2:gridwitness")
COMMON = ["--id", "gw-1", "--broker", "b.example:8883"]
COMMON += ["--latitude", "13.7563", "--longitude", "-100.5018"]


def init(path: Path, *words: str) -> int:
    return main(["gateway", "init", str(path), *COMMON, *words])


def text_for(bus: str) -> str:
    where = ("127.0.0.1", 502) if bus == "tcp" else ("/dev/ttyUSB0", 0)
    meters = (("m1", 1, "eastron-sdm630"),)
    token = ("pkcs11:token=t", "pkcs11:token=t", "")
    return initial.text_of(
        Answers("gw", "g", ("b", 1), ("a", "c", "k"), token, (1, 2), 3, bus, where, "none", meters)
    )


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    assert init(path, *RTU) == 0
    found = config.load(path)
    assert (found.id, found.mqtt.host, found.mqtt.port) == ("gw-1", "b.example", 8883)
    assert (found.place.lat_e7, found.place.lon_e7) == (137_563_000, -1_005_018_000)
    assert [(each.id, each.unit, each.template) for each in found.buses[0].meters] == [
        ("m1", 1, "eastron-sdm630"),
        ("m2", 2, "gridwitness"),
    ]


@pytest.mark.parametrize(
    ("words", "readout", "baudrate"),
    [
        (("--tcp", "10.0.0.7:502", "--meter", "m1:9:abb-b23"), "", 9_600),
        (("--serial", "/dev/x", "--baudrate", "19200", "--parity", "even"), "", 19_200),
        (("--readout", "/dev/head", "--meter", "m1"), "sign-on", 300),
        (("--push", "/dev/head", "--baudrate", "115200", "--meter", "m1"), "push", 115_200),
    ],
)
def test_each_kind_of_bus_can_be_begun_with(
    tmp_path: Path, words: tuple[str, ...], readout: str, baudrate: int
) -> None:
    path = tmp_path / "gateway.toml"
    assert init(path, *words) == 0
    bus = config.load(path).buses[0]
    assert (bus.readout, bus.baudrate) == (readout, baudrate)


def test_a_file_that_is_there_is_never_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text("mine")
    assert init(path, *RTU) != 0
    assert path.read_text() == "mine"
    assert "is not written over" in capsys.readouterr().err


def test_answers_that_make_no_sense_leave_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gateway.toml"
    assert init(path, "--serial", "/dev/x", "--meter", "m1:300:eastron-sdm630") != 0
    assert init(path, "--serial", "/dev/x", "--meter", "m1:1:") != 0
    assert not path.exists()
    assert "it can be 1 to 247" in capsys.readouterr().err


def test_every_key_of_the_configuration_is_explained() -> None:
    """Keys are found in the code that takes them, so that none is forgotten here."""
    code = "".join(Path(str(each.__file__)).read_text() for each in (config, config_token))
    taking = r"(?:take|number|one_of|path|optional_path|table|tables|_address|has)"
    keys = set(re.findall(taking + r'\((?:\w+, )?"(\w+)"', code))
    assert {"lat_e7", "enrolment", "status", "parity", "templates"} <= keys
    written = "".join(text_for(bus) for bus in ("rtu", "tcp", "push", "sign-on"))
    explained = set(re.findall(r"^(?:# )?(\w+) = ", written, re.MULTILINE))
    explained |= {name.split(".")[-1] for name in re.findall(r"^\[+([\w.]+)\]+", written, re.M)}
    assert keys - explained == set()
    assert explained - keys == set()


def test_no_line_of_the_file_is_too_long_for_a_terminal() -> None:
    assert all(len(line) <= 100 for bus in ("rtu", "tcp") for line in text_for(bus).splitlines())


def test_odd_characters_stay_what_they_are(tmp_path: Path) -> None:
    odd = 'gw "1" \\ é'
    path = tmp_path / "gateway.toml"
    assert main(["gateway", "init", str(path), "--id", odd, *COMMON[2:], *RTU]) == 0
    assert config.load(path).id == odd


def test_a_bad_answer_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        init(tmp_path / "gateway.toml", "--tcp", "nowhere")
    assert "argument --tcp" in capsys.readouterr().err


def test_an_unknown_template_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gateway.toml"
    assert init(path, "--serial", "/dev/x", "--meter", "m1:1:abacus") == 1
    assert "no template 'abacus'; there are abb-b23" in capsys.readouterr().err
    assert not path.exists()


def test_certificates_may_lie_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    words = ("--broker-ca", "ca/root.pem", "--certificate", "/etc/c.pem", "--key", "/etc/k.pem")
    assert init(path, *words, *RTU) == 0
    mqtt = config.load(path).mqtt
    assert mqtt.ca == tmp_path / "ca/root.pem"
    assert (mqtt.certificate, mqtt.key) == (Path("/etc/c.pem"), Path("/etc/k.pem"))
