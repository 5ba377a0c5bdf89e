"""Rules R1 to R12, one machine at a time, its driver played by hand."""

import pytest

from tests.consensus.hand import (
    BLOCK,
    DIGEST,
    HEIGHT,
    NAMES,
    NETWORK,
    OTHER,
    OTHER_BLOCK,
    VALIDATORS,
    Hand,
    certificate,
    change,
    commit,
    of_kind,
    prepare,
    proposal,
    value,
)
from validator.consensus import effects as do
from validator.consensus.messages import Commit, Prepare, Proposal, RoundChange
from validator.consensus.timeouts import LAST_ROUND
from wire.block import verify_commit

BEGIN = do.BlockTimer(HEIGHT)


def test_r1_leaders_take_turns() -> None:
    machine = Hand().machine
    assert [machine.leader(number) for number in range(6)] == list("abcdab")


def test_r2_the_leader_builds_when_the_block_timer_runs_out_and_nobody_else() -> None:
    assert of_kind(Hand("a").give(BEGIN), do.BuildBlock)
    assert not of_kind(Hand("b").give(BEGIN), do.BuildBlock)


def test_r2_a_block_timer_counts_once_and_for_its_height() -> None:
    hand = Hand("a")
    assert not hand.give(do.BlockTimer(HEIGHT + 1))
    hand.give(BEGIN)
    assert not hand.give(BEGIN)


def test_r3_a_round_doubles_its_time_up_to_the_cap() -> None:
    hand = Hand("d")
    hand.give(BEGIN)
    delays = []
    for number in range(7):
        hand.hear(*(change(name, number) for name in "abc" if number))
        delays += [
            each.delay_ms for each in of_kind(hand.effects, do.SetTimer) if each.kind == "round"
        ][-1:]
        hand.time_out()
    assert delays == [1_000, 2_000, 4_000, 8_000, 8_000, 8_000, 8_000]


def test_r4_a_valid_proposal_is_prepared() -> None:
    hand = Hand()
    hand.hear(proposal("a"))
    assert hand.spoke() == [("prepare", 0)]
    assert hand.said[0].digest == DIGEST  # type: ignore[union-attr]  # the message is a PREPARE


def test_r4_a_proposal_that_is_not_valid_gets_no_prepare() -> None:
    hand = Hand()
    hand.valid = False
    hand.hear(proposal("a"))
    assert hand.spoke() == []


def test_r4_only_the_rounds_leader_proposes() -> None:
    hand = Hand()
    hand.hear(proposal("c"))
    assert hand.spoke() == []


def test_r4_the_first_proposal_of_a_round_counts_and_two_are_evidence() -> None:
    hand = Hand()
    hand.hear(proposal("a"))
    found = hand.hear(proposal("a", content=(OTHER, OTHER_BLOCK)))
    assert hand.spoke() == [("prepare", 0)]
    (report,) = of_kind(found, do.Report)
    assert (report.evidence.kind, report.evidence.sender) == ("double-proposal", "a")


def test_r4_a_justified_proposal_of_a_later_round_pulls_along() -> None:
    hand = Hand("c")
    hand.give(BEGIN)
    changes = tuple(change(name, 1) for name in "abd")
    hand.hear(proposal("b", 1, changes=changes))
    assert hand.machine.round == 1
    assert hand.spoke() == [("prepare", 1)]


def test_r4_an_unjustified_proposal_of_a_later_round_does_not() -> None:
    hand = Hand("c")
    hand.give(BEGIN)
    for changes in ((), tuple(change(name, 1) for name in "ab")):
        hand.hear(proposal("b", 1, changes=changes))
    assert hand.machine.round == 0
    assert hand.spoke() == []


