import json
from pathlib import Path

import pytest

from gridwitness import cli
from hwsim.feeder import synthetic_day
from hwsim.scaled_clock import Pacer


def test_a_feeders_day_is_shown_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sim", "feeder"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "synthetic: 5 meters, 3 lines"
    assert [line.split()[0] for line in lines[1:]] == [each.id for each in synthetic_day().meters]


def test_a_feeders_day_is_given_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sim", "feeder", "--json"]) == 0
    day = json.loads(capsys.readouterr().out)
    assert len(day["meters"][0]["import_wh"]) == 97


def test_meters_without_a_day_are_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "meters.json"
    config.write_text('{"pace": "nowhere"}')
    assert cli.main(["sim", "meters", "--config", str(config)]) == cli.REFUSED
    assert capsys.readouterr().err == (
        "gridwitness: refused: the meters' configuration does not name: day\n"
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"pace": 1, "day": 2}', "cannot be read"),
        ('{"pace": "p", "day": "d", "tpc": []}', "unknown keys: tpc"),
        ('{"pace": "p", "day": "d", "register_wh": 0}', "above 0"),
        ('{"pace": "p", "day": "d", "tcp": [{"port": 65536, "units": {}}]}', "no TCP port"),
        ('{"pace": "p", "day": "d", "rtu": [{"units": {}}]}', "link"),
        ('{"pace": "p", "day": "d", "rtu": [{"link": "l", "units": {"0": "m"}}]}', "1 to 247"),
        ('{"pace": "p", "day": "d", "rtu": [{"link": "l", "units": {"x": "m"}}]}', "'x'"),
    ],
)
def test_a_wrong_configuration_is_one_line_and_no_traceback(
    content: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "meters.json"
    config.write_text(content)
    assert cli.main(["sim", "meters", "--config", str(config)]) == cli.REFUSED
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_a_stranger_among_the_meters_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    day, pace, config = (tmp_path / name for name in ("day", "pace", "meters.json"))
    synthetic_day(intervals=1).save(day)
    Pacer(pace, 0).close()
    lines = [{"link": str(tmp_path / "line"), "units": {"1": "plant", "2": "nobody"}}]
    config.write_text(json.dumps({"pace": str(pace), "day": str(day), "rtu": lines}))
    assert cli.main(["sim", "meters", "--config", str(config)]) == cli.REFUSED
    assert capsys.readouterr().err == "gridwitness: refused: synthetic has no meter nobody\n"


def test_the_agreement_is_simulated_under_the_same_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["sim", "consensus", "--seeds", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize("what", ["line", "gps"])
def test_a_ports_name_never_takes_an_ordinary_files_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    mine, line = tmp_path / "mine", tmp_path / "line.toml"
    mine.write_text("mine")
    assert cli.main(["sim", "line", "--example"]) == 0
    line.write_text(capsys.readouterr().out)
    words = ["line", str(line)] if what == "line" else ["gps"]
    assert cli.main(["sim", *words, "--link", str(mine)]) == 1
    assert f"{mine} is a file; only a symlink is replaced" in capsys.readouterr().err
    assert mine.read_text() == "mine"
