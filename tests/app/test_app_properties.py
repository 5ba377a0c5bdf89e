"""What holds for every history: integers only, order does not matter, replays change nothing."""

import ast
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import validator.app
from tests.app.village import ORDINARY, START_S, Village, genesis, names
from validator.app.feeder import ClassLimit, Feeder, Member
from validator.app.records import CREDIT, READING, Credit
from validator.app.registry import Registry
from validator.app.zone_seal import Measured, judge
from wire.reading import ClockEvidence, Position
from wire.results import Verdict, ZoneSeal
from wire.witness import Batch

RULES = sorted(Path(validator.app.__path__[0]).glob("*.py"))
REGISTRY = Registry.of(genesis())
FEEDER, PARAMETERS = REGISTRY.feeders["z1"], REGISTRY.parameters

energies = st.tuples(st.integers(0, 3_000), st.integers(0, 1_300))
window = st.fixed_dictionaries(
    {
        "b0": st.tuples(st.integers(0, 9_000), st.integers(0, 3_000)),
        "c1": st.tuples(st.integers(0, 3_000), st.just(0)),
        "c2": st.tuples(st.integers(0, 3_000), st.just(0)),
        "c3": st.tuples(st.integers(0, 3_000), st.just(0)),
        "pv": st.tuples(st.integers(0, 50), st.integers(0, 1_300)),
    }
)
balanced = st.integers(0, 300).map(
    lambda extra: {**ORDINARY, "c1": (500 + extra, 0), "b0": (604 + extra, 0)}
)
history = st.lists(st.one_of(window, balanced), min_size=1, max_size=3)


@pytest.mark.parametrize("path", RULES, ids=[path.name for path in RULES])
def test_no_float_reaches_a_rule(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float))
        assert not (isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div))
        assert not (isinstance(node, ast.Name) and node.id in {"float", "round", "hash"})
        modules = [node.module] if isinstance(node, ast.ImportFrom) else []
        modules += [each.name for each in node.names] if isinstance(node, ast.Import) else []
        assert not {"time", "random", "datetime", "os", "secrets"} & set(modules)


def class_limit(member: Member, energy_wh: int) -> ClassLimit:
    return next(limit for limit in member.limits if energy_wh >= limit.from_wh)


def by_the_book(feeder: Feeder, measured: Mapping[str, Measured], d_wh: int) -> Verdict:
    """The two inequalities as they are written, in exact fractions."""
    v, w, total_wh = Fraction(0), Fraction(0), 0
    for member in (*feeder.boundary, *feeder.inner):
        found = measured[member.id]
        energy_wh = found.import_wh + found.export_wh
        c, skew_s = class_limit(member, energy_wh), Fraction(found.skew_ms, 1000)
        total_wh += energy_wh
        v += c.square * energy_wh**2
        v += 10**12 * (
            Fraction(member.registers * found.step_wh**2, 2) + 2 * (skew_s * energy_wh / 900) ** 2
        )
        w += 2 * c.ppm * energy_wh
        w += 10**6 * (member.registers * found.step_wh + 2 * skew_s * member.rating_w / 3600)
    v += (PARAMETERS.common_ppm * total_wh) ** 2
    if d_wh * 10**6 > w:
        return Verdict.IMPOSSIBLE
    return Verdict.SUSPECT if 3 * (d_wh * 10**6) ** 2 > 16 * v else Verdict.BALANCED


@given(window, st.integers(0, 10_000), st.integers(1, 100), st.integers(-400, 400))
@settings(max_examples=300, deadline=None)
def test_the_verdict_is_that_of_the_two_inequalities(
    counted: dict[str, tuple[int, int]], skew_ms: int, step_wh: int, near_wh: int
) -> None:
    consumed_wh = sum(imported - exported for imported, exported in counted.values())
    consumed_wh -= counted["b0"][0] - counted["b0"][1]
    lost_wh = max(0, consumed_wh + near_wh)
    measured = {name: Measured(*each, skew_ms, step_wh) for name, each in counted.items()}
    for boundary in (counted["b0"], (lost_wh, 0)):
        measured["b0"] = Measured(*boundary, skew_ms, step_wh)
        found = judge(FEEDER, PARAMETERS, measured)
        low_wh, high_wh = found.loss
        d_wh = max(0, found.residual_wh - high_wh, low_wh - found.residual_wh)
        assert found.verdict is by_the_book(FEEDER, measured, d_wh)
        for value in (found.residual_wh, *found.loss, found.band_wh, found.coverage_ppm):
            assert type(value) is int


@given(window, st.sampled_from(sorted(ORDINARY)), st.integers(0, 3_000))
@settings(max_examples=300, deadline=None)
def test_a_verdict_without_a_meter_holds_whatever_it_counted(
    counted: dict[str, tuple[int, int]], absent: str, wh: int
) -> None:
    measured = {name: Measured(*energy, 1_000, 1) for name, energy in counted.items()}
    del measured[absent]
    without = judge(FEEDER, PARAMETERS, measured).verdict
    assert without is not Verdict.BALANCED
    if without is not Verdict.INCONCLUSIVE:
        exported = min(wh, 1_376) if absent in ("pv", "b0") else 0
        for energy in ((wh, 0), (0, exported)):
            measured[absent] = Measured(*energy, 1_000, 1)
            assert judge(FEEDER, PARAMETERS, measured).verdict is not Verdict.BALANCED