def test_r5_a_quorum_of_distinct_prepares_makes_a_commit_with_its_certificate() -> None:
    hand = Hand()
    hand.hear(proposal("a"), prepare("a"), prepare("a"), prepare("a"))
    assert hand.spoke() == [("prepare", 0)]
    hand.hear(prepare("c"))
    assert hand.spoke() == [("prepare", 0), ("commit", 0)]
    kept = hand.certificates[-1]
    assert kept is not None
    assert [each.sender for each in kept.prepares] == ["a", "b", "c"]


def test_r5_prepares_for_another_value_do_not_count() -> None:
    hand = Hand()
    hand.hear(proposal("a"), prepare("c", digest=OTHER), prepare("d", digest=OTHER))
    assert hand.spoke() == [("prepare", 0)]


def test_r6_a_quorum_of_commits_is_final_and_its_seals_verify() -> None:
    hand = Hand()
    hand.hear(proposal("a"))
    found = hand.hear(commit("a"), commit("c"), commit("d"))
    (final,) = of_kind(found, do.Commit)
    assert (final.digest, final.block) == (DIGEST, BLOCK)
    verify_commit(final.commit, VALIDATORS, NETWORK, HEIGHT)
    assert hand.hear(prepare("d")) == []


def test_r6_ones_own_commit_counts_only_when_prepared() -> None:
    hand = Hand()
    hand.hear(proposal("a"))
    assert not of_kind(hand.hear(commit("a"), commit("c")), do.Commit)


def test_r6_late_commits_of_an_older_round_still_decide() -> None:
    hand = Hand()
    hand.hear(proposal("a"), commit("a"), commit("c"))
    hand.time_out()
    assert hand.machine.round == 1
    assert of_kind(hand.hear(commit("d")), do.Commit)


def test_r6_an_unknown_block_is_fetched_from_its_voters() -> None:
    hand = Hand()
    found = hand.hear(commit("a"), commit("c"), commit("d"))
    (fetch,) = of_kind(found, do.FetchBlock)
    assert set(fetch.holders) == {"a", "c", "d"}
    assert of_kind(hand.give(do.BlockFetched(DIGEST, BLOCK)), do.Commit)


def test_r7_a_time_out_moves_on_and_says_so() -> None:
    hand = Hand("c")
    hand.give(BEGIN)
    hand.time_out()
    assert hand.machine.round == 1
    assert hand.spoke() == [("round-change", 1)]


def test_r7_a_time_out_of_another_round_changes_nothing() -> None:
    hand = Hand("c")
    hand.give(BEGIN)
    hand.time_out()
    assert hand.give(do.Timeout(do.ROUND_TIMER, HEIGHT, 0)) == []


def round_timers(found: list[do.Effect]) -> list[tuple[int, int]]:
    timers = [each for each in of_kind(found, do.SetTimer) if each.kind == do.ROUND_TIMER]
    return [(each.round, each.delay_ms) for each in timers]


def test_r7_a_later_rounds_time_begins_when_a_quorum_is_in_it() -> None:
    """Else one could stay a whole capped round ahead of the others, and no round has a quorum."""
    hand = Hand("c")
    assert round_timers(hand.give(BEGIN)) == [(0, 1_000)]
    assert round_timers(hand.time_out()) == []
    assert round_timers(hand.hear(change("a", 1), change("a", 1))) == []
    assert round_timers(hand.hear(change("b", 3))) == [(1, 2_000)]
    assert round_timers(hand.hear(change("d", 1))) == [], "it is running already"


def test_r7_a_vote_shows_its_senders_round_too() -> None:
    hand = Hand("c")
    hand.give(BEGIN)
    hand.time_out()
    assert round_timers(hand.hear(prepare("a", 1), commit("b", 2))) == [(1, 2_000)]


def test_r7_a_justified_proposal_shows_that_a_quorum_is_in_its_round() -> None:
    hand = Hand("c")
    hand.give(BEGIN)
    changes = tuple(change(name, 1) for name in "abd")
    assert (1, 2_000) in round_timers(hand.hear(proposal("b", 1, changes=changes)))


