"""Whatever is lost, late or out of order: each interval is credited once, and to the watt-hour."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.app.village import INTERVAL_S, START_S, Village
from validator.app.records import BRIDGE, CASE, CREDIT

DAY = 96
HERE, SLEPT, LOST, LATER = range(4)
"""A record arrives; none is made (no power); one is made and never comes; one comes late."""

fate = st.sampled_from([HERE, HERE, HERE, SLEPT, LOST, LATER])
one_slot = st.fixed_dictionaries(
    {name: st.tuples(st.integers(100, 900), fate) for name in ("b0", "c1", "c2", "c3")}
)
Slots = list[dict[str, tuple[int, int]]]


class Life:
    """A village in which the true energies always add up."""

    def __init__(self, slots: Slots) -> None:
        self.village = Village()
        self.truth: dict[str, list[int]] = {name: [] for name in ("c1", "c2", "c3", "pv")}
        self.soon: list[bytes] = []
        self.later: list[bytes] = []
        ends: dict[str, tuple[int, int]] = {name: (500, HERE) for name in ("b0", "c1", "c2", "c3")}
        self.slots = [ends, *slots, ends]
        for slot, counted in enumerate(self.slots):
            self._live(slot, counted)

    def _live(self, slot: int, counted: dict[str, tuple[int, int]]) -> None:
        taken = {name: counted[name][0] for name in ("c1", "c2", "c3")}
        energies = {name: (wh, 0) for name, wh in taken.items()} | {"pv": (0, 400)}
        net_wh = sum(taken.values()) - 400 + 4  # The lines lose 4 Wh.
        energies["b0"] = (max(0, net_wh), max(0, -net_wh))
        for name, wh in taken.items():
            self.truth[name].append(wh)
        self.truth["pv"].append(400)
        for name, energy in energies.items():
            meter, happens = self.village.meters[name], counted.get(name, (0, HERE))[1]
            if happens == SLEPT:
                meter.import_wh += energy[0]
                meter.export_wh += energy[1]
                continue
            encoded = meter.close(slot, *energy)
            if happens != LOST:
                (self.later if happens == LATER else self.soon).append(encoded)

    def settle(self, chance: Random, size: int) -> None:
        """Bring the readings in an order of chance, the late ones much later; then wait."""
        last = len(self.slots)
        for readings, slot in ((self.soon, last), (self.later, last + 7)):
            chance.shuffle(readings)
            for at in range(0, len(readings), size):
                batch = self.village.batch(readings[at : at + size], slot)
                self.village.commit([batch], slot)
        self.village.commit([], last + DAY + 9)

    def credited(self, name: str) -> list[tuple[int, int, int]]:
        """(first slot, intervals, energy) of each credit."""
        found = self.village.app.credits(name, START_S, START_S + 10 * DAY * INTERVAL_S)
        return [
            (
                (each.start_s - START_S) // INTERVAL_S,
                each.intervals,
                each.import_wh + each.export_wh,
            )
            for each in found
        ]


@given(
    st.lists(one_slot, min_size=1, max_size=5), st.randoms(use_true_random=False), st.integers(1, 9)
)
@settings(max_examples=30, deadline=None)
def test_every_interval_is_credited_once_and_to_the_watt_hour(
    slots: Slots, chance: Random, size: int
) -> None:
    life = Life(slots)
    life.settle(chance, size)
    for name, truth in life.truth.items():
        covered: list[int] = []
        for first, intervals, energy_wh in life.credited(name):
            covered += range(first, first + intervals)
            assert energy_wh == sum(truth[first : first + intervals])
        assert covered == list(range(len(truth))), name
    assert list(life.village.app.state.rows(CASE)) == []
    waiting = [row for row, _ in life.village.app.state.rows(BRIDGE)]
    assert waiting == []


@given(st.lists(one_slot, min_size=1, max_size=4), st.randoms(use_true_random=False))
@settings(max_examples=15, deadline=None)
def test_nothing_that_comes_again_changes_what_is_credited(slots: Slots, chance: Random) -> None:
    life = Life(slots)
    life.settle(chance, 5)
    village, slot = life.village, len(life.slots) + DAY + 9
    before = list(village.app.state.rows(CREDIT))
    again = village.batch([*life.soon, *life.later], slot, gateway="gw-b")
    execution = village.execute([again], slot)
    assert {table for table, _, _ in execution.writes} <= {"batch", "cursor", "root"}
    village.app.commit(execution)
    assert list(village.app.state.rows(CREDIT)) == before


@given(st.lists(one_slot, min_size=1, max_size=4), st.randoms(use_true_random=False))
@settings(max_examples=15, deadline=None)
def test_a_permutation_within_a_block_gives_the_same_state_with_gaps_too(
    slots: Slots, chance: Random
) -> None:
    life = Life(slots)
    slot = len(life.slots)
    batches = [life.village.batch([each], slot) for each in life.soon]
    expected = life.village.execute(batches, slot)
    chance.shuffle(batches)
    found = life.village.execute(batches, slot)
    assert (found.state_root, found.seals) == (expected.state_root, expected.seals)
