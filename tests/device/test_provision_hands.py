"""Who cannot read, sign for or keep the papers of a meter is refused before a board is touched."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.provision import enrolling, enrolment, faults, papers, registered
from device.provision.fault import Row
from device.provision.faults import RefusedFault
from device.provision.hands import Commissioner, Hands, Reader, squared_cm
from gridwitness.cli import main
from tests.app.enrolments import TECHNICIAN, enrolling_village, technician_entry, with_technician
from tests.app.village import SITE, gateway_entry, genesis_content, signer
from tests.device.paper_enrolment import enrolment_of
from tests.device.provisioned import Desk, check, fault_of
from tests.node.office import Bureau, served
from validator.app.geometry import Point, within
from validator.desk import Desk as ValidatorsDesk

KNOWN = (technician_entry(TECHNICIAN), technician_entry("tech-mea", "MEA"))
FAR = (480_000_000, 110_000_000)
DEGREES = st.tuples(
    st.integers(-900_000_000, 900_000_000), st.integers(-1_800_000_000, 1_800_000_000)
)


def reader(**changes: Any) -> Reader:
    values: dict[str, Any] = {
        "id": "gw-a",
        "entry": gateway_entry("gw-a"),
        "zone": "z1",
        "site": tuple(SITE),
        "reach_m": 1_200,
    }
    return Reader(**values | changes)


def commissioner(key: str, **changes: Any) -> Commissioner:
    """Somebody who signs with the key of this name."""
    values: dict[str, Any] = {
        "id": TECHNICIAN,
        "key": signer(key).public,
        "technicians": KNOWN,
        "zone": "z1",
        "operator": "PEA",
    }
    return Commissioner(**values | changes)


def refused(row: Row, words: str, hands: Hands) -> None:
    with pytest.raises(RefusedFault) as caught:
        hands.check()
    check(caught.value, row, 1)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": "gw-nope", "entry": None}, "gw-nope reads no meter in zone z1: no gateway"),
        ({"zone": "z2"}, "it serves z1"),
    ],
)
def test_p25_a_reader_that_is_unknown_or_serves_another_zone(
    changes: dict[str, Any], words: str
) -> None:
    refused(faults.UNFIT_READER, words, Hands(commissioner=None, reader=reader(**changes)))


@pytest.mark.parametrize(
    ("key", "name", "words"),
    [
        ("MEA", TECHNICIAN, f"{TECHNICIAN} is registered with the key "),
        (TECHNICIAN, "t-wrong", f"it is registered as that of {TECHNICIAN}"),
        (TECHNICIAN, "tech-mea", f"it is registered as that of {TECHNICIAN}"),
        ("nobody", "t-new", "no technician of this name or key is registered"),
        ("nobody", "", "no technician of this name or key is registered"),
    ],
)
def test_p26_a_technicians_name_and_key_belong_together(key: str, name: str, words: str) -> None:
    hands = Hands(commissioner=commissioner(key, id=name), reader=reader())
    refused(faults.UNFIT_TECHNICIAN, words, hands)


def test_p27_a_technician_of_another_operator() -> None:
    hands = Hands(commissioner=commissioner("tech-mea", id=""), reader=None)
    refused(faults.FOREIGN_TECHNICIAN, "tech-mea works for MEA, and zone z1 is run by PEA", hands)


def test_p28_a_site_out_of_the_readers_reach() -> None:
    hands = Hands(commissioner=None, reader=reader(site=FAR))
    refused(faults.OUT_OF_REACH, "km from gateway gw-a at 13.", hands)
    lat, lon = SITE
    beyond = Hands(commissioner=None, reader=reader(site=(lat + 120_000, lon)))
    refused(faults.OUT_OF_REACH, "The site is 1335 m from", beyond)


def test_those_who_can_are_let_through_and_a_stranger_may_make_a_meter_without_enrolling_it() -> (
    None
):
    assert Hands(commissioner=commissioner(TECHNICIAN), reader=reader()).check() == []
    assert Hands(commissioner=commissioner(TECHNICIAN, id=""), reader=None).check() == []
    [warning] = Hands(commissioner=commissioner("nobody", id="t-new"), reader=None).check()
    assert "no enrolment that t-new signed" in warning


@given(DEGREES, DEGREES, st.integers(0, 1_000_000), st.integers(0, 30_000_000))
def test_reach_is_the_validators_rule(
    one: tuple[int, int], other: tuple[int, int], cos_ppm: int, reach_m: int
) -> None:
    near = squared_cm(one, other, cos_ppm) <= (reach_m * 100) ** 2
    assert near == within(Point(*one), Point(*other), cos_ppm, reach_m)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr("device.provision.console._ANSWER_LIMIT_S", 2.5)
    made = Desk(tmp_path / "desk")
    yield made
    made.close()


def test_the_board_of_somebody_who_cannot_sign_stays_as_it_was(desk: Desk) -> None:
    hands = Hands(commissioner=commissioner("MEA"), reader=reader())
    check(fault_of(desk, hands=hands), faults.UNFIT_TECHNICIAN, 1)
    assert desk.files() == {}


def test_gateways_and_technicians_are_known_from_genesis_and_from_a_validator(
    tmp_path: Path,
) -> None:
    content = genesis_content()
    with_technician(content)
    path = tmp_path / "genesis.json"
    path.write_text(json.dumps(content))
    gateway = json.loads(json.dumps(gateway_entry("gw-a")))
    assert registered.gateway_from_genesis(path, "gw-a") == gateway
    assert registered.gateway_from_genesis(path, "gw-nope") is None
    assert registered.technicians_from_genesis(path) == list(KNOWN)

    def edit(content: dict[str, Any]) -> None:
        content["technicians"] = list(KNOWN)

    bureau = Bureau(tmp_path, edit=edit, reach_m=900)
    bureau.grow(1)
    with served(bureau) as address:
        validator = ValidatorsDesk(f"http://{address}")
        assert registered.gateway_from_validator(validator, "gw-a") == gateway
        assert registered.gateway_from_validator(validator, "gw-nope") is None
        assert registered.technicians_from_validator(validator) == list(KNOWN)
        assert registered.reach_from_validator(validator) == 900
        validator.close()
    bureau.close()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        (["--reader", "gw-nope"], "P-25 Gateway gw-nope"),
        (["--site", "48.0,11.0"], "P-28 The site is "),
        (["--technician", "t-9"], "P-26 The key "),
    ],
)
def test_the_command_refuses_what_the_genesis_file_does_not_know(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: list[str], code: str
) -> None:
    content = genesis_content()
    with_technician(content)
    genesis = tmp_path / "genesis.json"
    genesis.write_text(json.dumps(content))
    lat, lon = (each / 10**7 for each in SITE)
    options = ["--simulate", "--meter", "M-1", "--node", "n3", "--zone", "z1", "--shared-node"]
    options += ["--service-a", "63", "--genesis", str(genesis), "--out", str(tmp_path)]
    options += ["--reader", "gw-a", "--site", f"{lat},{lon}", *changes]
    assert main(["meter", "provision", *options]) == 11
    assert capsys.readouterr().err.startswith(code)


def test_p29_papers_that_could_not_be_kept_are_refused_before_anything_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    options = ["--simulate", "--folder", str(tmp_path / "board"), "--meter", "M-1"]
    options += ["--node", "n3", "--zone", "z1", "--out", str(tmp_path / "file")]
    assert main(["meter", "provision", *options]) == 11
    said = capsys.readouterr()
    assert said.err.startswith("P-29 The papers could not be kept: ")
    assert "Not a directory" in said.err
    assert said.out == ""
    (tmp_path / "out" / "key.der").mkdir(parents=True)
    with pytest.raises(RefusedFault, match=r"key\.der: Is a directory") as caught:
        papers.check_folder(tmp_path / "out")
    check(caught.value, faults.NO_PAPERS, 1)


def test_what_is_still_to_be_done_names_the_command_and_the_first_interval(tmp_path: Path) -> None:
    made = enrolment_of(enrolling_village().genesis)
    path = tmp_path / "M 1.gwe"
    enrolment.write(path, made)
    to_send = enrolling.of_papers([tmp_path / "key.der", path])
    assert to_send is not None
    first, second = to_send.words(Path("genesis.json"), None)
    command = f"gridwitness meter enrol '{path}' --genesis genesis.json --operator-key KEY"
    assert first == f"Not enrolled yet: {command} --validator URL"
    assert second.startswith("Counts from 20")
    assert enrolling.of_papers([tmp_path / "key.der"]) is None


def test_an_enrolment_whose_first_interval_has_begun_is_replaced_and_another_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genesis = enrolling_village().genesis
    path = tmp_path / "M.gwe"
    first, second = enrolment_of(genesis, slot=2), enrolment_of(genesis, slot=9)
    enrolment.write(path, first)
    monkeypatch.setattr("time.time", lambda: first.from_s - 1.0)
    papers._write_enrolment(path, second)
    assert enrolment.read(path).id == first.id
    monkeypatch.setattr("time.time", lambda: first.from_s + 1.0)
    papers._write_enrolment(path, second)
    assert enrolment.read(path).id == second.id
