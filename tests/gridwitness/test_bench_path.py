"""`gridwitness bench path`: every part of a reading's way is told, and the sum is their sum."""

import json

import pytest

from gridwitness import bench_path
from gridwitness.cli import main


def test_bench_path_tells_every_part_of_the_way(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_path, "BLOCK", bench_path.METERS)
    monkeypatch.setattr("validator.node.heap.settle", lambda: None)
    assert main(["bench", "path", "--blocks", "1", "--grown", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["readings"] == bench_path.METERS
    assert found["grown_readings"] == 2 * bench_path.METERS
    assert list(found["parts_us"]) == [name for name, _ in bench_path.PARTS]
    assert all(spent > 0 for spent in found["parts_us"].values())
    assert abs(sum(found["parts_us"].values()) - found["us_per_reading"]) < 1


def test_bench_path_wants_a_block(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "path", "--blocks", "0"]) == 2
    assert "1 or more blocks" in capsys.readouterr().err
