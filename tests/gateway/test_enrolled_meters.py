"""A meter that the genesis file does not know is polled by what its signed enrolment says."""

from pathlib import Path
from typing import Any

import pytest

from gateway import config
from gateway.config_table import BadConfiguration
from gateway.registered import PolledMeter, Registration, SigningMeter, registration
from tests.app.enrolments import (
    NEW,
    TECHNICIAN,
    Enrolment,
    enrolling_village,
    retire,
    starts,
)
from tests.app.registry_kinds import signed
from tests.app.village import meter_entry, signer
from tests.gateway.world import GOOD
from wire.genesis import Genesis
from wire.transaction_bodies import Entry

GENESIS = enrolling_village().genesis
BUSES = GOOD.index("[[bus]]")
ONE_METER = (
    GOOD[:BUSES].replace('"gw-1"', '"gw-a"')
    + f"""
[[bus]]
name = "b"
kind = "rtu"
port = "/dev/null"

[[bus.meter]]
id = "{NEW}"
unit = 9
template = "gridwitness"
enrolment = "{NEW}.enrolment"
"""
)


def registered(folder: Path, enrolment: bytes | None, genesis: Genesis = GENESIS) -> Registration:
    (folder / "gateway.toml").write_text(ONE_METER)
    if enrolment is not None:
        (folder / f"{NEW}.enrolment").write_bytes(enrolment)
    return registration(config.load(folder / "gateway.toml"), genesis)


def test_node_and_key_come_from_the_enrolment(tmp_path: Path) -> None:
    found = registered(tmp_path, Enrolment(GENESIS).transaction().encoded)
    [(_, meters)] = found.buses
    assert meters == (SigningMeter(NEW, 9, "n3", signer(NEW).public),)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "another network's": ({"network": bytes(32)}, "enrols no meter c9 of village-"),
    "another meter's": ({"meter": "c8"}, "enrols no meter c9 of village-"),
    "not signed by the operator": ({"signers": (NEW, TECHNICIAN)}, "does not stand: the key"),
    "not signed by the meter": ({"signers": ("PEA",)}, "does not stand: the key"),
    "commissioned by nobody known": ({"record_signers": (NEW, "PEA")}, "the technician's key"),
    "of another node than commissioned": ({"record": {"node": "n2"}}, "speaks of another node"),
    "with a configuration that is none": ({"entry": {"configuration_id": "x"}}, "not hexadecimal"),
    "of an unknown zone": ({"entry": {"zone": "z9"}}, "zone z9 is not in the genesis registry"),
    "of a meter that another gateway reads": (
        {"entry": {"reader": "gw-b"}},
        "registered to be read by gw-b",
    ),
    "with a key that is none": ({"entry": {"key": 5}}, "does not stand: not a key"),
}


@pytest.mark.parametrize(("changes", "words"), WRONG.values(), ids=WRONG.keys())
def test_an_enrolment_that_does_not_fit_is_refused_in_words(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadConfiguration, match=words):
        registered(tmp_path, Enrolment(GENESIS, **changes).transaction().encoded)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, r"the enrolment .*c9\.enrolment: No such file"),
        (b"", "does not stand: it is empty"),
        (retire(GENESIS, NEW, 2).encoded, "it enrols no meter"),
    ],
    ids=["missing", "no transaction", "a retirement"],
)
def test_a_file_that_is_no_enrolment_is_refused_in_words(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    with pytest.raises(BadConfiguration, match=words):
        registered(tmp_path, content)


READ = Entry("add-meter", meter_entry(NEW, "n3", "customer", key=""), starts(2))


def read_meter(folder: Path, *signers: str, body: Entry = READ) -> Registration:
    text = ONE_METER.replace('template = "gridwitness"', 'template = "eastron-sdm120"')
    (folder / "gateway.toml").write_text(text)
    (folder / f"{NEW}.enrolment").write_bytes(signed(body, signers, GENESIS).encoded)
    return registration(config.load(folder / "gateway.toml"), GENESIS)


def test_a_meter_that_cannot_sign_is_polled_by_what_its_operator_signed(tmp_path: Path) -> None:
    [(_, [found])] = read_meter(tmp_path, "PEA", TECHNICIAN, "gw-a reader").buses
    assert isinstance(found, PolledMeter)
    assert (found.id, found.unit, found.subject.node) == (NEW, 9, "n3")


@pytest.mark.parametrize(
    ("signers", "changes", "words"),
    [
        (("MEA", "gw-a reader"), {}, "does not stand: the key"),
        (("PEA",), {"key": signer(NEW).public.text}, "a key of its own, which has not signed"),
        (("PEA",), {"reader": "gw-b"}, "registered to be read by gw-b"),
        (("PEA",), {"id": "c8"}, "enrols no meter c9"),
    ],
    ids=["by another operator", "with a key", "read by another", "another meter"],
)
def test_a_meter_that_cannot_sign_is_not_taken_from_anybody(
    tmp_path: Path, signers: tuple[str, ...], changes: dict[str, Any], words: str
) -> None:
    body = Entry("add-meter", dict(READ.entry) | changes, READ.from_s)
    with pytest.raises(BadConfiguration, match=words):
        read_meter(tmp_path, *signers, body=body)


def test_without_an_enrolment_the_cure_is_named(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(ONE_METER.replace(f"{NEW}.enrolment", ""))
    with pytest.raises(BadConfiguration, match="enrol it and name the signed file"):
        registration(config.load(tmp_path / "gateway.toml"), GENESIS)
