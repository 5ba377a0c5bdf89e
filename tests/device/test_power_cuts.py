"""Power that fails at any write to the flash: what must stand afterwards.

A sweep over days replays a recorded run up to each of its writes and starts from there; CUT_DAYS in
the environment makes it longer than three days, and `pytest -s` shows its figures. A smaller one
lets a meter with the real signer die of each write as it happens.
"""

import itertools
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.board import micropython
from meter import boot, events, state
from tests.device.readme_figures import holds
from wire.keys import ES256, PublicKey
from wire.reading import SignedReading

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DAYS = int(os.environ.get("CUT_DAYS", "3"))
T = 1_751_328_000
NOTHING, HALF, ALL = range(3)

Records = dict[int, SignedReading]
Cut = tuple[int, Records, Records]


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    """A process of MicroPython that runs a script of this folder over the firmware."""
    return subprocess.Popen(
        [micropython(), "-X", "heapsize=48m", str(HERE / script), *map(str, arguments)],
        env={"MICROPYPATH": f"{ROOT / 'device' / 'firmware'}:{ROOT}:.frozen"},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def sweeps() -> list[dict[str, Any]]:
    """What the sweep over days came to: an element that counts on, and one that forgets."""
    running = [start("days_of_cuts.py", DAYS, forgets, 0, 1) for forgets in (0, 1)]
    found = []
    for process in running:
        output, _ = process.communicate()
        assert process.returncode == 0
        found.append(json.loads(output))
    return found


COUNTS_ON, FORGETS = range(2)
EITHER = pytest.mark.parametrize("element", [COUNTS_ON, FORGETS], ids=["counts on", "forgets"])


@EITHER
def test_nothing_is_lost_or_used_twice_at_any_write_of_several_days(
    element: int, sweeps: list[dict[str, Any]]
) -> None:
    figures = sweeps[element]["figures"]
    assert sweeps[element]["broken"] == []
    assert figures["broken"] == 0
    assert figures["whole"] == figures["writes"] + 1
    assert figures["torn"] == figures["writes"]
    assert figures["records"] >= 88 * DAYS, "96 a day, but for those that outages leave out"
    assert figures["boots"] > 10 * DAYS
    assert figures["signed_again"] > figures["records"]


@EITHER
def test_these_days_have_more_events_than_starts_and_each_is_cut_too(
    element: int, sweeps: list[dict[str, Any]]
) -> None:
    figures = sweeps[element]["figures"]
    assert figures["events"] > figures["boots"]
    lived = {
        events.POWER_UP,
        events.CONFIGURATION,
        events.COVER_OPEN,
        events.TERMINAL_COVER_OPEN,
        events.MAGNET,
        events.ACKNOWLEDGED,
        events.SERVICE,
        events.SNAPSHOT,
    }
    assert lived <= set(figures["kinds"])
    assert figures["stuck"] > figures["writes"], "bits that stick are there at most cuts"
    assert figures["acknowledged"] > figures["boots"], "and go with an acknowledgement only"
    assert figures["promised_again"] > figures["events"], "told to somebody, not signed yet"


def test_an_element_that_counts_on_loses_no_energy(sweeps: list[dict[str, Any]]) -> None:
    assert sweeps[COUNTS_ON]["figures"]["under_mwh"] == 0


def test_an_element_that_forgets_loses_less_than_an_interval(sweeps: list[dict[str, Any]]) -> None:
    assert 0 < sweeps[FORGETS]["figures"]["under_mwh"] <= 600 * 3000


@pytest.mark.skipif(DAYS != 3, reason="the page tells of three days")
def test_the_page_on_the_device_tells_these_figures(
    sweeps: list[dict[str, Any]], cuts: list[Cut]
) -> None:
    counts_on, forgets = (sweep["figures"] for sweep in sweeps)
    assert holds("power cuts in a sweep of three days", counts_on["whole"] + counts_on["torn"])
    assert holds("the same with an element that forgets", forgets["whole"] + forgets["torn"])
    assert holds(
        "records, boot counters or event numbers lost", counts_on["broken"] + forgets["broken"]
    )
    assert holds("events in these days", counts_on["events"])
    assert holds("energy lost by an element that counts on", counts_on["under_mwh"])
    assert holds("most energy lost by one that forgets", forgets["under_mwh"] // 3000)
    assert holds("writes that fail under a meter", len(cuts))
    assert holds("blocks erased a day", counts_on["erases"] // 3)


@given(st.integers(0, 3000))
def test_a_bit_that_rots_in_the_saved_registers_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, bit: int
) -> None:
    path = tmp_path_factory.mktemp("state") / "state.json"
    saved = dict(boot.FRESH, totals_mwh=[123_456_789, 77], pending="ab" * 150, sequence=9)
    state.save(str(path), saved)
    assert boot.load(str(path), head=9) == saved
    data = bytearray(path.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    path.write_bytes(data)
    with pytest.raises(boot.StateLost):
        boot.load(str(path), head=9)


@pytest.fixture(scope="module")
def cuts() -> list[Cut]:
    """For each write that failed: how, the records seen before, and after the next start."""
    output, _ = start("cut_at_every_write.py").communicate()
    *lines, key = map(json.loads, output.splitlines())
    public = PublicKey(ES256, bytes.fromhex(key))

    def opened(records: dict[str, str]) -> Records:
        found = {int(i): SignedReading.open(bytes.fromhex(data)) for i, data in records.items()}
        for signed in found.values():
            signed.verify(public)
        return found

    return [(line["part"], opened(line["before"]), opened(line["after"])) for line in lines]


def test_every_write_failed_in_three_ways(cuts: list[Cut]) -> None:
    assert len(cuts) > 150
    assert [part for part, _, _ in cuts[:4]] == [NOTHING, HALF, ALL, NOTHING]
    assert len(cuts[-1][1]) > len(cuts[0][1])


def test_no_committed_record_is_lost_and_none_is_made_twice(cuts: list[Cut]) -> None:
    for _, before, after in cuts:
        for sequence in before.keys() & after.keys():
            assert before[sequence].encoded == after[sequence].encoded
        assert max(after) > max(before, default=0)


def test_the_chain_and_the_counters_hold_over_the_cut(cuts: list[Cut]) -> None:
    for _, before, after in cuts:
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


def test_registers_neither_over_count_nor_forget(cuts: list[Cut]) -> None:
    for _, _, after in cuts:
        for signed in after.values():
            reading = signed.reading
            assert reading.import_advance_wh == 2700
            latched_s = reading.interval_start_s + reading.interval_s
            assert reading.import_wh == (latched_s - T - 900) * 3
