"""`gridwitness gateway scan | probe | read | sniff` on a line of simulated meters."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.meters.decode import Registers
from gridwitness.cli import main
from tests.gateway.meters_on_a_line import METERS, OnTheLine, configured, line_text

SIM = "from gridwitness.cli import main; exit(main())"
SDM630, EM340, ABB = 1, 2, 3
ON_IT = (METERS[1], OnTheLine("", "carlo-gavazzi-em340", Registers(0, 0)), METERS[6])
BABBLER = f"""
[[device]]
model = "peacefair-pzem"
unit = 4
baudrate = 115200
bits = "8N1"
[[device.fault]]
name = "babbling"
every_s = 0.1
says = "{bytes.fromhex("0404000000 0271 9E").hex()}"
"""


def served(folder: Path, text: str) -> Iterator[str]:
    file = folder / "line.toml"
    file.write_text(text)
    command = [sys.executable, "-c", SIM, "sim", "line", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


@pytest.fixture(scope="module")
def toml(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("line")
    for port in served(folder, line_text(*ON_IT)):
        configured(
            folder,
            port,
            ("m1", SDM630, "eastron-sdm630"),
            ("m2", EM340, "carlo-gavazzi-em340"),
            ("m3", ABB, "abb-b23"),
            ("m4", 4, "gridwitness"),
        )
        yield folder / "gateway.toml"


Gateway = Callable[..., tuple[int, str, str]]


@pytest.fixture
def gateway(toml: Path, capsys: pytest.CaptureFixture[str]) -> Gateway:
    def run(verb: str, *words: str) -> tuple[int, str, str]:
        status = main(["gateway", verb, str(toml), "--timeout-ms", "100", *words])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_scan_says_who_is_there_and_how_it_asked(gateway: Gateway) -> None:
    status, out, err = gateway("scan", "--units", "1-4")
    assert status == 0
    assert "bus line, on a line of our own" in err
    assert out.splitlines() == [
        "115200 8N1: 3 answer",
        "  unit   1  eastron-sdm630  mean voltage, V 230, frequency, Hz 50 (a hint, not its name)",
        "  unit   2  carlo-gavazzi-em340  identification code 0155; "
        "WRONG: measurement mode is 0000",
        "  unit   2  carlo-gavazzi-em340-import  identification code 0155",
        "  unit   3  abb-b23  type designation 'B23 '",
    ]


def test_scan_and_probe_speak_json(gateway: Gateway) -> None:
    status, out, _ = gateway("scan", "--units", "3", "--json")
    report: dict[str, Any] = json.loads(out)
    assert status == 0
    (unit,) = report["lines"][0]["units"]
    assert (unit["unit"], unit["templates"][0]["template"]) == (ABB, "abb-b23")
    status, out, _ = gateway("probe", "2", "--template", "carlo-gavazzi-em340", "--json")
    assert status == 1
    (held,) = json.loads(out)["templates"]
    assert held["matches"]
    assert held["modes"][0]["verdict"] == "differs"


def test_probe_tells_the_harm_of_a_wrong_mode(gateway: Gateway) -> None:
    status, out, _ = gateway("probe", "2", "--template", "carlo-gavazzi-em340")
    assert status == 1
    assert "BAD measurement mode: 0000" in out
    assert "counts up whatever its direction" in out
    assert "doubt: " in out
    assert (
        "  reads import and export in steps of 100 Wh, which can be set to 0; ex works 9600 8N1\n"
    ) in out
    status, out, _ = gateway("probe", "3")
    assert status == 0
    assert "unit 3: abb-b23 fits" in out
    status, _, err = gateway("probe", "9")
    assert status == 75
    assert "nobody answers at unit 9" in err
    status, _, err = gateway("probe", "999")
    assert (status, "a meter's address is 1 to 247" in err) == (2, True)


def test_read_shows_energy_and_where_it_came_from(gateway: Gateway) -> None:
    status, out, _ = gateway("read", "--meter", "m3", "--json")
    assert status == 0
    (report,) = json.loads(out)
    assert (report["import_wh"], report["export_wh"]) == (1_234_560, 98_760)
    assert report["words"] == "000000000001e2400000000000002694"


def test_read_reads_all_meters_and_names_those_that_it_cannot(gateway: Gateway) -> None:
    status, out, err = gateway("read")
    assert status == 1
    assert out.count("import 1234560 Wh, export 98760 Wh") == 2
    assert "m2: unit 2: measurement mode is 0000" in err
    assert "m4" not in out + err


def test_read_shows_raw_registers_with_guesses(gateway: Gateway) -> None:
    words = ("--raw", "--unit", "1", "--function", "4", "--address", "0x48", "--count", "4")
    status, out, _ = gateway("read", *words)
    assert status == 0
    assert out.startswith("0x0048  449a  ")
    assert "float32 1234.56" in out
    rows = json.loads(gateway("read", *words, "--json")[1])
    assert [row["word"] for row in rows] == [0x449A, 0x51EC, 0x42C5, 0x851F]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("read", "--meter", "m2"), "counts up whatever its direction"),
        (("read", "--meter", "m4"), "signs its readings"),
        (("read", "--meter", "m9"), "no meter 'm9'"),
        (("read", "--raw", "--count", "126"), "1 to 125 registers"),
        (("read", "--raw", "--unit", "1", "--address", "0x7000"), "exception 2"),
        (("scan", "--units", "0-9"), "--units: units can be 1 to 247"),
        (("scan", "--bus", "other"), "no bus 'other'; there are line"),
        (("probe", "1", "--template", "abacus"), "no template 'abacus'"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    gateway: Gateway, words: tuple[str, ...], said: str
) -> None:
    status, out, err = gateway(*words)
    assert status != 0
    assert out == ""
    assert said in err
    assert "Traceback" not in err


def test_sniff_prints_what_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for port in served(tmp_path, 'baudrate = 115200\nbits = "8N1"\n' + BABBLER):
        configured(tmp_path, port)
        words = ["gateway", "sniff", str(tmp_path / "gateway.toml"), "--for", "0.5", "--json"]
        assert main(words) == 0
    said = capsys.readouterr()
    seen = [json.loads(line) for line in said.out.splitlines()]
    assert len(seen) >= 2
    assert said.err.splitlines() == [
        "bus line, on a line of our own: listening",
        f"{len(seen)} frames",
    ]
    whole = [each for each in seen if each["whole"]]
    assert whole[0]["unit"] == 4
    assert whole[0]["says"] == "asked by function 4: 2 registers from 0x0000"
