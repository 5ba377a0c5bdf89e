"""Above the threshold agreement may break; then f + 1 liars are named. Nobody correct ever is."""

import json
from collections import Counter

import pytest

from gridwitness.cli import main
from tests.consensus.hand import (
    NETWORK,
    OTHER,
    OTHER_BLOCK,
    VALIDATORS,
    certificate,
    change,
    commit,
    prepare,
    proposal,
)
from tests.consensus.mutation import Edit, Mutant, planted
from validator.consensus import forensics
from validator.consensus.evidence import Evidence
from validator.consensus.forensics import examine
from validator.consensus.machine import Machine
from validator.consensus.messages import Message
from validator.simulation.coalition import Crash, Torn, ending, failures
from validator.simulation.runs import validators


@pytest.mark.parametrize(
    ("count", "liars", "seeds"), [(4, 2, 250), (7, 3, 150), (7, 4, 150), (10, 4, 50)]
)
def test_who_breaks_agreement_is_named(count: int, liars: int, seeds: int) -> None:
    members = validators(count)
    ends = [ending(members, liars, seed) for seed in range(seeds)]
    assert [words for end in ends for words in failures(members, end)] == []
    forks = [end for end in ends if end.values > 1]
    assert len(forks) > seeds // 10, "else nothing was shown"
    assert all(end.verdict.forks == (1,) for end in forks)
    kinds = Counter(evidence.kind for end in forks for evidence in end.verdict.evidence)
    assert {"amnesia", "double-commit"} <= kinds.keys()


@pytest.mark.parametrize(("count", "liars"), [(4, 1), (7, 2)])
def test_up_to_the_threshold_nothing_breaks(count: int, liars: int) -> None:
    members = validators(count)
    ends = [ending(members, liars, seed) for seed in range(100)]
    assert [end.seed for end in ends if end.values > 1 or end.verdict.forks] == []
    assert [words for end in ends for words in failures(members, end)] == []


@pytest.mark.parametrize("torn", Torn)
def test_a_crash_at_any_effect_frames_nobody(torn: Torn) -> None:
    """Among liars, at each effect in turn, with each way that a record can be torn."""
    members = validators(4)
    for seed, liars in ((0, 1), (1, 2), (2, 1), (3, 2), (4, 1), (5, 2)):
        for place in range(len(members) - liars):
            effects = ending(members, liars, seed).effects
            for effect in range(1, effects + 1):
                end = ending(members, liars, seed, Crash(place, effect, torn))
                assert failures(members, end) == [], (place, effect)


def test_a_validator_that_forgets_in_a_crash_would_be_named() -> None:
    """The check is not blind: take the sign-state away, and the crashed one is blamed."""
    members = validators(4)
    forget = Edit(Machine, "restore", "for message, certificate in said:", "for message, _ in ():")
    with planted(Mutant(14, "a restart forgets", (forget,))):
        crashes = (Crash(0, effect, Torn.KEPT) for effect in range(1, 60))
        assert any(failures(members, ending(members, 1, 0, crash)) for crash in crashes)


CHANGES = tuple(change(name, 1) for name in "acd")
AGAIN = proposal("b", 1, (OTHER, OTHER_BLOCK), CHANGES)
OF_B: list[Message] = [
    proposal("a"),
    *(prepare(name) for name in "abd"),
    *(commit(name) for name in "abd"),
]
OF_C: list[Message] = [AGAIN, *(commit(name, 1, OTHER) for name in "acd")]


def test_transcripts_prove_together_what_each_alone_does_not() -> None:
    """b decided x in round 0; c took part in round 1, where a proposal forgot it."""
    assert examine([OF_B], VALIDATORS).culprits == frozenset()
    assert examine([OF_C], VALIDATORS).forks == ()
    verdict = examine([OF_B, OF_C], VALIDATORS)
    assert verdict.culprits == {"a", "d"}
    assert verdict.forks == (AGAIN.height,)
    for evidence in verdict.evidence:
        assert Evidence.open(evidence.encoded, NETWORK, VALIDATORS).kind == "amnesia"


def test_without_what_is_attached_to_proposals_nobody_is_named() -> None:
    deaf = Edit(forensics, "statements", "if isinstance(message, Proposal):", "if False:")
    with planted(Mutant(0, "attachments are not read", (deaf,))):
        assert examine([OF_B, OF_C], VALIDATORS).culprits == frozenset()


def test_an_honest_transcript_names_nobody() -> None:
    proof = certificate()
    history: list[Message] = [proposal("a"), *proof.prepares, commit("b"), change("c", 2)]
    history += [change("b", 1, proof), change("b", 2, certificate(1))]
    assert examine([history, history], VALIDATORS).evidence == ()


def test_the_command_reports_forks_and_culprits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "consensus", "--byzantine", "2", "--seeds", "40", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["forks"] > 0
    assert summary["fewest_named_in_a_fork"] >= summary["must_name"] == 2
    assert summary["failures"] == []
    assert main(["sim", "consensus", "--byzantine", "3"]) == 2