def test_r7_what_was_prepared_is_carried_along() -> None:
    hand = Hand()
    hand.hear(proposal("a"), prepare("a"), prepare("c"))
    hand.time_out()
    last = hand.said[-1]
    assert isinstance(last, RoundChange)
    assert (last.prepared_round, last.prepared_digest) == (0, DIGEST)
    assert len(last.prepares) == 3


def test_r8_a_claim_that_is_not_proved_is_dropped() -> None:
    hand = Hand("c")
    hand.give(BEGIN)
    good = change("a", 3, certificate())
    weak = RoundChange(HEIGHT, 3, "b", 0, DIGEST, good.signature, good.prepares[:2])
    hand.hear(weak)
    found = hand.hear(change("a", 3))
    assert hand.machine.round == 0, "two changes were given, one of them counts"
    assert not of_kind(found, do.Report)


def test_r9_f_plus_one_in_later_rounds_pull_along_to_the_nearest() -> None:
    hand = Hand("c")
    hand.give(BEGIN)
    hand.hear(change("a", 7))
    assert hand.machine.round == 0
    hand.hear(change("b", 4))
    assert hand.machine.round == 4
    assert hand.spoke() == [("round-change", 4)]


def test_r9_who_is_lied_into_the_last_round_stays_there() -> None:
    hand = Hand("c")
    hand.give(BEGIN)
    hand.hear(change("a", LAST_ROUND), change("b", LAST_ROUND))
    assert hand.machine.round == LAST_ROUND
    hand.time_out()
    assert hand.machine.round == LAST_ROUND
    assert hand.spoke() == [("round-change", LAST_ROUND)]


def test_r9_one_sender_is_one_however_often_it_speaks() -> None:
    hand = Hand("c")
    hand.give(BEGIN)
    hand.hear(*(change("a", number) for number in range(1, 9)))
    assert hand.machine.round == 0


def test_r10_the_leader_of_a_later_round_proposes_anew_when_nothing_was_prepared() -> None:
    hand = Hand("b")
    hand.give(BEGIN)
    hand.hear(change("a", 1), change("c", 1))
    last = hand.said[-1]
    assert isinstance(last, Prepare)
    made = hand.said[-2]
    assert isinstance(made, Proposal)
    assert made.digest == value("built in 1")[0]
    assert len(made.round_changes) == 3
    assert made.prepares == ()


def test_r10_what_was_prepared_is_proposed_again_with_its_proof() -> None:
    hand = Hand("b")
    hand.hear(proposal("a"))
    hand.time_out()
    hand.hear(change("a", 1, certificate()), change("c", 1))
    made = next(each for each in hand.said if isinstance(each, Proposal))
    assert made.digest == DIGEST
    assert {each.sender for each in made.prepares} == {"a", "b", "c"}
    assert hand.spoke()[-1] == ("prepare", 1)


def test_r10_a_prepared_block_that_is_not_here_is_fetched_first() -> None:
    hand = Hand("b")
    hand.give(BEGIN)
    found = hand.hear(change("a", 1, certificate()), change("c", 1), change("d", 1))
    assert of_kind(found, do.FetchBlock)
    hand.give(do.BlockFetched(DIGEST, BLOCK))
    assert any(isinstance(each, Proposal) and each.digest == DIGEST for each in hand.said)


def test_a_lie_about_a_prepared_value_is_not_followed() -> None:
    """The adversary claims another value at the round of the proved one."""
    hand = Hand("c")
    hand.give(BEGIN)
    lie = RoundChange(HEIGHT, 1, "d", 0, OTHER)
    changes = (change("a", 1, certificate()), change("b", 1), lie)
    hand.hear(proposal("b", 1, (OTHER, OTHER_BLOCK), changes, certificate(0, OTHER).prepares))
    assert hand.spoke() == []


