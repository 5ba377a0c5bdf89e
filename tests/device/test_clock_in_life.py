"""What a meter records when its clock is set, lost, wrong or at an end; under both Pythons."""

import itertools
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.board import micropython
from meter.record import CLOCK_ADJUSTED
from tests.device import clock_cases
from tests.device.meter_bench import Bench
from tests.device.readme_figures import holds

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

Case = Callable[[Any], list[tuple[int, ...]]]


@pytest.mark.parametrize("case", clock_cases.CASES, ids=lambda case: case.__name__)
def test_a_record_says_what_became_of_its_clock(case: Case, tmp_path: Path) -> None:
    found, expected = clock_cases.play(case, str(tmp_path))
    assert found == expected


@pytest.fixture(scope="module")
def on_a_board(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same cases, played by MicroPython."""
    done = subprocess.run(
        [micropython(), str(HERE / "clock_cases.py"), str(tmp_path_factory.mktemp("cases"))],
        env={"MICROPYPATH": f"{ROOT / 'device' / 'firmware'}:{ROOT}:.frozen"},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("case", [case.__name__ for case in clock_cases.CASES])
def test_micropython_comes_to_the_same(case: str, on_a_board: dict[str, Any]) -> None:
    found, expected = on_a_board[case]
    assert found == expected


def test_the_page_on_the_device_counts_these_cases() -> None:
    assert holds("clock cases", len(clock_cases.CASES))


DEEDS = st.one_of(
    st.tuples(st.just("run"), st.integers(1, 4000)),
    st.tuples(st.just("give"), st.sampled_from([0, 1, -1, 5, -5, 40, -40, 700, -700, 3600, -3600])),
    st.tuples(st.just("power_cycle"), st.integers(0, 2000)),
    st.tuples(st.just("reset"), st.just(0)),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(DEEDS, min_size=12, max_size=25))
def test_intervals_are_whole_and_never_overlap_whatever_becomes_of_the_clock(
    tmp_path_factory: pytest.TempPathFactory, deeds: list[tuple[str, int]]
) -> None:
    bench = Bench(str(tmp_path_factory.mktemp("life")))
    bench.give()
    for deed, number in deeds:
        if deed == "run":
            bench.run_to(bench.true_s + number)
        elif deed == "give":
            bench.give(number)
        else:
            bench.power_cycle(number, keeps_time=deed == "reset")
    for fields in bench.contents():
        assert fields[4] % 900 == 0
    for before, after in itertools.pairwise(bench.contents()):
        end_s = before[4] + 900
        assert after[4] >= end_s, "no interval overlaps or repeats"
        assert after[6] >= before[6] + after[8]
        if after[4] == end_s:
            assert after[6] == before[6] + after[8], "where one ends the next begins"
        assert after[14][1] >= before[14][1]
        if after[11] == before[11] and after[14][1] > before[14][1]:
            assert after[13] & CLOCK_ADJUSTED, "a running clock was set"
