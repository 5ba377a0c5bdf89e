"""Power that fails at any write to the flash: what must stand afterwards."""

import itertools
import json
import subprocess
from pathlib import Path

import pytest

from hwsim.board import micropython
from wire.keys import ES256, PublicKey
from wire.reading import SignedReading

HERE = Path(__file__).parent
FIRMWARE = HERE.parents[1] / "device" / "firmware"

Records = dict[int, SignedReading]


@pytest.fixture(scope="module")
def cuts() -> list[tuple[Records, Records]]:
    """For each write at which power failed: the records seen before, and after the next start."""
    done = subprocess.run(
        [micropython(), "-X", "heapsize=4m", str(HERE / "cut_at_every_write.py")],
        env={"MICROPYPATH": f"{FIRMWARE}:.frozen"},
        capture_output=True,
        text=True,
        check=True,
    )
    *lines, key = map(json.loads, done.stdout.splitlines())
    public = PublicKey(ES256, bytes.fromhex(key))

    def opened(records: dict[str, str]) -> Records:
        found = {int(i): SignedReading.open(bytes.fromhex(data)) for i, data in records.items()}
        for signed in found.values():
            signed.verify(public)
        return found

    return [(opened(line["before"]), opened(line["after"])) for line in lines]


def test_every_write_was_cut_once(cuts: list[tuple[Records, Records]]) -> None:
    assert len(cuts) > 50
    assert len(cuts[-1][0]) > len(cuts[0][0])


def test_no_committed_record_is_lost_and_none_is_made_twice(
    cuts: list[tuple[Records, Records]],
) -> None:
    for before, after in cuts:
        for sequence in before.keys() & after.keys():
            assert before[sequence].encoded == after[sequence].encoded
        assert max(after) > max(before, default=0)


def test_the_chain_and_the_counters_hold_over_the_cut(cuts: list[tuple[Records, Records]]) -> None:
    for before, after in cuts:
        history = [(before | after)[i] for i in sorted(before | after)]
        assert [signed.reading.sequence for signed in history] == list(
            range(history[0].reading.sequence, max(after) + 1)
        )
        for older, newer in itertools.pairwise(history):
            assert newer.reading.previous == older.sig_hash
            assert newer.reading.boots >= older.reading.boots
            assert newer.reading.operating_s > older.reading.operating_s
            assert newer.reading.interval_start_s > older.reading.interval_start_s
        assert history[-1].reading.boots > history[0].reading.boots


def test_registers_neither_over_count_nor_forget(cuts: list[tuple[Records, Records]]) -> None:
    for _, after in cuts:
        for signed in after.values():
            reading = signed.reading
            assert reading.import_advance_wh == 2700
            latched_s = reading.interval_start_s + reading.interval_s
            assert reading.import_wh == (latched_s - 1_751_328_900) * 3
