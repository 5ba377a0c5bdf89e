"""What many changes cost does not grow with how many there are (the figures are the command's)."""

from gridwitness.bench_registry import measured


def test_a_small_run_tells_each_figure() -> None:
    said: list[str] = []
    found = measured(200, 20, said.append)
    assert said == ["a registry of 200 meters", "20 enrolments, signed"]
    assert (found["meters"], found["changes"]) == (200, 20)
    assert {name.rpartition("_")[2] for name in found} == {"meters", "changes", "us", "ms"}
    assert min(found.values()) > 0
