"""What a signature costs: counted, not timed, so that two busy cores change nothing."""

import shutil
from pathlib import Path

import pytest

from device.provision import bench_process
from tests.device.readme_figures import holds

WORK = ("sign", "sign-plain", "public-key", "nonce", "record", "self-test")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    bench_process.compile_all(folder)
    return folder


@pytest.fixture(scope="module")
def counted(compiled: Path) -> dict[str, int]:
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed: instructions cannot be counted")
    return bench_process.instructions(compiled, WORK)


def test_a_signature_takes_3_5_times_fewer_instructions_than_double_and_add(
    counted: dict[str, int],
) -> None:
    assert counted["sign-plain"] / counted["sign"] >= 3.5


def test_the_counts_are_those_that_the_readme_states(counted: dict[str, int]) -> None:
    rows = {
        "instructions of a signature": "sign",
        "the same signature by plain double-and-add": "sign-plain",
        "the public key of a secret": "public-key",
        "the nonce (RFC 6979) of a signature": "nonce",
        "the bytes of a record, from its fields": "record",
        "the self-test at each start": "self-test",
    }
    assert all([holds(figure, counted[work]) for figure, work in rows.items()])


def test_making_a_record_is_small_beside_signing_it(counted: dict[str, int]) -> None:
    assert counted["record"] + counted["nonce"] <= counted["sign"] / 10


def test_double_and_add_makes_the_same_signatures(compiled: Path) -> None:
    assert bench_process.signs_alike(compiled)


def test_signing_needs_no_more_than_4_kb_of_free_memory(compiled: Path) -> None:
    needed = bench_process.memory_to_sign(compiled)
    assert needed <= 4096
    assert holds("free memory that a signature needs", needed)


@pytest.mark.parametrize("arch", bench_process.ARCHITECTURES)
def test_all_that_a_board_carries_compiles_to_45_kb(tmp_path: Path, arch: str) -> None:
    sizes = [
        sum(bench_process.compile_files(bench_process.board_files(board), tmp_path, arch).values())
        for board in ("esp32", "rp2040")
    ]
    assert max(sizes) <= 45_000
    assert holds(f"compiled files of a board, bytes: {arch}", max(sizes))
