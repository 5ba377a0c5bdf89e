"""Every rule has its number, parameters and reason codes; every code of a reading is given."""

import importlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.app.village import INTERVAL_S, SITE, START_S, Village, signer
from validator.app.parameters import Parameters
from validator.app.rules import RULES, Rule, effective
from wire.reading import Position, ReactiveEnergy, sign_reading
from wire.results import ACCEPTED, REASONS

FAR_AWAY = (SITE[0] + 200_000, SITE[1])
Case = Callable[[Village], str]


def test_numbers_are_unique_and_in_order_within_their_letter() -> None:
    numbers = [rule.number for rule in RULES]
    assert len(set(numbers)) == len(numbers)
    letters = [number[0] for number in numbers]
    for letter in dict.fromkeys(letters):
        own = [int(number[1:]) for number in numbers if number[0] == letter]
        assert own == list(range(1, len(own) + 1))


def test_every_parameter_belongs_to_a_rule_and_is_named_with_its_unit() -> None:
    named = {name for rule in RULES for name in rule.parameters}
    assert named == set(Parameters().items())
    units = ("_s", "_ms", "_m", "_ppm", "_intervals", "_num", "_den")
    assert all(name.endswith(units) for name in named)
    whole = [effective(Parameters(), rule) for rule in RULES]
    assert {name: value for each in whole for name, value in each.items()} == Parameters().items()


def test_every_code_of_a_reading_or_a_batch_belongs_to_one_rule() -> None:
    times = Counter(code for rule in RULES for code in rule.codes)
    assert set(times.values()) == {1}
    assert {code for code in REASONS if ACCEPTED < code < 60} <= times.keys()
    assert times.keys() <= REASONS.keys()


@pytest.mark.parametrize("rule", RULES, ids=[rule.number for rule in RULES])
def test_every_rule_names_the_module_that_decides_it(rule: Rule) -> None:
    assert importlib.import_module(f"validator.app.{rule.module}").__doc__
    assert all(REASONS[code].words for code in rule.codes)


def changed(name: str = "c1", **changes: Any) -> Case:
    """One reading of slot 0 that says something else."""

    def case(village: Village) -> str:
        reading = village.meters[name].reading(0, 0, 0, **changes)
        return village.decide(village.meters[name].sign(reading), 0)

    return case


def after(first: dict[str, Any], **changes: Any) -> Case:
    """A reading of slot 1 after one of slot 0."""

    def case(village: Village) -> str:
        meter = village.meters["c1"]
        assert village.decide(meter.close(0, 500, 0, **first), 1) == "accepted"
        return village.decide(meter.sign(meter.reading(1, 500, 0, **changes)), 1)

    return case


def registered(place: int, table: str = "meters", **entry: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content[table][place].update(entry)


def as_ever(content: dict[str, Any]) -> None:
    """The village."""


def spoilt(village: Village) -> str:
    encoded = bytearray(village.meters["c1"].close(0, 0, 0))
    encoded[-1] ^= 1
    return village.decide(bytes(encoded), 0)


def by_a_stranger(village: Village) -> str:
    reading = village.meters["c1"].reading(0, 0, 0)
    return village.decide(sign_reading(reading, signer("stranger")), 0)


def twice(village: Village) -> str:
    encoded = village.meters["c1"].close(0, 0, 0)
    assert village.decide(encoded, 0) == "accepted"
    return village.decide(encoded, 0)


def contradicted(village: Village) -> str:
    meter = village.meters["c1"]
    assert village.decide(meter.sign(meter.reading(0, 1, 0)), 0) == "accepted"
    return village.decide(meter.sign(meter.reading(0, 2, 0)), 0)


def early(village: Village) -> str:
    encoded = village.meters["c1"].close(0, 0, 0)
    return village.decide(encoded, 0, witnessed_at_s=START_S + INTERVAL_S - 3)


def through(gateway: str) -> Case:
    return lambda village: village.decide(village.meters["c1"].close(0, 0, 0), 0, gateway=gateway)


def too_late(village: Village) -> str:
    return village.decide(village.meters["c1"].close(0, 0, 0), 36 * 96)


CASES = [
    (1, as_ever, twice),
    (2, as_ever, too_late),
    (10, as_ever, lambda village: village.decide(b"garbage", 0)),
    (11, as_ever, changed(meter="stranger")),
    (12, as_ever, changed(origin=2)),
    (13, as_ever, by_a_stranger),
    (14, as_ever, spoilt),
    (15, as_ever, contradicted),
    (20, as_ever, changed(interval_s=1_800)),
    (21, as_ever, early),
    (22, as_ever, changed("c3", sequence=7)),
    (23, as_ever, after({}, import_wh=900_000)),
    (24, as_ever, after({}, import_advance_wh=499)),
    (25, as_ever, after({}, boots=0)),
    (26, as_ever, after({}, operating_s=4_999)),
    (27, as_ever, after({}, previous=bytes(32))),
    (30, as_ever, changed(node="n2")),
    (31, as_ever, changed(configuration_id=bytes(8))),
    (32, registered(1, software="01020304"), changed()),
    (33, registered(1, "gateways", zones=[]), through("gw-b")),
    (34, registered(1, site=FAR_AWAY), changed()),
    (35, as_ever, changed(position=Position(*FAR_AWAY, 20, 3))),
    (40, as_ever, changed(import_wh=2_000_000, import_advance_wh=3_752)),
    (41, as_ever, changed("pv", export_wh=2_000, export_advance_wh=1_377)),
    (42, as_ever, changed(export_wh=1, export_advance_wh=1)),
    (43, as_ever, changed(reactive=ReactiveEnergy(9_000, 0, 3_752, 0))),
]


@pytest.mark.parametrize(("code", "edit", "case"), CASES, ids=[str(code) for code, *_ in CASES])
def test_each_code_of_a_reading_is_given(
    code: int, edit: Callable[[dict[str, Any]], None], case: Case
) -> None:
    assert case(Village(edit)) == REASONS[code].name


def test_the_table_has_every_code_that_needs_no_transaction() -> None:
    by_transaction = {16, 17}
    codes = {code for code in REASONS if ACCEPTED < code < 50}
    assert {code for code, *_ in CASES} == codes - by_transaction
