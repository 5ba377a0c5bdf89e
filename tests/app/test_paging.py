"""What is kept in memory of a state on the disk answers as the whole would."""

import random
from collections.abc import Iterator

import pytest

from validator.app import paging
from validator.app.lanes import NOWHERE
from validator.app.paging import PagedIndex, RecentRows
from validator.app.records import CREDIT, READING, AcceptedReading, key, lane, time_of
from validator.app.state import Index, Overlay, State

METERS = ("m1", "m2")
SECOND_LANE = lane("m2", bytes(range(32)))


class Everything:
    """A disk in memory: looks at every row, each time."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, bytes], bytes] = {}

    def get(self, table: str, row: bytes) -> bytes | None:
        return self.rows.get((table, row))

    def _numbers(self, table: str, name: bytes) -> list[int]:
        found = [row for each, row in self.rows if each == table and row[:-8] == name]
        return sorted(int.from_bytes(row[-8:]) for row in found)

    def newest(self, table: str, name: bytes) -> int | None:
        return max(self._numbers(table, name), default=None)

    def before(self, lane: bytes, sequence: int) -> int | None:
        return max((n for n in self._numbers(READING, lane) if n < sequence), default=None)

    def after(self, lane: bytes, sequence: int) -> int | None:
        return min((n for n in self._numbers(READING, lane) if n > sequence), default=None)

    def _claims(self, meter: bytes, late: bool) -> Iterator[tuple[int, bytes]]:
        for (table, row), value in sorted(self.rows.items()):
            record = AcceptedReading.of(value) if table == READING else None
            mine = row[: row.index(0) + 1] == meter
            if record is not None and mine and record.late == late:
                yield record.start_s, row

    def claims(self, claim: bytes, late: bool) -> tuple[bytes, ...]:
        start_s = int.from_bytes(claim[-8:])
        return tuple(row for each, row in self._claims(claim[:-8], late) if each == start_s)

    def newest_claim_s(self, meter: bytes) -> int:
        return max((start_s for start_s, _ in self._claims(meter, late=False)), default=0)


def record(start_s: int, late: int) -> AcceptedReading:
    hashes = bytes(32), bytes(32), bytes(32)
    return AcceptedReading(start_s, 0, 0, 0, 0, 1, 0, 0, 0, late, 0, 0, 0, 0, 0, *hashes)


@pytest.mark.parametrize("seed", range(20))
def test_neighbours_and_claims_are_those_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(paging, "KEPT_OF_A_METER", 2)
    dice = random.Random(seed)
    disk, whole = Everything(), Index()
    paged = PagedIndex(disk)
    lanes = [*(lane(meter, b"") for meter in METERS), SECOND_LANE]
    for _ in range(120):
        place, sequence = dice.choice(lanes), dice.randrange(40)
        found = record(900 * (1 + dice.randrange(40)), int(dice.random() < 0.2))
        row = key(place, sequence)
        if (READING, row) not in disk.rows:
            disk.rows[READING, row] = found.packed()
            place_in_time = time_of(found.packed())
            assert place_in_time == (found.start_s, bool(found.late))
            whole.add(row, *place_in_time)
            paged.add(row, *place_in_time)
        if dice.random() < 0.05:
            paged = PagedIndex(disk)
        _compare(whole, paged, dice.choice(lanes), dice.randrange(42))
    for place in lanes:
        for number in range(42):
            _compare(whole, paged, place, number)


def _compare(whole: Index, paged: PagedIndex, place: bytes, number: int) -> None:
    assert paged.newest(place) == whole.newest(place)
    assert paged.before(place, number) == whole.before(place, number)
    assert paged.after(place, number) == whole.after(place, number)
    meter = place[: place.index(0) + 1]
    start_s = 900 * number
    assert sorted(paged.claims(meter, start_s)) == sorted(whole.claims(meter, start_s))
    assert sorted(paged.late(meter, start_s)) == sorted(whole.late(meter, start_s))
    assert paged.newest_s(meter) == whole.newest_s(meter)


@pytest.mark.parametrize("seed", range(10))
def test_a_blocks_readings_stand_between_those_of_the_state(seed: int) -> None:
    """In whatever order they come; most come after everything else, which is told at once."""
    dice, state, place = random.Random(seed), State(bytes(32)), lane("m1", b"")
    taken = dice.sample(range(60), dice.randrange(30))
    stored = taken[: dice.randrange(len(taken) + 1)]
    state.apply((READING, key(place, each), record(900 * each, 0).packed()) for each in stored)
    overlay, known = Overlay(state), set(stored)
    for sequence in [*taken[len(stored) :], *range(60, 64)]:
        overlay.accept(place, sequence, record(900 * sequence, 0))
        known.add(sequence)
        for near in (*range(0, 66, 7), sequence, sequence + 1):
            below = max((each for each in known if each < near), default=-1)
            above = min((each for each in known if each > near), default=-1)
            for sought, (number, found) in zip(
                (below, above), overlay.around(place, near), strict=True
            ):
                assert number == sought
                assert (-1 if found is None else found.start_s // 900) == sought
            there = overlay.reading(place, near)
            assert (None if there is None else there.start_s) == (
                900 * near if near in known else None
            )
            assert len(overlay.claims("m1", 900 * near)) == (near in known)
    assert Overlay(state).around(lane("m2", b""), 0) == (NOWHERE, NOWHERE)


@pytest.mark.parametrize("seed", range(10))
def test_a_blocks_readings_of_an_interval_are_told_with_those_of_the_state(seed: int) -> None:
    """Of a meter and its readers, in order of their rows; late ones by themselves."""
    dice, state, whole = random.Random(seed), State(bytes(32)), dict[bytes, AcceptedReading]()
    lanes, oldest = (lane("m2", b""), SECOND_LANE, lane("m2", bytes(32))), dice.randrange(9)
    for place in lanes:
        for number in dice.sample(range(24), 12):  # Two sequences may name one interval.
            start_s = 900 * (1 + number // 2)
            whole[key(place, number)] = record(start_s, int(number // 2 < oldest))
    rows = dice.sample(sorted(whole), len(whole))
    stored = rows[: dice.randrange(len(rows))]
    state.apply((READING, row, whole[row].packed()) for row in stored)
    overlay = Overlay(state)
    for row in rows[len(stored) :]:
        overlay.accept(row[:-8], int.from_bytes(row[-8:]), whole[row])
    for start_s in range(0, 900 * 14, 900):
        found = [whole[row] for row in sorted(whole) if whole[row].start_s == start_s]
        assert list(overlay.claims("m2", start_s)) == [each for each in found if not each.late]
        assert list(overlay.late("m2", start_s)) == [each for each in found if each.late]
    in_time = (each.start_s for each in whole.values() if not each.late)
    assert overlay.newest_s("m2") == max(in_time, default=0)
    assert overlay.newest_s("m1") == 0


@pytest.mark.parametrize("seed", range(10))
def test_recent_rows_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(paging, "KEPT_ROWS", 5)
    monkeypatch.setattr(paging, "MOST_NAMES", 3 if seed % 2 else 100)
    dice, disk = random.Random(seed), Everything()
    recent = RecentRows(disk)
    for _ in range(200):
        row = key(dice.choice("abcd"), dice.randrange(12))
        kind = dice.choice([CREDIT, READING])
        if dice.random() < 0.4:
            value = None if dice.random() < 0.2 else dice.randbytes(4)
            if value is None:
                disk.rows.pop((kind, row), None)
            else:
                disk.rows[kind, row] = value
            recent.put(kind, [(row, value)])
        assert recent.get(kind, row) == disk.rows.get((kind, row))
        other = key(dice.choice("abcd"), dice.randrange(14))
        assert recent.get(kind, other) == disk.rows.get((kind, other))
