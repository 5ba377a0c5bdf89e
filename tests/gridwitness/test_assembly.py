"""Real validators in one event loop: the grid of sim thousand, and what bench consensus tells."""

import json

import pytest

from gridwitness.cli import main


def test_every_reading_of_a_small_grid_becomes_final_and_ledgers_agree(
    capsys: pytest.CaptureFixture[str],
) -> None:
    size = ["--validators", "4", "--gateways", "2", "--meters", "7", "--intervals", "2"]
    assert main(["sim", "thousand", *size, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["nodes"] == 13
    assert summary["readings"] == summary["readings_final"] == 14
    assert summary["ledgers_agree"] is True
    assert summary["zone_seals"] == {"BALANCED": 4}
    assert 0 < summary["receipt_p50_s"] <= summary["receipt_p99_s"] < 20
    assert main(["sim", "thousand", "--meters", "100"]) == 2


def test_the_cost_of_a_block_is_told_part_by_part(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "consensus", "--blocks", "2", "--readings", "40", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"execute", "apply", "store", "sign", "check_votes", "rest"} <= set(found["parts_ms"])
    assert found["cpu_ms_per_block"] > 0
    assert set(found["machine_us_per_message"]) == {"4", "31", "100"}
    assert main(["bench", "consensus", "--readings", "0"]) == 2
