"""The configuration is refused whole, by name, before anything starts."""

from pathlib import Path

import pytest

from gateway import config
from gateway.config_table import BadConfiguration
from gateway.registered import registration
from tests.gateway.world import GOOD, make_genesis
from wire.errors import Refused

TCP = 'kind = "tcp"\nhost = "127.0.0.1"\ntcp_port = 502'
RTU = 'kind = "rtu"\nport = "/dev/ttyUSB0"\n'


def load(tmp_path: Path, text: str) -> config.GatewayConfig:
    path = tmp_path / "gateway.toml"
    path.write_text(text)
    return config.load(path)


def test_paths_are_relative_to_the_files_folder(tmp_path: Path) -> None:
    found = load(tmp_path, GOOD)
    assert found.spool == tmp_path / "spool.sqlite"
    assert found.mqtt.ca == tmp_path / "ca.pem"
    assert found.paced_time_file is None
    assert found.buses[0].meters[0].unit == 1


@pytest.mark.parametrize(
    ("keys", "bits"),
    [
        ("", 10),
        ('parity = "even"', 11),
        ('parity = "even"\nstopbits = 2', 12),
        ("stopbits = 2", 11),
    ],
)
def test_a_serial_line_has_the_parity_and_stop_bits_of_its_meters(
    tmp_path: Path, keys: str, bits: int
) -> None:
    [bus] = load(tmp_path, GOOD.replace(TCP, RTU + keys, 1)).buses
    assert bus.character_bits == bits


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('id = "gw-1"', 'id = "gw-1"\ncolour = "red"', "unknown keys: colour"),
        ("max_wait_s = 60", 'max_wait_s = 60\nmode = "x"', "unknown keys: mode"),
        ("max_wait_s = 60", 'max_wait_s = "60"', "max_wait_s needs a whole number"),
        ("max_readings = 500", "max_readings = 5000", "max_readings is 5000; it can be 1 to 1000"),
        ('status = "127.0.0.1:1"', 'status = "1"', "host:port"),
        ('kind = "tcp"', 'kind = "usb"', "it can be rtu, tcp or iec62056-21"),
        (TCP, f'{RTU}parity = "mark"', "parity is 'mark'; it can be none, even, odd"),
        (TCP, f"{RTU}stopbits = 3", "stopbits is 3; it can be 1 to 2"),
        ("unit = 2", "unit = 1", "unit 1 stands twice"),
        ("unit = 2", "unit = 300", "it can be 1 to 247"),
        ('id = "m2"', 'id = "m1"', "meter m1 stands twice"),
        ('name = "b"', "name = true", "name needs text"),
        ("spool = ", "spol = ", "spool is missing; spol stands there"),
        ("spool.sqlite", "spool.signstate", "spool ends in .sqlite"),
        ("[place]", "[plaice]", "[place] is missing; plaice stands there"),
        ("id = ", "# id = ", "id is missing$"),
        ("timeout_ms = 100", 'timeout_ms = "1"', "needs a whole number"),
        ("paced_time_file", "wait_for_time", "wait_for_time needs true or false"),
        ("[batches]", "[[batches]]", "not a table"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, before: str, after: str, words: str) -> None:
    assert before in GOOD
    with pytest.raises(BadConfiguration, match=words.replace("[", r"\[")):
        load(tmp_path, GOOD.replace(before, after, 1))


@pytest.mark.parametrize("text", ["id = ", "a = " + "[" * 5_000, "a = " + "9" * 5_000], ids=len)
def test_text_that_is_no_toml_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadConfiguration, match="not TOML"):
        load(tmp_path, text)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('id = "m2"', 'id = "stranger"', "meter stranger is not in the genesis registry"),
        ('id = "gw-1"', 'id = "gw-9"', "gateway gw-9 is not in the genesis registry"),
        ('template = "eastron-sdm630"', 'template = "gridwitness"', "m1 cannot sign"),
        ('template = "gridwitness"', 'template = "eastron-sdm120"', "m2 signs"),
        ('template = "eastron-sdm630"', 'template = "abacus"', "no template 'abacus'"),
    ],
)
def test_configuration_and_registry_must_agree(
    tmp_path: Path, before: str, after: str, words: str
) -> None:
    settings = load(tmp_path, GOOD.replace(before, after, 1))
    with pytest.raises(Exception, match=words) as caught:
        registration(settings, make_genesis().genesis)
    assert type(caught.value).__name__ in ("BadConfiguration", "UnknownTemplate")


def test_a_meter_of_another_reader_is_not_polled(tmp_path: Path) -> None:
    world = make_genesis(reader="gw-2")
    with pytest.raises(BadConfiguration, match="registered to be read by gw-2"):
        registration(load(tmp_path, GOOD), world.genesis)


READOUT = """
[[bus]]
name = "head"
kind = "iec62056-21"
port = "/dev/ttyUSB7"

[[bus.meter]]
id = "m3"
"""


def test_an_optical_head_needs_little(tmp_path: Path) -> None:
    bus = load(tmp_path, GOOD + READOUT).buses[1]
    assert (bus.readout, bus.baudrate, bus.timeout_ms) == ("sign-on", 300, 10_000)
    assert (bus.meters[0].unit, bus.meters[0].template) == (1, "iec62056-21")


@pytest.mark.parametrize(
    ("added", "words"),
    [
        ('address = "/?!"', "address is up to 40 letters and digits"),
        ('template = "eastron-sdm120"', "head cannot be read with the template eastron-sdm120"),
    ],
)
def test_what_an_optical_head_cannot_do_is_named(tmp_path: Path, added: str, words: str) -> None:
    other = '[[bus.meter]]\nid = "m1"\nunit = 1\ntemplate = "eastron-sdm630"\n'
    text = GOOD.replace(other, "") + READOUT + added
    with pytest.raises(Refused, match=words):
        registration(load(tmp_path, text.replace('"m3"', '"m1"')), make_genesis().genesis)


def test_a_spool_has_one_name_whatever_leads_to_it(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "spool.sqlite").symlink_to(tmp_path / "kept/spool.sqlite")
    assert load(tmp_path, GOOD).spool == tmp_path / "kept/spool.sqlite"
