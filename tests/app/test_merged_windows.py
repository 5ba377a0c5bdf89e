"""A gap is sealed once, as one merged window, on what registers showed at both of its ends."""

from typing import Any

from tests.app.enrolments import enrol, enrolling_village
from tests.app.village import INTERVAL_S, START_S, Village, meter_entry
from validator.app.records import BRIDGE, CREDIT, Credit
from validator.app.settlement import credited, is_firm
from wire.results import ZoneSeal

DAY = 96


def starts(slot: int) -> int:
    return START_S + slot * INTERVAL_S


def seals_of(village: Village) -> list[tuple[int, int, int, str]]:
    """(slot, intervals, revision, verdict) of every seal so far."""
    return [
        (
            (seal.start_s - START_S) // INTERVAL_S,
            (seal.end_s - seal.start_s) // INTERVAL_S,
            seal.revision,
            seal.verdict.name,
        )
        for seal in village.seals
    ]


def close_all(village: Village, slot: int, *absent: str, **energies: tuple[int, int]) -> None:
    counted: dict[str, tuple[int, int] | None] = {**energies, **dict.fromkeys(absent)}
    village.commit([village.batch(village.close(slot, **counted).values(), slot)], slot)


def slept(village: Village, name: str, import_wh: int) -> None:
    """A meter without power at boundaries counts on when it can, and makes no record."""
    village.meters[name].import_wh += import_wh


def test_a_gap_that_no_record_will_fill_is_merged_when_the_meter_returns() -> None:
    village = Village()
    close_all(village, 0)
    close_all(village, 1, "c2")
    close_all(village, 2, "c2")
    slept(village, "c2", 600)
    close_all(village, 3)
    assert seals_of(village) == [
        (0, 1, 0, "BALANCED"),
        (1, 2, 0, "BALANCED"),
        (3, 1, 0, "BALANCED"),
    ]
    state = village.app.state
    assert credited(state, "c2", starts(1)) == Credit(600, 0, 2)
    assert credited(state, "pv", starts(1)) == Credit(0, 800, 2)
    assert credited(state, "c2", starts(2)) is None
    settled = [Credit.of(value) for _, value in state.rows(CREDIT)]
    assert sum(each.import_wh for each in settled) == 4 * (500 + 300 + 200)
    assert list(state.rows(BRIDGE)) == []


def test_a_merged_seal_follows_what_was_sealed_before_it() -> None:
    village = Village()
    close_all(village, 0)
    for slot in range(1, 7):
        close_all(village, slot, "c2")
    slept(village, "c2", 6 * 300)
    close_all(village, 7)
    assert [each for each in seals_of(village) if each[0] == 1] == [
        (1, 1, 0, "INCONCLUSIVE"),
        (1, 6, 1, "BALANCED"),
    ]
    assert is_firm(village.app.state, village.app.registries.base.feeders, "z1", starts(4))


def test_its_inputs_are_every_reading_in_it_and_those_at_the_ends_of_the_gap() -> None:
    village = Village()
    close_all(village, 0)
    close_all(village, 1, "c2")
    slept(village, "c2", 300)
    readings = village.close(2)
    execution = village.execute([village.batch(readings.values(), 2)], 2)
    seals = [ZoneSeal.decode(each) for each in execution.seals]
    merged = next(place for place, each in enumerate(seals) if each.start_s == starts(1))
    assert len(execution.seal_inputs[merged]) == 4 + 2
    assert seals[merged].coverage_ppm == 1_000_000


def test_energy_that_does_not_add_up_over_the_gap_is_seen() -> None:
    village = Village()
    close_all(village, 0)
    close_all(village, 1, "c2")
    slept(village, "c2", 0)
    close_all(village, 2)
    assert seals_of(village)[1] == (1, 1, 0, "IMPOSSIBLE")
    assert credited(village.app.state, "c1", starts(1)) is None


def test_gaps_of_two_meters_that_overlap_are_one_window() -> None:
    village = Village()
    close_all(village, 0)
    close_all(village, 1, "c1")
    close_all(village, 2, "c1", "c2")
    slept(village, "c1", 1_000)
    close_all(village, 3, "c2")
    slept(village, "c2", 600)
    close_all(village, 4)
    assert seals_of(village) == [
        (0, 1, 0, "BALANCED"),
        (1, 3, 0, "BALANCED"),
        (4, 1, 0, "BALANCED"),
    ]


def backlog(village: Village) -> bytes:
    """Close slots 0 to 3; the reading of c2 for slot 1 is made, and does not come yet."""
    kept = [village.close(slot) for slot in range(4)]
    waiting = kept[1].pop("c2")
    for slot, readings in enumerate(kept):
        village.commit([village.batch(readings.values(), slot)], slot)
    return waiting


def test_a_reading_that_was_made_is_waited_for() -> None:
    village = Village()
    waiting = backlog(village)
    assert [slot for slot, *_ in seals_of(village)] == [0, 2, 3]
    village.commit([village.batch([waiting], 4)], 4)
    assert seals_of(village)[-1] == (1, 1, 0, "BALANCED")
    village.commit([], DAY + 4)
    assert (1, 1, 1, "BALANCED") not in seals_of(village)
    assert credited(village.app.state, "c2", starts(1)) == Credit(300, 0, 1)


