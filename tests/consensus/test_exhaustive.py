"""Every state of four validators within a bound; and planted bugs are found in some state."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from gridwitness.cli import main
from tests.consensus.mutation import Edit, Mutant, planted
from validator.consensus import justification
from validator.consensus.machine import Machine
from validator.consensus.votes import Ballots
from validator.simulation import exhaustive
from validator.simulation.exhaustive import explore
from validator.simulation.moves import Bound
from validator.simulation.runs import validators

FOUR = validators(4)
BOUNDS = [
    Bound(1, None),
    *(Bound(1, liar, silent) for liar in range(4) for silent in (False, True)),
]


@pytest.mark.parametrize("bound", BOUNDS, ids=str)
def test_no_state_of_two_rounds_decides_two_values_or_frames_anybody(bound: Bound) -> None:
    found = explore(FOUR, bound, heal_every=100)
    assert found.complete
    assert found.failure == ""
    assert found.values, "something can be decided"


def test_the_search_sees_the_same_states_in_whatever_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, order = exhaustive._successors, random.Random(5)

    def shuffled(*args: Any) -> Iterator[tuple[list[int], str]]:
        steps = list(real(*args))
        order.shuffle(steps)
        return iter(steps)

    first = explore(FOUR, Bound(1, 2))
    monkeypatch.setattr(exhaustive, "_successors", shuffled)
    assert explore(FOUR, Bound(1, 2)) == first


DEADLOCKS = {
    "a locked validator prepares nothing else": Edit(
        Machine, "_try_accept", "self._accepted = proposal.digest",
        "if self.certificate and self.certificate.digest != proposal.digest:\n"
        "        return None\n"
        "    self._accepted = proposal.digest",
    ),
    "every ROUND-CHANGE must claim what is proposed again": Edit(
        justification, "_check_value", "if change.prepared_round == newest.prepared_round",
        "if True",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DEADLOCKS)
def test_a_deadlock_shows_in_some_state(name: str) -> None:
    with planted(Mutant(0, name, (DEADLOCKS[name],))):
        found = explore(FOUR, Bound(1, 3), heal_every=1)
    assert found.failure.startswith("nobody commits though the network is whole")


def test_the_search_stops_at_its_bound_and_says_so() -> None:
    found = explore(FOUR, Bound(1, None), most_states=100)
    assert (found.states, found.complete) == (100, False)


PLANTED = {
    "a quorum of two of four": Edit(
        justification.Committee, "__init__", "", "def __init__(self, *args):\n"
        "    for name, value in zip(self.__slots__, args):\n"
        "        object.__setattr__(self, name, 2 if name == 'quorum' else value)\n"
    ),
    "a certificate is forgotten with its round": Edit(
        Machine, "_move", "self._enter(round_number)",
        "self._enter(round_number)\n    self.certificate = None",
    ),
    "a restart forgets the certificate": Edit(
        Machine, "restore", "if certificate is not None:", "if False:"
    ),
    "a restart forgets all": Edit(
        Machine, "restore", "for message, certificate in said:", "for message, certificate in ():"
    ),
    "votes are counted, not voters": Edit(
        Ballots, "add", "self._by_sender.setdefault(vote.sender, {})",
        "self._by_sender.setdefault(vote.sender if vote.kind == 'proposal' else"
        " str(len(self._by_sender)), {})",
    ),
    "a proved claim may be passed over": Edit(
        justification, "_check_value", "newest = newest_claim(proposal.round_changes)",
        "newest = newest_claim(proposal.round_changes) if proposal.prepares else None",
    ),
    "claims need no proof": Edit(
        justification, "check_claim", "if not quorum_prepared(", "if False and not quorum_prepared("
    ),
    "two ROUND-CHANGEs justify": Edit(
        justification, "check_proposal", "< committee.quorum", "< committee.quorum - 1"
    ),
    "one's own COMMIT counts on accepting": Edit(
        Machine, "_try_accept", "self._accepted = proposal.digest",
        "self._accepted = proposal.digest\n"
        "    self._commits.add(Commit(self.height, self.round, self.me, proposal.digest))",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_shows_in_some_state(name: str) -> None:
    liars = {"claims need no proof": 0, "two ROUND-CHANGEs justify": 1}
    liars |= {"a proved claim may be passed over": 1, "one's own COMMIT counts on accepting": 0}
    with planted(Mutant(0, name, (PLANTED[name],))):
        found = explore(FOUR, Bound(1, liars.get(name)))
    assert found.failure
    assert len(found.failure.splitlines()) > 1, "it tells the way"


def test_the_exhaustive_command_prints_what_it_saw(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "exhaustive", "--rounds", "2", "--liar", "3", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["complete"] is True
    assert summary["failures"] == []
    assert summary["states"] > 1_000
    assert main(["sim", "exhaustive", "--rounds", "0"]) == 2
