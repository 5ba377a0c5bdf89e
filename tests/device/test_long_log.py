"""The meter's log over its whole life: a year in 64 kB, damage, a full flash, fewer days."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.board import micropython
from meter import log as log_module
from meter.log import SLOT, Log, files_for

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FLASH_BYTES = 2816 * 4096


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a log of a year and a little more came to, in a heap of 64 kB."""
    flash = tmp_path_factory.mktemp("year") / "flash.img"
    with flash.open("wb") as f:
        f.truncate(FLASH_BYTES)
    done = subprocess.run(
        [micropython(), "-X", "heapsize=64k", str(HERE / "a_year_of_records.py"), str(flash)],
        env={"MICROPYPATH": f"{ROOT / 'device' / 'firmware'}:.frozen"},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_year_of_records_stands_in_a_heap_of_64_kb(year: dict[str, Any]) -> None:
    assert year["records"] >= 35_040
    assert (year["missing"], year["wrong"], year["degraded"]) == (0, 0, False)
    assert year["tail"] > 0, "the oldest files went"


def test_a_full_log_takes_no_more_memory_than_a_young_one(year: dict[str, Any]) -> None:
    assert year["heap_full"] - year["heap_young"] < 256
    assert year["heap_after_reading"] - year["heap_young"] < 1024


def test_a_log_opens_by_its_names_and_not_by_its_records(year: dict[str, Any]) -> None:
    assert year["reads_to_open_full"] < year["records"] // 8
    assert year["reads_of_a_record"] < 100


def filled(folder: Path, count: int, files: int = 4, per_file: int = 3) -> Log:
    log = Log(str(folder), files, per_file)
    for sequence in range(count):
        log.append(sequence, b"record %d" % sequence)
    return log


@settings(deadline=None)
@given(st.integers(0, 8 * SLOT * 8 - 1))
def test_a_flipped_bit_hides_its_record_and_no_other(
    tmp_path_factory: pytest.TempPathFactory, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("rot") / "log"
    filled(folder, 8)
    sequence, within = divmod(bit // 8, SLOT)
    path = folder / str(sequence // 3)
    data = bytearray(path.read_bytes())
    data[sequence % 3 * SLOT + within] ^= 1 << bit % 8
    path.write_bytes(data)
    log = Log(str(folder), 4, 3)
    assert log.head == 8
    found = [log.read(i) for i in range(8)]
    assert found.pop(sequence) is None
    assert found == [b"record %d" % i for i in range(8) if i != sequence]
    assert log.degraded


def test_a_damaged_end_can_be_made_again_and_damage_before_it_stays_missing(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    filled(folder, 5)
    path = folder / "1"
    path.write_bytes(bytes(2 * SLOT))
    log = Log(str(folder), 4, 3)
    log.drop_damaged_end()
    assert log.head == 4
    log.append(4, b"record 4")
    log.drop_damaged_end()
    assert [log.read(i) for i in range(6)] == [
        *(b"record %d" % i for i in range(3)),
        None,
        b"record 4",
        None,
    ]


def test_a_lost_file_is_a_gap_and_not_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    filled(folder, 8)
    (folder / "1").unlink()
    (folder / "notes.txt").write_text("left by somebody")
    log = Log(str(folder), 4, 3)
    assert (log.tail, log.head) == (0, 8)
    assert [log.read(i) for i in (2, 3, 6)] == [b"record 2", None, b"record 6"]


def test_a_flash_that_runs_full_gives_up_the_oldest_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "log"
    log = filled(folder, 9)
    monkeypatch.setattr(
        log_module, "_free_blocks", lambda folder: 18 - len(list(Path(folder).iterdir()))
    )
    log.append(9, b"record 9")
    assert (log.tail, log.head, log.degraded) == (3, 10, True)


def test_a_log_of_fewer_days_than_before_shrinks_by_a_day_with_each_record(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    filled(folder, 20, files=8)
    log = Log(str(folder), files=2, per_file=3)
    tails = []
    for sequence in range(20, 26):
        log.append(sequence, b"record")
        tails.append(log.tail)
    assert tails == [3, 6, 9, 12, 15, 18]


@pytest.mark.parametrize(
    ("days", "interval_s", "files"), [(35, 900, 36), (365, 900, 366), (35, 3600, 10), (2, 60, 31)]
)
def test_the_days_that_are_kept_make_the_files(days: int, interval_s: int, files: int) -> None:
    assert files_for(days, interval_s) == files