def test_r12_a_restart_takes_back_votes_round_and_certificate() -> None:
    before = Hand()
    before.hear(proposal("a"), prepare("a"), prepare("c"))
    before.time_out()
    again = Hand()
    said = list(zip(before.said, before.certificates, strict=True))
    found = again.machine.restore(said)
    assert again.machine.round == 1
    assert again.machine.certificate == certificate()
    assert not of_kind(found, do.Speak), "nothing is signed anew"
    (resent,) = of_kind(found, do.Resend)
    assert resent.message == before.said[-1]


def test_r12_after_a_restart_no_slot_is_spoken_twice() -> None:
    before = Hand()
    before.hear(proposal("a"))
    again = Hand()
    again.machine.restore(list(zip(before.said, before.certificates, strict=True)))
    again.hear(proposal("a", content=(OTHER, OTHER_BLOCK)), proposal("a"))
    assert again.spoke() == []
    again.hear(prepare("a"), prepare("c"))
    assert again.spoke() == [("commit", 0)]


def test_messages_are_sent_again_until_the_height_is_over() -> None:
    hand = Hand()
    hand.hear(proposal("a"))
    found = hand.give(do.Timeout(do.RESEND_TIMER, HEIGHT, 0))
    assert [each.message.kind for each in of_kind(found, do.Resend)] == ["prepare"]
    assert of_kind(found, do.SetTimer)


def test_one_validator_alone_agrees_with_itself() -> None:
    from validator.consensus.machine import Machine
    from validator.consensus.timeouts import Timeouts
    from wire.block import ValidatorSet

    hand = Hand("a")
    alone = ValidatorSet(VALIDATORS.members[:1])
    hand.machine = Machine("a", HEIGHT, alone, ("a",), Timeouts())
    assert of_kind(hand.give(BEGIN), do.Commit)


def test_a_stranger_follows_without_a_voice() -> None:
    hand = Hand("z")
    hand.hear(proposal("a"), prepare("a"), prepare("b"), prepare("c"))
    assert hand.spoke() == []
    assert of_kind(hand.hear(commit("a"), commit("b"), commit("c")), do.Commit)


@pytest.mark.parametrize("kind", [Prepare, Commit])
def test_two_votes_in_a_round_are_evidence(kind: type) -> None:
    make = prepare if kind is Prepare else commit
    hand = Hand()
    found = hand.hear(make("c"), make("c", digest=OTHER))
    (report,) = of_kind(found, do.Report)
    assert report.evidence.sender == "c"
    assert report.evidence.kind == f"double-{make('c').kind}"


def test_forgetting_a_commit_is_evidence() -> None:
    hand = Hand()
    hand.hear(commit("c"))
    (report,) = of_kind(hand.hear(change("c", 2)), do.Report)
    assert report.evidence.kind == "amnesia"
    other = Hand()
    other.hear(change("c", 2))
    assert of_kind(other.hear(commit("c")), do.Report), "in either order"


def test_an_honest_history_frames_nobody() -> None:
    hand = Hand()
    hand.hear(proposal("a"), prepare("a"), prepare("c"), commit("c"))
    hand.hear(change("c", 2, certificate()), change("a", 2), prepare("c", 2, OTHER))
    assert not of_kind(hand.effects, do.Report)


def test_a_flood_of_rounds_keeps_memory_bounded() -> None:
    hand = Hand()
    hand.give(BEGIN)
    for number in range(1, 3_000):
        hand.machine.step(do.Received(Prepare(HEIGHT, number, "d", DIGEST)))
        hand.machine.step(do.Received(Commit(HEIGHT, number, "d", OTHER)))
        hand.machine.step(do.Received(RoundChange(HEIGHT, 2**31 + number, "d", None, None)))
    kept = hand.machine._prepares.by("d") + hand.machine._commits.by("d")
    assert len(kept) <= 16
    assert hand.machine.round == 0


def test_messages_of_other_heights_change_nothing() -> None:
    hand = Hand()
    from dataclasses import replace

    assert hand.hear(replace(proposal("a"), height=HEIGHT + 1)) == []
    assert VALIDATORS.ids == NAMES