def test_when_it_does_not_come_in_time_registers_tell() -> None:
    village = Village()
    waiting = backlog(village)
    village.commit([], DAY + 1)
    assert (1, 1, 0, "INCONCLUSIVE") in seals_of(village)
    village.commit([], DAY + 3)
    assert (1, 1, 1, "BALANCED") in seals_of(village)
    assert credited(village.app.state, "c2", starts(1)) == Credit(300, 0, 1)
    village.commit([village.batch([waiting], DAY + 3)], DAY + 3)
    assert seals_of(village)[-1] == (1, 1, 2, "BALANCED"), "its inputs are others, not its sums"
    assert credited(village.app.state, "c2", starts(1)) == Credit(300, 0, 1)


def test_a_gateway_that_was_cut_off_brings_its_backlog_in_any_order_and_nothing_merges() -> None:
    village = Village()
    kept = [village.close(slot) for slot in range(5)]
    for slot in (0, 4, 3, 1, 2):
        village.commit([village.batch(kept[slot].values(), 4)], 4)
    found = {(slot, verdict) for slot, _, _, verdict in seals_of(village)}
    assert found >= {(slot, "BALANCED") for slot in range(5)}
    village.commit([], 2 * DAY)
    assert {each[1] for each in seals_of(village)} == {1}
    assert list(village.app.state.rows(BRIDGE)) == []


def test_a_reader_that_missed_a_turn_is_settled_over_registers_when_it_was_waited_for() -> None:
    village = Village()
    close_all(village, 0)
    close_all(village, 1, "c3")
    slept(village, "c3", 200)
    close_all(village, 2)
    assert [slot for slot, *_ in seals_of(village)] == [0, 2], "the gateway may have it still"
    village.commit([], DAY + 4)
    assert (1, 1, 0, "INCONCLUSIVE") in seals_of(village)
    assert (1, 1, 1, "BALANCED") in seals_of(village)
    assert credited(village.app.state, "c3", starts(1)) == Credit(200, 0, 1)


def test_a_gap_longer_than_the_longest_window_stays_open() -> None:
    def short(content: dict[str, Any]) -> None:
        content["parameters"]["bridge_intervals"] = 2

    village = Village(short)
    close_all(village, 0)
    for slot in (1, 2, 3):
        close_all(village, slot, "c2")
    slept(village, "c2", 900)
    close_all(village, 4)
    village.commit([], DAY + 9)
    assert {each[1] for each in seals_of(village)} == {1}


def test_a_meter_that_never_returns_is_never_merged() -> None:
    village = Village()
    close_all(village, 0)
    close_all(village, 1, "c2")
    village.commit([], 2 * DAY)
    assert (1, 1, 0, "INCONCLUSIVE") in seals_of(village)
    assert {each[1] for each in seals_of(village)} == {1}


def test_a_disputed_interval_is_a_gap_between_its_neighbours() -> None:
    village = Village()
    close_all(village, 0)
    close_all(village, 1)
    assert village.decide(village.meters["c1"].close(1, 0, 0), 1) == "accepted"
    assert seals_of(village)[-1] == (1, 1, 1, "INCONCLUSIVE")
    close_all(village, 2)
    village.commit([], DAY + 9)
    assert credited(village.app.state, "c1", starts(1)) == Credit(500, 0, 1)
    assert sum(1 for each in seals_of(village) if each[0] == 1) == 2, "it is settled already"


def test_a_parents_window_bridges_its_childs_boundary_meter() -> None:
    def nested(content: dict[str, Any]) -> None:
        content["zones"].append(
            {"id": "z0", "parent": "", "operator": "PEA", "p0_mw": 0, "branches": [], "root": "mv"}
        )
        content["zones"][0]["parent"] = "z0"
        content["gateways"][0]["zones"] = ["z0", "z1"]
        content["meters"].append(meter_entry("a0", "mv", "boundary", zone="z0", rating_w=100_000))

    village = Village(nested)
    around = {"a0": (604, 0)}
    close_all(village, 0, **around)
    close_all(village, 1, "b0", **around)
    slept(village, "b0", 604)
    close_all(village, 2, **around)
    found = {(seal.zone, seal.start_s): seal.verdict.name for seal in village.seals}
    assert found[("z0", starts(1))] == found[("z1", starts(1))] == "BALANCED"
    feeders = village.app.registries.base.feeders
    assert is_firm(village.app.state, feeders, "z1", starts(1))


def test_the_same_readings_in_another_order_merge_the_same() -> None:
    village = Village()
    batches = []
    for slot in range(4):
        absent: dict[str, tuple[int, int] | None] = {"c2": None} if slot in (1, 2) else {}
        if slot == 3:
            slept(village, "c2", 600)
        batches += [village.batch([each], 3) for each in village.close(slot, **absent).values()]
    expected = village.execute(batches, 3)
    found = village.execute(batches[::-1], 3)
    assert (found.state_root, found.seals) == (expected.state_root, expected.seals)
    verdicts = [ZoneSeal.decode(seal).verdict.name for seal in found.seals]
    assert verdicts == ["BALANCED"] * 3


def test_a_merged_window_never_crosses_a_change_of_the_zone() -> None:
    village = enrolling_village()
    close_all(village, 0)
    close_all(village, 1, "c2")
    village.commit([], 1, [enrol(village, 3)])
    close_all(village, 2, "c2")
    slept(village, "c2", 900)
    close_all(village, 3, "c2", c9=(0, 0))
    close_all(village, 4, c9=(0, 0))
    village.commit([], DAY + 9)
    assert {each[1] for each in seals_of(village)} == {1}
    assert (1, 1, 0, "INCONCLUSIVE") in seals_of(village)
