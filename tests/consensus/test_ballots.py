"""What is kept of each sender, and what of a flood: the newest, once, in bounded memory."""

from tests.consensus.hand import DIGEST, HEIGHT, OTHER, Hand, certificate, change, of_kind, prepare
from validator.consensus import effects as do
from validator.consensus.messages import Prepare, RoundChange
from validator.consensus.votes import KEPT_ROUNDS, Ballots, RoundChanges

BEGIN = do.BlockTimer(HEIGHT)


def test_a_round_change_that_comes_late_takes_nobody_back() -> None:
    changes = RoundChanges()
    assert changes.add(change("a", 5)) == (True, None)
    for late in (change("a", 4), change("a", 5), change("a", 5)):
        assert changes.add(late) == (False, None)
    assert changes.at(5) == [change("a", 5)]
    assert changes.at(4) == []
    assert changes.above(4) == [5]


def test_two_claims_in_one_round_are_evidence_and_the_first_stays() -> None:
    hand = Hand()
    hand.give(BEGIN)
    found = hand.hear(change("c", 2), change("c", 2, certificate()))
    (report,) = of_kind(found, do.Report)
    assert (report.evidence.kind, report.evidence.sender) == ("double-round-change", "c")
    again = Hand()
    again.give(BEGIN)
    assert not of_kind(again.hear(change("c", 2), change("c", 2)), do.Report)


def test_of_many_rounds_the_newest_votes_are_kept() -> None:
    ballots: Ballots[Prepare] = Ballots()
    for number in range(10_000):
        ballots.add(Prepare(HEIGHT, number, "d", DIGEST))
    kept = ballots.by("d")
    assert [vote.round for vote in kept] == list(range(10_000 - KEPT_ROUNDS, 10_000))
    assert [vote.sender for vote in ballots.of(9_999, DIGEST)] == ["d"]


def test_one_senders_flood_pushes_out_nobody_elses_vote() -> None:
    ballots: Ballots[Prepare] = Ballots()
    ballots.add(prepare("a"))
    for number in range(10_000):
        ballots.add(Prepare(HEIGHT, number, "d", OTHER))
    assert ballots.of(0, DIGEST) == [prepare("a")]


def test_the_first_vote_of_a_round_stays_and_counts_once() -> None:
    ballots: Ballots[Prepare] = Ballots()
    assert ballots.add(prepare("a")) is None
    assert ballots.add(prepare("a")) is None
    evidence = ballots.add(prepare("a", digest=OTHER))
    assert evidence is not None
    assert ballots.of(0, DIGEST) == [prepare("a")]
    assert ballots.of(0, OTHER) == []


def test_a_liar_in_a_far_round_pulls_nobody_there() -> None:
    hand = Hand("c")
    hand.give(BEGIN)
    for number in range(10_000):
        hand.machine.step(do.Received(RoundChange(HEIGHT, 2**31 + number, "d", None, None)))
    assert hand.machine.round == 0
    hand.hear(change("a", 1))
    assert hand.machine.round == 1, "the nearest of two, one of whom is honest"
