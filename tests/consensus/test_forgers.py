"""Against an adversary that forges whatever it may: one value, nobody blamed, bounded memory."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.consensus.battle import Battle, most_objects
from tests.consensus.mutation import Edit, Mutant, planted
from tests.consensus.size import kept_objects
from validator.consensus import effects as do
from validator.consensus import justification, messages
from validator.consensus.machine import Machine
from validator.consensus.messages import Commit, Prepare, Proposal, RoundChange
from validator.consensus.timeouts import Timeouts
from validator.simulation.runs import validators


def lost(battle: Battle) -> list[str]:
    """What went wrong, in words."""
    wrong = list(battle.wrong)
    if battle.blamed() - battle.liars:
        wrong.append(f"{sorted(battle.blamed() - battle.liars)} are blamed and honest")
    if not battle.calm():
        wrong.append("nobody has a block after the forger fell silent")
    return wrong + battle.wrong[len(wrong) :]


@pytest.mark.parametrize(("count", "liars", "seeds"), [(4, 1, 30), (7, 2, 12)])
def test_no_forgery_breaks_agreement_or_frames_anybody(count: int, liars: int, seeds: int) -> None:
    taken = refused = 0
    for seed in range(seeds):
        battle = Battle(random.Random(seed), count, liars)
        battle.fight(500)
        assert lost(battle) == [], seed
        taken, refused = taken + battle.taken, refused + battle.refused
    assert taken > 100 * seeds, "else it proves little"
    assert refused > 10 * seeds, "else it proves little"


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_no_forgery_that_hypothesis_finds_does(chance: random.Random) -> None:
    battle = Battle(chance, 4, 1)
    battle.fight(60)
    assert lost(battle) == []


FORGERIES = {
    "attachments are not checked": Edit(
        messages, "open_message", "for each in (message, *attached):", "for each in (message,):"
    ),
    "any signature will do": Edit(
        messages, "_check_signature",
        "key.verify(message.signed_bytes(network), message.signature)", "pass",
    ),
    "proposals need no justification": Edit(
        justification, "check_proposal", "if proposal.round == 0:", "if not proposal.prepares:\n"
        "        return True\n    if proposal.round == 0:",
    ),
    "bodies are kept as they come": Edit(
        Machine, "_on_proposal", "self._examine(",
        "self._bodies.keep(proposal.digest, proposal.block)\n    self._examine(",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_the_forger_finds_a_door_that_is_open(name: str) -> None:
    with planted(Mutant(0, name, (FORGERIES[name],))):
        for seed in range(60):
            battle = Battle(random.Random(seed), 4, 1)
            try:
                battle.fight(500)
            except OverflowError:
                return  # It has been led to the last round of all.
            if lost(battle):
                return
    pytest.fail("60 fights saw nothing wrong")


@pytest.mark.parametrize("count", [4, 7, 13, 31])
def test_memory_grows_with_the_validators_and_not_with_the_flood(count: int) -> None:
    """f liars send 400 rounds of everything that a signature alone makes acceptable."""
    members = validators(count)
    machine = Machine(members.ids[-1], 1, members, members.ids, Timeouts())
    machine.step(do.BlockTimer(1))
    for liar in members.ids[: members.faulty]:
        for number in range(400):
            digest = number.to_bytes(32, "big")
            for message in (
                Prepare(1, number, liar, digest),
                Commit(1, number, liar, digest),
                Prepare(1, number, liar, bytes(32)),
                RoundChange(1, 2**30 + number, liar, None, None),
                RoundChange(1, number + 1, liar, number, digest),
                Proposal(1, number, liar, digest, bytes(100)),
                Proposal(1, 0, liar, digest, bytes(100)),
            ):
                machine.step(do.Received(message))
    assert kept_objects(machine) <= most_objects(count)
