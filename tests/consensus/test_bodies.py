"""A body that came with a proposal proves nothing: histories in which a liar sends a wrong one."""

from tests.consensus.hand import (
    BLOCK,
    DIGEST,
    HEIGHT,
    OTHER,
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
from validator.consensus.bodies import MOST_KEPT, Bodies
from validator.consensus.messages import PreparedCertificate, Proposal, RoundChange

BEGIN = do.BlockTimer(HEIGHT)
RESEND = do.Timeout(do.RESEND_TIMER, HEIGHT, 0)
GARBAGE = (DIGEST, b"not the block of this digest")
PREPARED = (change("a", 1, certificate()), change("c", 1), change("d", 1))


def test_r4_a_value_proposed_again_is_prepared_but_its_body_is_fetched() -> None:
    hand = Hand("c")
    hand.give(BEGIN)
    hand.hear(proposal("b", 1, GARBAGE, PREPARED, certificate().prepares))
    assert hand.spoke() == [("prepare", 1)]
    found = hand.hear(*(commit(name, 1) for name in "abd"))
    assert not of_kind(found, do.Commit)
    (fetch,) = of_kind(found, do.FetchBlock)
    assert (fetch.digest, set(fetch.holders)) == (DIGEST, {"a", "b", "d"})
    (final,) = of_kind(hand.give(do.BlockFetched(DIGEST, BLOCK)), do.Commit)
    assert final.block == BLOCK


def test_r6_a_second_body_does_not_replace_the_checked_one() -> None:
    hand = Hand()
    hand.hear(proposal("a"), proposal("a", content=GARBAGE))
    (final,) = of_kind(hand.hear(*(commit(name) for name in "acd")), do.Commit)
    assert final.block == BLOCK


def test_r6_what_others_committed_is_fetched_when_the_body_here_was_refused() -> None:
    hand = Hand()
    hand.valid = False
    hand.hear(proposal("a", content=GARBAGE))
    assert hand.spoke() == []
    found = hand.hear(*(commit(name) for name in "acd"))
    assert of_kind(found, do.FetchBlock)
    assert not of_kind(found, do.Commit)


def test_what_does_not_come_is_asked_for_again_each_half_round_and_not_more_often() -> None:
    hand = Hand()
    hand.give(BEGIN)
    found = hand.hear(*(commit(name) for name in "acd"), commit("a"), commit("c"))
    assert len(of_kind(found, do.FetchBlock)) == 1
    assert len(of_kind(hand.give(RESEND), do.FetchBlock)) == 1


def test_r10_a_claim_that_comes_while_a_block_is_built_is_not_passed_over() -> None:
    hand = Hand("b")
    hand.give(BEGIN)
    hand.give(do.Timeout(do.ROUND_TIMER, HEIGHT, 0))
    machine = hand.machine
    wanted = [each for name in "cd" for each in machine.step(do.Received(change(name, 1)))]
    assert of_kind(wanted, do.BuildBlock)
    wanted = machine.step(do.Received(change("a", 1, certificate())))
    assert of_kind(wanted, do.FetchBlock)
    wanted = machine.step(do.BlockBuilt(1, *value("built too late")))
    assert not of_kind(wanted, do.Speak)
    (speak,) = of_kind(machine.step(do.BlockFetched(DIGEST, BLOCK)), do.Speak)
    assert isinstance(speak.message, Proposal)
    assert (speak.message.digest, speak.message.block) == (DIGEST, BLOCK)
    assert speak.message.prepares == certificate().prepares


def test_r12_a_restart_finds_the_certificate_that_only_a_round_change_kept() -> None:
    """The key was away when the COMMIT was due."""
    again = Hand()
    again.machine.restore([(change("b", 2, certificate(1)), None)])
    assert again.machine.certificate == certificate(1)
    again.time_out()
    last = again.said[-1]
    assert isinstance(last, RoundChange)
    assert (last.round, last.claim) == (3, [1, DIGEST])


def test_a_liar_is_reported_once_for_each_kind_of_lie() -> None:
    hand = Hand()
    votes = [prepare("c"), *(prepare("c", digest=value(str(n))[0]) for n in range(50))]
    votes += [prepare("c", 1), prepare("c", 1, OTHER)]
    found = hand.hear(*votes, commit("c"), commit("c", digest=OTHER))
    kinds = [report.evidence.kind for report in of_kind(found, do.Report)]
    assert kinds == ["double-prepare", "double-commit"]


def test_bodies_are_bounded() -> None:
    bodies = Bodies()
    digests = [value(str(number))[0] for number in range(3 * MOST_KEPT)]
    for digest in digests:
        bodies.keep(digest, b"body")
    assert sum(bodies.get(digest) is not None for digest in digests) == MOST_KEPT
    assert bodies.get(digests[-1]) == b"body"


def test_a_certificate_is_the_one_that_was_stored() -> None:
    known = certificate(3)
    assert PreparedCertificate.decode(known.encoded) == known
