import json
from pathlib import Path

import pytest

from gridwitness import cli
from hwsim.feeder import synthetic_day


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


def test_the_agreement_is_simulated_under_the_same_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["sim", "consensus", "--seeds", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])
