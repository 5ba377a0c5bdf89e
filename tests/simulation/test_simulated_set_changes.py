"""Sets that change in seeded networks: safe at every step, alive after healing, nobody framed."""

import pytest

from validator.consensus.messages import Commit
from validator.simulation.faults import Faults
from validator.simulation.marks import is_final, sign
from validator.simulation.network import Network
from validator.simulation.runs import run, validators, vary
from validator.simulation.set_changes import Rule, Sets, unchanging
from wire.block import Commit as BlockCommit

HASH = bytes(32)
SEVEN = validators(7)
FOUR = validators(4)


@pytest.mark.parametrize(("count", "byzantine", "seeds"), [(4, 1, 40), (7, 2, 10), (10, 3, 10)])
def test_no_seed_with_set_changes_breaks_agreement_or_stays_stuck(
    count: int, byzantine: int, seeds: int
) -> None:
    faults = Faults(byzantine=byzantine, heal_at_ms=30_000, changes=8)
    found = [run(validators(count), vary(faults, seed), seed) for seed in range(seeds)]
    assert [each.seed for each in found if each.safety] == []
    assert [each.seed for each in found if not each.alive] == []
    assert max(each.sets for each in found) >= 4
    assert sum(each.keys for each in found) >= 4


def test_who_goes_on_signing_by_its_old_key_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Network, "_signed", lambda _, message: sign(message))
    faults = Faults(heal_at_ms=30_000, changes=8)
    found = [words for seed in range(3) for words in run(FOUR, vary(faults, seed), seed).safety]
    assert any("by another key than its own" in words for words in found)


def test_a_block_changes_one_validator_two_heights_later() -> None:
    sets = Sets(Rule(SEVEN, FOUR))
    sets.add(["t1", "+v005.1", "+v006.2"])
    assert [len(sets.at(height)) for height in (1, 2, 3, 9)] == [4, 4, 5, 5]
    assert sets.at(3).ids[-1] == "v005"
    sets.add(["-v000.3"])
    assert sets.at(4).ids == ("v001", "v002", "v003", "v005")


def test_a_member_changes_its_key_and_seals_by_it_from_then_on() -> None:
    sets = Sets(Rule(SEVEN, FOUR))
    sets.add(["~v005.1", "~v001.2", "~v002.3"])
    before, after = sets.at(2), sets.at(3)
    assert before.ids == after.ids
    changed = [name for name in FOUR.ids if before.key(name) != after.key(name)]
    assert changed == ["v001"], "v005 is no member, and a block changes one"
    for height, members, other in ((2, before, after), (3, after, before)):
        votes = (sign(Commit(height, 0, name, HASH), members.key(name)) for name in FOUR.ids[:3])
        commit = BlockCommit(0, HASH, tuple(enumerate(each.signature for each in votes)))
        assert is_final(commit, members, height)
        assert not is_final(commit, other, height)


def test_fewer_than_at_the_beginning_are_never_left() -> None:
    rule = Rule(SEVEN, FOUR)
    assert rule.after(FOUR, ["-v000.1"]) == FOUR
    assert rule.after(FOUR, ["-v009.1", "+v001.2", "+v009.3"]) == FOUR
    assert unchanging(FOUR).after(FOUR, ["+v001.1", "+v005.2"]) == FOUR
