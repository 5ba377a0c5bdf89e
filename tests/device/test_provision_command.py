"""`gridwitness meter`: what the commands print and how they end, against a simulated board."""

import base64
import contextlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from device.provision import asked, looking, ports
from device.provision.steps import NOBODY_ASKED
from gridwitness.cli import main
from hsm import filekey
from tests.device.provisioned import METER, NODE, ZONE
from wire import cbor
from wire.commissioning import CommissioningRecord
from wire.keys import PublicKey
from wire.reading import SignedReading

PROVISION = ["--meter", METER, "--node", NODE, "--zone", ZONE, "--no-lock"]


def meter(verb: str, folder: Path, *arguments: str) -> int:
    return main(["meter", verb, "--simulate", "--folder", str(folder), *arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a simulated board that is a meter."""
    made = tmp_path_factory.mktemp("simulated")
    arguments = [*PROVISION, "--json", "--out", str(made)]
    with (made / "told").open("w") as told, contextlib.redirect_stdout(told):
        assert meter("provision", made / "board", *arguments) == 0
    return made


def key_of(folder: Path) -> PublicKey:
    report = json.loads((folder / METER / "report.json").read_text())
    return PublicKey.from_text(report["key"]["text"])


def test_a_simulated_meter_is_made_with_all_its_papers(folder: Path) -> None:
    record = CommissioningRecord.open((folder / METER / "commissioning.cbor").read_bytes())
    technician = filekey.load(folder / "board" / "technician.pem", b"simulated")
    record.verify(key_of(folder), technician.public)
    assert json.loads((folder / METER / "report.json").read_text())["simulated"] is True


def test_json_is_one_object_a_step_and_a_last_one(folder: Path) -> None:
    lines = [json.loads(line) for line in (folder / "told").read_text().splitlines()]
    assert [line.get("step") for line in lines] == [*range(1, 9), None]
    assert all(Path(path).exists() for path in lines[-1]["papers"])
    assert lines[-1]["look"] == [NOBODY_ASKED], "neither --genesis nor --validator was given"


@pytest.mark.parametrize("form", ["text", "kid", "pem", "der", "cose"])
def test_the_key_comes_in_every_usual_form(folder: Path, tmp_path: Path, form: str) -> None:
    path = tmp_path / "key"
    assert meter("key", folder / "board", "--form", form, "--out", str(path)) == 0
    data, key = path.read_bytes(), key_of(folder)
    spki = (folder / METER / "key.der").read_bytes()
    if form == "pem":
        load_pem_public_key(data)
        assert base64.b64decode(b"".join(data.splitlines()[1:-1])) == spki
    else:
        expected = {
            "text": key.text.encode() + b"\n",
            "kid": key.kid.hex().encode() + b"\n",
            "der": spki,
            "cose": cbor.encode(key.to_cose()),
        }
        assert data == expected[form]


def test_a_check_of_another_meter_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert meter("check", folder / "board", "--meter", "another") == 11
    assert capsys.readouterr().err.startswith("P-12 ")


def test_reading_shows_the_key_and_only_records_that_verify(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert meter("read", folder / "board") == 0
    first, *others = capsys.readouterr().out.splitlines()
    kid = key_of(folder).kid.hex()
    assert first == f"meter {METER}, unit 1 at 9600 baud, key kid {kid}"
    assert any("power up" in line for line in others), "what the meter has signed by itself"


def test_a_meter_is_read_over_its_line_as_over_its_console(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert meter("read", folder / "board", "--line", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["meter"], told["key"]) == (METER, key_of(folder).text)
    over_line = SignedReading.open(bytes.fromhex(told["record"]["signed"]))
    over_line.verify(key_of(folder))
    assert meter("read", folder / "board", "--json", "--count", "99") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert over_line.encoded.hex() in [line.get("signed") for line in lines]


def test_a_record_of_nobody_is_not_believed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Log:
        """A board whose log holds something else."""

        def ask(self, code: str) -> object:
            return (0, 2, 0, 0) if "tail" in code else b"no record"

    found = list(looking.records(Log(), key_of(folder), 5))  # type: ignore[arg-type]
    assert [each.signed for each in found] == [None, None]


def test_a_probe_says_who_is_there_and_who_is_not(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from gridwitness.meter_simulation import simulated_meter

    with simulated_meter(folder / "board") as simulated:
        assert main(["meter", "probe", "--port", simulated.port]) == 0
        assert f"meter {METER}" in capsys.readouterr().out
    assert main(["meter", "probe", "--port", str(tmp_path / "none")]) == 11
    assert "P-02" in capsys.readouterr().out


def test_without_a_port_a_probe_looks_at_all_usb_ports(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ports, "there", list)
    assert main(["meter", "probe"]) == 11
    assert capsys.readouterr().err.startswith("P-01 ")


def test_the_questions_never_ask_for_the_secret() -> None:
    asked_for = "".join(value for value in vars(asked).values() if isinstance(value, str))
    assert "print(keys.load_key" not in asked_for
    assert "_secret" not in asked_for


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--meter", "../M 1", "--meter: not an identifier"),
        ("--node", "", "--node: not an identifier"),
        ("--unit", "400", "--unit is a Modbus unit"),
        ("--technician", "x" * 25, "--technician has at most 24"),
    ],
)
def test_what_a_board_would_refuse_is_refused_before_it_is_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, words: str
) -> None:
    assert meter("provision", tmp_path / "board", *PROVISION, option, value) == 11
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"P-17 {words}")


@pytest.mark.parametrize(
    ("option", "value"), [("--site", "here"), ("--site", "99,0"), ("--ct", "5"), ("--element", "{")]
)
def test_a_wrong_option_says_how_it_is_written(
    capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    with pytest.raises(SystemExit):
        main(["meter", "provision", *PROVISION, option, value])
    assert f"not {value!r}" in capsys.readouterr().err


def test_ctrl_c_is_one_line_and_a_status_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pressed() -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(ports, "only_board", pressed)
    assert main(["meter", "key"]) == 130
    assert capsys.readouterr().err.startswith("interrupted: the same command again")


def test_records_that_were_read_are_a_file_for_verify_and_export(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, key = str(tmp_path / "records.gwr"), str(folder / METER / "key.der")
    assert meter("read", folder / "board", "--out", file) == 0
    assert main(["verify", file, "--key", key]) == 0
    capsys.readouterr()
    assert main(["meter", "export", file, "--json", "--key", key]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["meter"] == METER
