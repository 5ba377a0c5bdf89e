"""Each rule between a meter's records: what is false, which field is named, and what is allowed."""

from typing import Any

import pytest

from tests.gridwitness.forger import METER, SITE, day, reader_day
from wire.reading import ClockEvidence, Position, ReactiveEnergy, ReadSource
from wire.record_rules import Registered, Step, alone, between, near, shown, status_words

BEFORE, AFTER = day()[40:42]
HASH = b"\x0a" * 32
NOTHING = Registered(METER.public, {})


def fields_alone(registered: Registered = NOTHING, **changes: Any) -> set[int]:
    reading = AFTER._replace(previous=HASH, **changes)
    return {clash.field for clash in alone(reading, registered)}


def fields_between(changes: dict[str, Any], *, first_of_boot: bool = False) -> set[int]:
    after = Step(AFTER._replace(**{"previous": HASH, **changes}), bytes(32))
    return {clash.field for clash in between(Step(BEFORE, HASH, first_of_boot), after)}


def test_an_honest_pair_has_no_clash() -> None:
    assert fields_alone() == fields_between({}) == set()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"interval_s": 0}, {5}),
        ({"interval_s": 1000}, {5}),
        ({"interval_start_s": AFTER.interval_start_s + 60}, {4}),
        ({"import_advance_wh": AFTER.import_wh + 1}, {8}),
        ({"export_advance_wh": AFTER.export_wh + 1}, {9}),
        ({"status": 1 << 20}, {13}),
        ({"status": 1 << 3}, {13}),
        ({"clock": ClockEvidence(2, 2, AFTER.operating_s + 1, 1)}, {14}),
        ({"sequence": 0}, {15}),
        ({"position": Position(900_000_001, 0, 1, 1)}, {21}),
        ({"position": Position(0, -1_800_000_001, 1, 1)}, {21}),
    ],
)
def test_a_record_contradicts_itself(changes: dict[str, Any], named: set[int]) -> None:
    assert fields_alone(**changes) == named


def test_a_register_may_hold_one_interval_only() -> None:
    assert fields_alone(import_wh=AFTER.import_advance_wh) == set()
    assert fields_alone(export_wh=AFTER.export_advance_wh) == set()


@pytest.mark.parametrize("bit", [8, 9, 10, 13, 14])
def test_a_sticky_bit_comes_and_goes_with_an_event(bit: int) -> None:
    status = AFTER.status | 1 << bit
    assert fields_between({"status": status}) == {13}
    assert fields_between({"status": status, **EVENT}) == set()


def test_a_chain_begins_with_zeros_and_only_there() -> None:
    zeros = AFTER._replace(previous=bytes(32))
    assert [clash.field for clash in alone(zeros, NOTHING)] == [15]
    assert list(alone(zeros._replace(sequence=0), NOTHING)) == []


@pytest.mark.parametrize(
    ("field", "value"), [(2, "GW-9"), (3, "n9"), (5, 450), (16, bytes(4)), (17, bytes(8))]
)
def test_a_record_contradicts_what_is_registered(field: int, value: object) -> None:
    assert fields_alone(Registered(METER.public, {field: value})) == {field}


def test_a_receiver_is_near_its_site() -> None:
    site = SITE._replace(accuracy_dm=1000)
    assert fields_alone(Registered(METER.public, {}, site)) == set()
    far = site._replace(lat_e7=site.lat_e7 + 200_000)
    assert fields_alone(Registered(METER.public, {}, far)) == {21}
    assert near(SITE, SITE._replace(lon_e7=SITE.lon_e7 + 40_000))
    assert not near(SITE, SITE._replace(lon_e7=SITE.lon_e7 + 60_000))


