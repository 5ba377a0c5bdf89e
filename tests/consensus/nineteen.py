"""Nineteen bugs that implementations of this protocol family have shipped: how ours would show.

Each is one history, played on the real machine. `BUGS` says what happened and where it is told;
`mutants.py` puts the bug back and the history must fail. Sources are public issues and changes, by
repository and number.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from hsm import signstate
from hsm.signstate import DoubleSign, SignState, VoteSigner
from tests.consensus.hand import (
    BLOCK,
    DIGEST,
    HEIGHT,
    NAMES,
    NETWORK,
    OTHER,
    OTHER_BLOCK,
    SIGNERS,
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
from tests.consensus.size import kept_objects
from validator.consensus import effects as do
from validator.consensus.justification import Committee, Unjustified, check_claim, check_proposal
from validator.consensus.messages import (
    Commit,
    Prepare,
    Proposal,
    RoundChange,
    encode_message,
    open_message,
)
from validator.consensus.proposer import Decided, order, window
from validator.consensus.timeouts import Timeouts
from wire.errors import BadSignature
from wire.keys import PublicKey

BEGIN = do.BlockTimer(HEIGHT)
COMMITTEE = Committee(HEIGHT, NAMES, VALIDATORS.quorum, VALIDATORS.faulty)
NOTHING_PREPARED = tuple(change(name, 1) for name in "abc")
ONE_CLAIM = (change("a", 1, certificate()), change("b", 1), change("c", 1))
REPEATED = proposal("b", 1, changes=ONE_CLAIM, prepares=certificate().prepares)


def round_timers(found: list[do.Effect]) -> list[int]:
    timers = of_kind(found, do.SetTimer)
    return [each.round for each in timers if each.kind == do.ROUND_TIMER]


def locks_without_unlock() -> None:
    """d alone has committed to x in round 0. The others have prepared y in round 1; c is dead."""
    hand = Hand("d")
    hand.hear(proposal("a"), prepare("a"), prepare("b"))
    assert hand.spoke() == [("prepare", 0), ("commit", 0)]
    newer = certificate(1, OTHER)
    changes = tuple(change(name, 2, newer) for name in "abc")
    hand.hear(proposal("c", 2, (OTHER, OTHER_BLOCK), changes, newer.prepares))
    hand.hear(prepare("a", 2, OTHER), prepare("b", 2, OTHER))
    assert hand.spoke()[2:] == [("prepare", 2), ("commit", 2)], "a newer proof unlocks"


def own_commit_before_prepared() -> None:
    hand = Hand()
    hand.hear(proposal("a"))
    assert not of_kind(hand.hear(commit("a"), commit("c")), do.Commit)


def a_round_after_the_block() -> None:
    hand = Hand()
    hand.hear(proposal("a"))
    assert of_kind(hand.hear(commit("a"), commit("c"), commit("d")), do.Commit)
    assert hand.time_out() == [], "the block is there: its round is over for good"


def prepares_counted_twice() -> None:
    hand = Hand()
    hand.hear(proposal("a"), prepare("a"), prepare("a"), prepare("a"))
    assert hand.spoke() == [("prepare", 0)]
    hand.hear(prepare("c"), prepare("c"))
    kept = hand.certificates[-1]
    assert kept is not None
    assert [each.sender for each in kept.prepares] == ["a", "b", "c"]
    thrice = (prepare("a"),) * 3
    with pytest.raises(Unjustified):
        check_claim(replace(change("a", 2, certificate()), prepares=thrice), COMMITTEE)


def round_change_before_the_block_period() -> None:
    hand = Hand("c")
    assert hand.machine.restore(()) == [], "nothing runs before there is something to agree on"
    assert round_timers(hand.give(BEGIN)) == [0]


def repeated_value_changes_its_name() -> None:
    leader = Hand("b")
    leader.hear(proposal("a"))
    leader.time_out()
    leader.hear(change("a", 1, certificate()), change("c", 1))
    made = next(each for each in leader.said if isinstance(each, Proposal))
    other = Hand("c")
    other.valid = False  # As a new value it would be late, and of another proposer.
    other.give(BEGIN)
    other.hear(made)
    assert other.spoke() == [("prepare", 1)]


def every_round_change_must_match() -> None:
    assert check_proposal(REPEATED, COMMITTEE) is False


def drift_over_rounds() -> None:
    hand = Hand("c")
    hand.give(BEGIN)
    hand.hear(change("a", 10), change("b", 9))
    assert hand.machine.round == 9
    assert hand.spoke() == [("round-change", 9)]


def recovery_as_long_as_the_outage() -> None:
    timeouts = Timeouts(1_000, 30_000)
    assert max(timeouts.round_ms(number) for number in range(100)) <= 30_000


def overflowing_timeouts() -> None:
    timeouts = Timeouts(1_000, 30_000)
    delays = [timeouts.round_ms(number) for number in [*range(200), 2**32 - 1]]
    assert delays == sorted(delays)
    assert delays[0] > 0


def capped_and_out_of_step() -> None:
    hand = Hand("c")
    hand.give(BEGIN)
    assert round_timers(hand.time_out()) == [], "it waits for a quorum in its round"
    assert round_timers(hand.hear(change("a", 1))) == []
    assert round_timers(hand.hear(change("b", 1))) == [1]


def timer_restarts_on_a_proposal() -> None:
    hand = Hand("c")
    assert round_timers(hand.give(BEGIN)) == [0]
    assert round_timers(hand.hear(proposal("a"))) == []
    assert hand.spoke() == [("prepare", 0)]


def buffers_without_end() -> None:
    hand = Hand()
    hand.give(BEGIN)
    before = kept_objects(hand.machine)
    for number in range(1, 2_000):
        hand.machine.step(do.Received(Prepare(HEIGHT, number, "d", DIGEST)))
        hand.machine.step(do.Received(Commit(HEIGHT, number, "d", OTHER)))
        hand.machine.step(do.Received(RoundChange(HEIGHT, 2**31 + number, "d", None, None)))
    assert kept_objects(hand.machine) - before < 64
    assert hand.machine.round == 0


def restart_waits_for_the_others() -> None:
    before = Hand()
    before.hear(proposal("a"), prepare("a"), prepare("c"))
    again = Hand()
    found = again.machine.restore(list(zip(before.said, before.certificates, strict=True)))
    assert [each.message.kind for each in of_kind(found, do.Resend)] == ["prepare", "commit"]
    assert {each.kind for each in of_kind(found, do.SetTimer)} == {"round", "resend"}
    assert of_kind(again.hear(commit("a"), commit("c")), do.FetchBlock)
    assert of_kind(again.give(do.BlockFetched(DIGEST, BLOCK)), do.Commit)


def restart_forgets() -> None:
    before = Hand()
    before.hear(proposal("a"), prepare("a"), prepare("c"))
    again = Hand()
    again.machine.restore(list(zip(before.said, before.certificates, strict=True)))
    again.hear(proposal("a", content=(OTHER, OTHER_BLOCK)), prepare("a"), prepare("c"))
    assert again.spoke() == [], "its slots of round 0 are used"
    again.time_out()
    last = again.said[-1]
    assert isinstance(last, RoundChange)
    assert last.claim == [0, DIGEST], "its COMMIT is not forgotten"


class _Key:
    """A key that looks, while it signs, whether its slot is on the disk."""

    def __init__(self, state: SignState) -> None:
        self._state = state

    @property
    def public(self) -> PublicKey:
        return SIGNERS["b"].public

    def sign(self, message: bytes) -> bytes:
        assert [slot.message for slot in self._state.votes(HEIGHT)] == [message]
        return SIGNERS["b"].sign(message)


def signed_before_it_is_kept() -> None:
    synced: list[Path] = []
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(signstate, "sync_folder", synced.append)
        state = SignState(Path(folder) / "votes.sqlite")
        assert synced == [Path(folder)], "a new file's name is on the disk too"
        guarded = VoteSigner(_Key(state), state)
        guarded.sign(HEIGHT, 0, "prepare", b"one")
        with pytest.raises(DoubleSign):
            guarded.sign(HEIGHT, 0, "prepare", b"other")
        state.close()


def two_proposals_two_prepares() -> None:
    hand = Hand()
    found = hand.hear(proposal("a"), proposal("a", content=(OTHER, OTHER_BLOCK)))
    assert hand.spoke() == [("prepare", 0)]
    assert [each.evidence.kind for each in of_kind(found, do.Report)] == ["double-proposal"]


def nothing_as_a_value() -> None:
    hand = Hand()
    hand.valid = False
    found = hand.hear(proposal("a", content=(bytes(32), b"")))
    assert of_kind(found, do.CheckBlock), "every new value is judged by the application"
    assert hand.spoke() == []


def deaf_before_the_block_period() -> None:
    hand = Hand("c")
    hand.hear(proposal("a"))
    assert hand.spoke() == [("prepare", 0)]
    idle = Hand("c")
    idle.hear(change("a", 1), change("b", 1))
    assert idle.spoke() == [("round-change", 1)]


def every_nth_block_late() -> None:
    seals = frozenset(NAMES) - {"b"}
    history = [Decided("a", (), seals, frozenset(NAMES)) for _ in range(window(VALIDATORS))]
    assert order(VALIDATORS, "a", history) == ("c", "d", "a", "b")


def unsigned_fields() -> None:
    claimed = change("a", 2, certificate())
    changed = replace(claimed, prepared_round=None, prepared_digest=None, prepares=())
    with pytest.raises(BadSignature):
        open_message(encode_message(changed), NETWORK, VALIDATORS)
    for message in (prepare("a"), claimed):
        with pytest.raises(BadSignature):
            open_message(encode_message(message), b"\x12" * 32, VALIDATORS)


def a_body_that_nobody_checked() -> None:
    hand = Hand("c")
    hand.give(BEGIN)
    hand.hear(replace(REPEATED, block=b"not the block of this digest"))
    found = hand.hear(*(commit(name, 1) for name in "abd"))
    assert not of_kind(found, do.Commit)
    (final,) = of_kind(hand.give(do.BlockFetched(DIGEST, BLOCK)), do.Commit)
    assert final.block == BLOCK


def lists_are_counted_not_signers() -> None:
    with pytest.raises(Unjustified):
        check_proposal(proposal("b", 1, value("new"), (NOTHING_PREPARED[0],) * 3), COMMITTEE)
    hand = Hand("c")
    hand.give(BEGIN)
    hand.hear(*(change("a", number) for number in range(1, 5)))
    assert hand.machine.round == 0, "f are not f + 1"


@dataclass(frozen=True, slots=True)
class Bug:
    """One entry of the catalogue."""

    number: int
    """Place in the catalogue."""

    title: str
    """What went wrong."""

    source: str
    """Who has told of it: repository and number."""

    rule: str
    """Our rule, or part, that has the answer."""

    histories: tuple[Callable[[], None], ...]
    """What must hold; each fails when the bug is back."""


BUGS = (
    Bug(1, "a lock that no newer proof opens: the chain is dead for ever",
        "quorum 305, celo PR 200, arXiv 1901.07160", "R4", (locks_without_unlock,)),
    Bug(2, "two blocks at one height: one's own COMMIT counted before prepared, a round after the"
        " block", "besu 1734", "R5, R6", (own_commit_before_prepared, a_round_after_the_block)),
    Bug(3, "PREPAREs of one sender counted twice in a certificate",
        "besu 1736, PR 1671, PR 2449", "R5, R8", (prepares_counted_twice,)),
    Bug(4, "ROUND-CHANGE before the block period: round 0 never succeeds",
        "besu 2095, PR 2112", "R2, R3", (round_change_before_the_block_period,)),
    Bug(5, "a value proposed again gets another digest or is checked as new: peers refuse it",
        "besu PR 2141, PR 7875, PR 9977", "R4, R10", (repeated_value_changes_its_name,)),
    Bug(6, "every ROUND-CHANGE must claim the value that is proposed again: stall",
        "sigp/anchor PR 592", "R4", (every_round_change_must_match,)),
    Bug(7, "no skip by f + 1: validators drift over rounds, never q in one",
        "besu 1822, 7642, PR 7838", "R9", (drift_over_rounds,)),
    Bug(8, "time-outs without a cap: recovery takes as long as the outage",
        "besu-docs 611", "R3", (recovery_as_long_as_the_outage,)),
    Bug(9, "time-outs in floats overflow after some rounds: a storm that never ends",
        "quorum 1664", "R3", (overflowing_timeouts,)),
    Bug(10, "a cap without round synchronisation: livelock",
        "celo 706, pbft-consensus PR 4", "R3", (capped_and_out_of_step,)),
    Bug(11, "the timer starts again on a proposal: the leader is out of phase",
        "charon 2092, polygon-edge PR 187", "R3", (timer_restarts_on_a_proposal,)),
    Bug(12, "buffers for future rounds without a bound: out of memory",
        "GHSA-23rh-rrqg-wq82, besu PR 11102, celo 183", "R8", (buffers_without_end,)),
    Bug(13, "a restarted engine waits for peers that wait for it",
        "besu 8307, 6457, 8425, malachite 850", "R12", (restart_waits_for_the_others,)),
    Bug(14, "a restart forgets what was signed; the record is not on the disk before the signature",
        "celo 396, BSC 2598, aptos 18298, cometbft 6031", "R12",
        (restart_forgets, signed_before_it_is_kept)),
    Bug(15, "two proposals of a leader make two PREPAREs; nothing is taken as a value",
        "charon PR 4624, PR 4619", "R4", (two_proposals_two_prepares, nothing_as_a_value)),
    Bug(16, "votes before the block period are ignored",
        "besu 10917, 11109, PR 11031", "R2, R9", (deaf_before_the_block_period,)),
    Bug(17, "one dead validator delays every n-th block",
        "besu 6398", "R1", (every_nth_block_late,)),
    Bug(18, "fields outside the signature; bodies kept unchecked",
        "pantheon PR 576, PR 827, besu 6680, PR 7204", "R4, messages",
        (unsigned_fields, a_body_that_nobody_checked)),
    Bug(19, "lengths of lists compared with the quorum, not distinct signers",
        "quorum qbft/core/justification.go, roundchange.go", "R4, R9",
        (lists_are_counted_not_signers,)),
)  # fmt: skip