uint64 = st.one_of(st.integers(0, 3), st.integers(2**64 - 3, 2**64 - 1))
wild = st.fixed_dictionaries(
    {},
    optional={
        "interval_start_s": st.one_of(uint64, st.just(START_S - 900)),
        "import_wh": uint64,
        "export_wh": uint64,
        "import_advance_wh": uint64,
        "export_advance_wh": uint64,
        "sequence": uint64,
        "boots": uint64,
        "operating_s": uint64,
        "previous": st.binary(min_size=32, max_size=32),
        "clock": st.builds(ClockEvidence, st.integers(0, 3), uint64, uint64, uint64),
        "position": st.builds(Position, uint64, uint64, uint64, st.integers(0, 5)),
    },
)


@given(st.lists(st.tuples(st.sampled_from(sorted(ORDINARY)), wild), max_size=6))
@settings(max_examples=150, deadline=None)
def test_no_signed_reading_however_wild_stops_a_block(
    changes: list[tuple[str, dict[str, object]]],
) -> None:
    village = Village()
    readings = list(village.close(0).values())
    for name, changed in changes:
        meter = village.meters[name]
        readings.append(meter.sign(meter.reading(1, *ORDINARY[name], **changed)))
    execution = village.execute([village.batch(readings, 1)], 1)
    village.app.commit(execution)
    assert names(execution)[0][:5] == ["accepted"] * 5
    rows = [(table, row, value) for table, row, value in execution.writes if value is not None]
    twin = Village()
    twin.app.restore(rows)
    following = [village.batch(village.close(2).values(), 2)]
    assert twin.execute(following, 2) == village.execute(following, 2)


def closed(village: Village, slots: list[dict[str, tuple[int, int]]]) -> list[bytes]:
    return [
        reading
        for slot, counted in enumerate(slots)
        for reading in village.close(slot, **counted).values()
    ]


def last_seals(village: Village) -> dict[tuple[str, int], ZoneSeal]:
    return {(seal.zone, seal.start_s): seal for seal in village.seals}


@given(history, st.randoms(use_true_random=False), st.integers(1, 7))
@settings(max_examples=40, deadline=None)
def test_a_permutation_of_readings_gives_the_same_seals_and_credits(
    slots: list[dict[str, tuple[int, int]]], chance: Random, size: int
) -> None:
    village, twin = Village(), Village()
    readings = closed(village, slots)
    village.commit([village.batch(readings, len(slots))], len(slots))
    chance.shuffle(readings)
    parts = [readings[at : at + size] for at in range(0, len(readings), size)]
    twin.commit([twin.batch(part, len(slots)) for part in parts], len(slots))
    assert twin.seals == village.seals
    assert list(twin.app.state.rows(CREDIT)) == list(village.app.state.rows(CREDIT))
    assert list(twin.app.state.rows(READING)) == list(village.app.state.rows(READING))


@given(history, st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_a_permutation_of_transactions_gives_the_same_state_root(
    slots: list[dict[str, tuple[int, int]]], chance: Random
) -> None:
    village = Village()
    batches = [village.batch([reading], len(slots)) for reading in closed(village, slots)]
    expected = village.execute(batches, len(slots))
    chance.shuffle(batches)
    found = village.execute(batches, len(slots))
    assert (found.state_root, found.zone_root) == (expected.state_root, expected.zone_root)
    assert found.writes == expected.writes


@given(history, st.integers(1, 7))
@settings(max_examples=25, deadline=None)
def test_arrival_over_many_blocks_ends_in_the_same_verdicts(
    slots: list[dict[str, tuple[int, int]]], size: int
) -> None:
    village, twin = Village(), Village()
    readings = closed(village, slots)
    village.commit([village.batch(readings, len(slots))], len(slots))
    for at in range(0, len(readings), size):
        twin.commit([twin.batch(readings[-at - size : len(readings) - at], 9)], 9)
    ours, theirs = last_seals(village), last_seals(twin)
    assert ours.keys() <= theirs.keys()
    for name, seal in ours.items():
        assert (theirs[name].verdict, theirs[name].inputs_root) == (seal.verdict, seal.inputs_root)
        assert theirs[name].residual_wh == seal.residual_wh


@given(history)
@settings(max_examples=25, deadline=None)
def test_replays_change_nothing_and_settled_is_what_balanced_seals_used(
    slots: list[dict[str, tuple[int, int]]],
) -> None:
    village = Village()
    batches: list[Batch] = []
    for slot, counted in enumerate(slots):
        batches.append(village.batch(village.close(slot, **counted).values(), slot))
        village.commit(batches[-1:], slot)
    again = [village.batch(batch.readings, 3, gateway="gw-b") for batch in batches]
    execution = village.execute(again, 3)
    assert {table for table, _, _ in execution.writes} <= {"batch", "cursor", "root"}
    assert execution.seals == ()
    balanced_starts = {x.start_s for x in village.seals if x.verdict is Verdict.BALANCED}
    settled = [Credit.of(value) for _, value in village.app.state.rows(CREDIT)]
    sealed = [
        slots[slot] for slot, seal in enumerate(village.seals) if seal.start_s in balanced_starts
    ]
    inner = [energy for counted in sealed for name, energy in counted.items() if name != "b0"]
    assert sum(each.import_wh for each in settled) == sum(energy[0] for energy in inner)
    assert sum(each.export_wh for each in settled) == sum(energy[1] for energy in inner)
