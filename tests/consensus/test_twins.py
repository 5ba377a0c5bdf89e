"""One validator runs twice: every splitting of the network in the first rounds is played."""

import json
from collections.abc import Callable

import pytest

from gridwitness.cli import main
from validator.consensus.justification import Committee
from validator.consensus.machine import Machine
from validator.simulation import twins
from validator.simulation.runs import validators

FOUR = validators(4)


def test_nodes_are_split_in_every_way() -> None:
    bell = {1: 1, 2: 16, 3: 41, 5: 52}  # Of five, into at most so many groups.
    assert {groups: len(twins.splits(5, groups)) for groups in bell} == bell
    assert len(set(twins.splits(5, 5))) == 52


@pytest.mark.parametrize(("rounds", "groups"), [(1, 2), (1, 5)])
def test_no_splitting_breaks_agreement_or_blames_the_honest(rounds: int, groups: int) -> None:
    failures = [twins.play(FOUR, *each) for each in twins.scenarios(4, rounds, groups)]
    assert [each for each in failures if each is not None] == []


def test_a_twin_that_speaks_twice_to_the_same_is_found_out() -> None:
    everybody = twins.Weather((frozenset(range(5)),))
    scenario = twins.Scenario(FOUR, 0, (everybody,))
    assert scenario.play() == []
    assert scenario.checkers.reported == {FOUR.ids[0]}


def forget_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """A validator that does not carry along what it has prepared (etcd's and others' old bug)."""
    move = Machine._move

    def forgetful(machine: Machine, round_number: int) -> None:
        machine.certificate = None
        move(machine, round_number)

    monkeypatch.setattr(Machine, "_move", forgetful)


def count_a_smaller_quorum(monkeypatch: pytest.MonkeyPatch) -> None:
    """int(0.67 n) is 2 of 4."""
    init = Committee.__init__

    def smaller(committee: Committee, *args: object) -> None:
        init(committee, *args)  # type: ignore[arg-type]
        object.__setattr__(committee, "quorum", int(0.67 * 4))

    monkeypatch.setattr(Committee, "__init__", smaller)


@pytest.mark.parametrize("plant", [forget_certificates, count_a_smaller_quorum])
def test_a_planted_bug_shows_in_some_splitting(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    found = (twins.play(FOUR, *each) for each in twins.scenarios(4, 1, 2))
    failure = next(each for each in found if each is not None)
    again = twins.play(FOUR, failure.twinned, failure.rounds)
    assert again == failure
    assert " twice; " in str(failure)


def test_the_twins_command_prints_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "twins", "--rounds", "1", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (summary["scenarios"], summary["failures"]) == (384, [])
    assert main(["sim", "twins", "--validators", "3"]) == 2
