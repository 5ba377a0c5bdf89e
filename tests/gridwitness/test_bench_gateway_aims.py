"""`bench gateway` marks what misses its aim."""

from gridwitness.bench_gateway import AIMS, LIMITS, missed_aims

MET = {
    "cpu_ms_per_reading": 2.0,
    "rss_mb": 79.9,
    "bytes_per_reading": 300,
    "drain_memory_growth_mb": 0.0,
    "wire_utilisation": 0.97,
}


def test_each_figure_with_an_aim_has_its_limits() -> None:
    assert set(LIMITS) == {name for name, words in AIMS.items() if words.startswith("aim")}


def test_what_misses_its_aim_is_marked() -> None:
    assert missed_aims(MET) == []
    assert missed_aims(MET | {"cpu_ms_per_reading": 2.01, "wire_utilisation": 0.94}) == [
        "cpu_ms_per_reading",
        "wire_utilisation",
    ]
