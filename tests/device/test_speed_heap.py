"""The heap of the whole meter, on words of 64 bits: from compiled files, with the log of a year."""

import pytest

from device.provision.bench_heap import Desk, Heap
from tests.device.readme_figures import holds
from wire.errors import Unavailable


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("desk"))


@pytest.fixture(scope="module")
def heap(desk: Desk) -> Heap:
    return desk.smallest()


MOST = 65_536
"""Bytes."""


def test_the_whole_meter_serves_and_signs_in_the_heap_that_the_readme_states(heap: Heap) -> None:
    assert heap.needed <= MOST
    assert holds("heap of the whole meter, bytes", heap.needed)
    assert holds("of it in use when the meter idles", heap.in_use)


def test_a_heap_that_is_too_small_is_told_from_one_that_does(desk: Desk) -> None:
    with pytest.raises(Unavailable, match="MemoryError"):
        desk.runs_in(40)


def test_the_flash_of_the_year_is_used_by_each_run_anew(desk: Desk) -> None:
    first, second = (desk.runs_in(128).in_use for _ in range(2))
    assert abs(first - second) < 512  # The collector takes some numbers for pointers.
