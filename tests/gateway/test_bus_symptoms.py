"""What is wrong on a bus is told in words, from what the actor reports."""

from typing import Any

import pytest

from gateway.operation.symptoms import _bus

CALM = {"state": "up", "reason": "", "babbling_units": [], "echoes": False, "answers": 900}


def words_of(
    states: dict[str, str], errors: dict[str, int] | None = None, **bus: Any
) -> tuple[bool, str]:
    report = {
        "meters": {name: {"state": state} for name, state in states.items()},
        "meter_errors": {name: errors or {} for name in states},
    }
    whole = {**CALM, "errors": errors or {}, "meters": list(states), **bus}
    [finding] = _bus("b", whole, report)
    return finding.good, finding.words


@pytest.mark.parametrize(
    ("states", "changes", "words"),
    [
        ("live live", {"state": "down", "reason": "another program has it"}, "another program"),
        ("live live", {"state": "babbling", "babbling_units": [7]}, "unit 7"),
        ("live live", {"state": "babbling"}, "nobody knows which"),
        ("dead dead", {}, "nobody answers: A and B swapped"),
        ("dead dead", {"errors": {"garbled": 500}}, "baud rate, parity or stop bits"),
        ("dead live", {}, "m0 is silent while others answer"),
        ("held live", {}, "m0 is not what is registered"),
        ("refusing live", {}, "m0 answers and gives no energy"),
        ("dead refusing live", {}, "m0 is silent while others answer"),
        ("live live", {"errors": {"garbled": 500}}, "nearly all of m0"),
    ],
)
def test_each_trouble_of_a_bus_is_told_apart(
    states: str, changes: dict[str, Any], words: str
) -> None:
    found = words_of({f"m{at}": each for at, each in enumerate(states.split())}, **changes)
    assert not found[0]
    assert words in found[1]


def test_a_bus_that_is_well_says_so_and_names_an_adapter_that_echoes() -> None:
    assert words_of({"m0": "live", "m1": "live"}) == (True, "2 meters answer")
    assert "hears its own requests" in words_of({"m0": "live"}, echoes=True)[1]
