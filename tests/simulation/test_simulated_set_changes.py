"""Sets that change in seeded networks: safe at every step, alive after healing, nobody framed."""

import pytest

from validator.simulation.faults import Faults
from validator.simulation.runs import run, validators, vary
from validator.simulation.set_changes import Rule, Sets, unchanging

SEVEN = validators(7)
FOUR = validators(4)


@pytest.mark.parametrize(("count", "byzantine", "seeds"), [(4, 1, 40), (7, 2, 10)])
def test_no_seed_with_set_changes_breaks_agreement_or_stays_stuck(
    count: int, byzantine: int, seeds: int
) -> None:
    faults = Faults(byzantine=byzantine, heal_at_ms=30_000, changes=8)
    found = [run(validators(count), vary(faults, seed), seed) for seed in range(seeds)]
    assert [each.seed for each in found if each.safety] == []
    assert [each.seed for each in found if not each.alive] == []
    assert max(each.sets for each in found) >= 4


def test_a_block_changes_one_validator_two_heights_later() -> None:
    sets = Sets(Rule(SEVEN, FOUR))
    sets.add(["t1", "+v005.1", "+v006.2"])
    assert [len(sets.at(height)) for height in (1, 2, 3, 9)] == [4, 4, 5, 5]
    assert sets.at(3).ids[-1] == "v005"
    sets.add(["-v000.3"])
    assert sets.at(4).ids == ("v001", "v002", "v003", "v005")


def test_fewer_than_at_the_beginning_are_never_left() -> None:
    rule = Rule(SEVEN, FOUR)
    assert rule.after(FOUR, ["-v000.1"]) == FOUR
    assert rule.after(FOUR, ["-v009.1", "+v001.2", "+v009.3"]) == FOUR
    assert unchanging(FOUR).after(FOUR, ["+v001.1", "+v005.2"]) == FOUR