BOOTED = {"boots": BEFORE.boots + 1, "status": AFTER.status | 1 << 7}
EVENT = {"events": BEFORE.events + 1}
LATER = {"sequence": AFTER.sequence + 1, "previous": bytes(31) + b"\x01"}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"meter": "GW-9"}, {2}),
        ({"node": "n9"}, {3}),
        ({"node": "n9", "configuration_id": bytes(8), **EVENT}, set()),
        ({"configuration_id": bytes(8)}, {17}),
        ({"software_id": bytes(4)}, {16}),
        ({"software_id": bytes(4), **EVENT}, set()),
        ({"interval_s": 450}, {5}),
        ({"origin": 2}, {19}),
        ({"interval_start_s": BEFORE.interval_start_s}, {4, 12}),
        ({"interval_start_s": BEFORE.interval_start_s + 899}, {4}),
        ({"import_wh": AFTER.import_wh + 1}, {6, 8}),
        ({"import_wh": BEFORE.import_wh - 1}, {6}),
        ({"export_wh": AFTER.export_wh - 1}, {7, 9}),
        ({"import_wh": AFTER.import_wh + 1, **LATER}, set()),
        ({"import_wh": AFTER.import_wh - 1, **LATER}, {6, 8}),
        ({"sequence": BEFORE.sequence}, {10}),
        ({"sequence": BEFORE.sequence - 1}, {10}),
        ({"sequence": AFTER.sequence + 1}, {10}),
        (LATER, set()),
        ({"previous": bytes(31) + b"\x01"}, {15}),
        ({"boots": BEFORE.boots - 1}, {11}),
        ({"boots": BEFORE.boots + 1}, {11, 13}),
        (BOOTED, set()),
        ({"events": BEFORE.events - 1}, {18}),
        ({"operating_s": BEFORE.operating_s - 1}, {12}),
        ({"operating_s": AFTER.operating_s + 300}, set()),
        ({"operating_s": AFTER.operating_s + 301}, {4, 12}),
        ({"operating_s": AFTER.operating_s - 300}, set()),
        ({"operating_s": AFTER.operating_s - 301}, {4, 12}),
        ({"operating_s": AFTER.operating_s - 301, **BOOTED}, set()),
        ({"operating_s": AFTER.operating_s + 301, **BOOTED}, {4, 12}),
        ({"operating_s": AFTER.operating_s + 301, "clock": ClockEvidence(2, 3, 50_000, 1)}, set()),
        ({"clock": ClockEvidence(2, 1, 40_100, 1)}, {14}),
        ({"clock": ClockEvidence(2, 3, 40_000, 1)}, {14}),
        ({"clock": ClockEvidence(2, 2, 40_101, 1)}, {14}),
        ({"clock": ClockEvidence(0, 3, 50_000, 900)}, set()),
        ({"status": 0}, {13}),
        ({"status": AFTER.status | 1 << 8}, {13}),
        ({"status": AFTER.status | 1 << 8, **EVENT}, set()),
        ({"status": AFTER.status | 1 << 2}, set()),
        ({"position": SITE._replace(lat_e7=0)}, {21}),
        ({"position": None}, set()),
        ({"reactive": ReactiveEnergy(0, 8_000, 0, 0)}, {20}),
        ({"reactive": None}, set()),
    ],
)
def test_a_record_contradicts_the_one_before(changes: dict[str, Any], named: set[int]) -> None:
    assert fields_between(changes) == named


def test_the_first_record_of_a_boot_may_close_an_old_interval() -> None:
    late = {"operating_s": AFTER.operating_s - 600}
    assert fields_between(late) == {4, 12}
    assert fields_between(late, first_of_boot=True) == set()


def test_a_reader_is_held_to_its_numbers_and_template_only() -> None:
    before, after = reader_day()[40:42]
    step = Step(before, HASH)
    assert after.source is not None
    other_reader = {"boots": 0, "operating_s": 0, "events": 0, "software_id": bytes(4)}
    other_reader |= {"clock": ClockEvidence(3, 1, 0, 0), "status": 0}
    for changes, named in (
        ({}, set()),  # A new chain: zeros.
        (other_reader, set()),
        ({"sequence": after.sequence + 1}, {10}),
        ({"source": ReadSource(bytes(8), b"", 0, 0)}, {22}),
        ({"source": after.source._replace(end_offset_ms=900_001)}, {22}),
        ({"import_wh": after.import_wh + 1}, {6, 8}),
        ({"previous": HASH, "meter": "GW-9"}, {2}),
        ({"previous": b"\x01" * 32}, {15}),
    ):
        reading = after._replace(**changes)
        clashes = [*alone(reading, NOTHING), *between(step, Step(reading, HASH))]
        assert {clash.field for clash in clashes} == named


def test_values_are_shown_without_tricks() -> None:
    assert shown(b"\x01\xff") == "01ff"
    assert shown([1, b"\x00", "a"]) == "[1, 00, a]"
    assert shown("\x1b[2J") == "'\\x1b[2J'"
    assert len(shown("x" * 1000)) < 70
    assert status_words(0) == "none"
    assert status_words(1 << 8 | 1 << 40) == "8 cover open, 40 unknown"
