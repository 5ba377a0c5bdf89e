"""One validator's part in agreeing on one height: rules R1 to R12, no input, no output.

`step` takes one event and returns what must be done, in order. The machine decides rounds, votes
and when a block is final; it leaves to the driver whether a block is valid (`CheckBlock`), how it
is made (`BuildBlock`), keys, time and disks. A new machine is made for each height (R12).

Safety in one line: two quorums share an honest validator, and an honest one that has sent COMMIT in
round r carries the prepared value in every later ROUND-CHANGE, so no later round can justify
another value.
"""

from collections.abc import Callable, Sequence
from typing import Any

from validator.consensus import effects as do
from validator.consensus.accusations import Accusations, amnesia
from validator.consensus.bodies import Bodies
from validator.consensus.effects import Effect, Event
from validator.consensus.evidence import Evidence
from validator.consensus.justification import (
    Committee,
    Unjustified,
    certificate_of,
    check_claim,
    check_proposal,
    newest_claim,
)
from validator.consensus.messages import (
    UNSIGNED,
    Commit,
    Message,
    Prepare,
    PreparedCertificate,
    Proposal,
    RoundChange,
)
from validator.consensus.proposer import leader
from validator.consensus.timeouts import LAST_ROUND, Timeouts
from validator.consensus.votes import Ballots, RoundChanges, Sightings, Spoken, seals_of, senders
from wire.block import Commit as BlockCommit
from wire.block import ValidatorSet


class Machine:
    """The state of one height."""

    def __init__(
        self,
        me: str,
        height: int,
        validators: ValidatorSet,
        leaders: Sequence[str],
        timeouts: Timeouts,
    ) -> None:
        """Begin a height.

        Args:
            me: one's own validator id; a stranger's follows without voting.
            height: block height.
            validators: the set of this height.
            leaders: of rounds 0, 1, … (`proposer.order`).
            timeouts: durations of rounds.
        """
        self.me = me
        self.height = height
        self.round = 0
        self.certificate: PreparedCertificate | None = None
        self.finished = False
        self._validators = validators
        self._committee = Committee(height, tuple(leaders), validators.quorum, validators.faulty)
        self._timeouts = timeouts
        self._entered = False
        self._accepted: bytes | None = None
        self._bodies = Bodies()
        self._built: dict[int, bytes | None] = {}
        self._proposals: Ballots[Proposal] = Ballots()
        self._prepares: Ballots[Prepare] = Ballots()
        self._commits: Ballots[Commit] = Ballots()
        self._changes = RoundChanges()
        self._seen = Sightings()
        self._timed = False
        self._said = Spoken()
        self._accusations = Accusations(me)
        self._effects: list[Effect] = []

    def leader(self, round_number: int) -> str:
        """R1: who proposes in a round."""
        return leader(self._committee.leaders, round_number)

    def step(self, event: Event) -> list[Effect]:
        """Take one event; return the effects, to be executed in order."""
        if not self.finished:
            self._dispatch(event)
        return self._wanted()

    def _wanted(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects

    def restore(self, said: Sequence[tuple[Message, PreparedCertificate | None]]) -> list[Effect]:
        """Take back what one's own key has signed at this height before a restart (R12).

        Args:
            said: signed messages in the order of signing, COMMITs with their certificate.
        """
        for message, certificate in said:
            self._said.keep(message)
            self.round = max(self.round, message.round)
            if certificate is not None:
                self.certificate = certificate
            if isinstance(message, RoundChange) and message.prepares:
                self.certificate = PreparedCertificate(message.prepares)
            if isinstance(message, Proposal):
                self._bodies.keep_valid(message.digest, message.block)
        if said:
            self._entered = True
            prepared = self._said.get(Prepare.kind, self.round)
            self._accepted = prepared.digest if isinstance(prepared, Prepare) else None
            self._start_timers()
            self._resend()
            for message, _ in said:
                self._on_message(message)
        return self._wanted()

    def _dispatch(self, event: Event) -> None:
        match event:
            case do.BlockTimer(height):
                if height == self.height and not self._entered:
                    self._trace("R2", "the block timer ran out")
                    self._enter(0)
            case do.Timeout(kind, height, round_number):
                if height == self.height and round_number == self.round:
                    self._on_timeout(kind)
            case do.Received(message) | do.Spoken(message):
                self._on_message(message)
            case _:
                self._on_answer(event)

    def _on_answer(self, event: Event) -> None:
        match event:
            case do.BlockBuilt(round_number, digest, block):
                self._on_built(round_number, digest, block)
            case do.BlockChecked(digest, valid):
                self._bodies.checked(digest, valid)
                self._try_accept()
                self._try_commit()
            case do.BlockFetched(digest, block):
                self._bodies.keep(digest, block)
                self._try_propose()
                self._try_commit()

    def _on_message(self, message: Message) -> None:
        if message.height != self.height or self.finished:
            return
        if message.sender == self.me:
            self._said.keep(message)
        self._seen.add(message)
        handlers: dict[type, Callable[[Any], None]] = {
            Proposal: self._on_proposal,
            Prepare: self._on_prepare,
            Commit: self._on_commit,
            RoundChange: self._on_round_change,
        }
        handlers[type(message)](message)
        self._try_time()

    # R2, R3: entering a round.

    def _enter(self, round_number: int) -> None:
        self.round, self._entered, self._accepted = round_number, True, None
        self._said.forget_below(round_number)
        self._built.clear()
        self._trace("R3", f"round {round_number}, led by {self.leader(round_number)}")
        self._start_timers()
        if round_number == 0 and self.leader(0) == self.me:
            self._build()
        self._try_propose()
        self._try_accept()

    def _start_timers(self) -> None:
        self._bodies.ask_again()
        self._timed = False
        self._set_timer(do.RESEND_TIMER, self._timeouts.resend_ms(self.round))
        self._try_time()

    def _try_time(self) -> None:
        """Time a later round from when a quorum is in it.

        Else one validator could stay a whole capped round ahead of the others for ever.
        """
        if self._timed or self.finished or not self._entered:
            return
        if self.round == 0 or self._seen.reached(self.round) >= self._committee.quorum:
            self._timed = True
            self._set_timer(do.ROUND_TIMER, self._timeouts.round_ms(self.round))

    def _set_timer(self, kind: str, delay_ms: int) -> None:
        self._effects.append(do.SetTimer(kind, self.height, self.round, delay_ms))

    def _build(self) -> None:
        if self.round not in self._built and not self._has_said(Proposal.kind):
            self._built[self.round] = None
            self._effects.append(do.BuildBlock(self.height, self.round))

    def _on_built(self, round_number: int, digest: bytes, block: bytes) -> None:
        self._bodies.keep_valid(digest, block)
        self._built[round_number] = digest
        if self.round == 0 and self.leader(0) == self.me:
            self._propose(digest, block)
        self._try_propose()

    # R4: proposals.

    def _on_proposal(self, proposal: Proposal) -> None:
        if proposal.sender != self.leader(proposal.round):
            return self._trace("R4", f"{proposal.sender} does not lead round {proposal.round}")
        try:
            check_proposal(proposal, self._committee)
        except Unjustified as reason:
            return self._trace("R4", f"proposal of {proposal.sender}: {reason}")
        self._examine(proposal.round_changes, proposal.prepares)
        self._report(self._proposals.add(proposal))
        if proposal.round > self.round or not self._entered:
            self._enter(max(proposal.round, self.round))
        else:
            self._try_accept()
        return None

    def _try_accept(self) -> None:
        if self._accepted is not None or not self._entered:
            return
        sent = self._proposals.by(self.leader(self.round))
        proposal = next((each for each in sent if each.round == self.round), None)
        if proposal is None:
            return
        new = check_proposal(proposal, self._committee)
        valid = self._bodies.verdict(proposal.digest)
        if new and valid is None:
            self._effects += self._bodies.check(proposal)
            return None
        if new and not valid:
            return self._trace("R4", f"the value of {proposal.sender} is not valid")
        self._accepted = proposal.digest
        if proposal.round_changes:
            self._effects.append(do.Keep(proposal))
        self._speak(Prepare(self.height, self.round, self.me, proposal.digest))
        self._try_prepared()
        return None

    # R5: prepared.

    def _on_prepare(self, prepare: Prepare) -> None:
        self._report(self._prepares.add(prepare))
        self._try_prepared()

    def _try_prepared(self) -> None:
        digest = self._accepted
        if digest is None or self._has_said(Commit.kind):
            return
        prepares = self._prepares.of(self.round, digest)
        if len(prepares) >= self._committee.quorum:
            self.certificate = certificate_of(prepares)
            self._trace("R5", f"prepared by {len(prepares)} in round {self.round}")
            commit = Commit(self.height, self.round, self.me, digest)
            self._speak(commit, self.certificate)

    # R6: committed, in whatever round.

    def _on_commit(self, commit: Commit) -> None:
        self._report(self._commits.add(commit))
        self._report(amnesia([commit], self._changes.by(commit.sender)))
        self._try_commit(commit)

    def _try_commit(self, newest: Commit | None = None) -> None:
        votes = [newest] if newest is not None else self._commits.all()
        for vote in votes:
            seals = self._commits.of(vote.round, vote.digest)
            if len(seals) < self._committee.quorum or self.finished:
                continue
            block = self._bodies.get(vote.digest)
            if block is None:
                self._effects += self._bodies.fetch(vote.digest, senders(seals, self.me))
                continue
            self._finish(vote.digest, block, vote.round, seals)

    def _finish(
        self, digest: bytes, block: bytes, round_number: int, votes: Sequence[Commit]
    ) -> None:
        seals = seals_of(votes, self._validators)
        self.finished = True
        self._trace("R6", f"final by {len(seals)} seals of round {round_number}")
        self._effects.append(do.Commit(digest, block, BlockCommit(round_number, digest, seals)))

    # R7: time-outs.

    def _on_timeout(self, kind: str) -> None:
        if kind == do.ROUND_TIMER:
            self._trace("R7", f"round {self.round} took too long")
            self._move(min(self.round + 1, LAST_ROUND))
        elif kind == do.RESEND_TIMER:
            self._resend()
            self._bodies.ask_again()
            self._try_propose()
            self._try_commit()
            self._set_timer(do.RESEND_TIMER, self._timeouts.resend_ms(self.round))

    def _resend(self) -> None:
        self._effects += [do.Resend(message) for message in self._said.of(self.round)]

    def _move(self, round_number: int) -> None:
        self._enter(round_number)
        known = self.certificate
        self._speak(
            RoundChange(
                self.height,
                round_number,
                self.me,
                None if known is None else known.round,
                None if known is None else known.digest,
                prepares=() if known is None else known.prepares,
            )
        )

    # R8, R9: round changes.

    def _on_round_change(self, change: RoundChange) -> None:
        try:
            check_claim(change, self._committee)
        except Unjustified as reason:
            return self._trace("R8", f"round change of {change.sender}: {reason}")
        kept, evidence = self._changes.add(change)
        self._report(evidence)
        self._report(amnesia(self._commits.by(change.sender), change))
        self._examine((), change.prepares)
        if not kept:
            return None
        higher = self._changes.above(self.round)
        if len(higher) > self._committee.faulty:
            self._trace("R9", f"{len(higher)} validators are in later rounds")
            self._move(higher[0])
        self._try_propose()
        return None

    # R10: the leader of a later round.

    def _try_propose(self) -> None:
        if self.round == 0 or self.leader(self.round) != self.me or self._has_said(Proposal.kind):
            return
        changes = self._changes.at(self.round)
        if len(changes) < self._committee.quorum:
            return
        newest = newest_claim(changes)
        if newest is None or newest.prepared_digest is None:
            digest = self._built.get(self.round)
            block = None if digest is None else self._bodies.get(digest)
            if digest is None or block is None:
                return self._build()
            return self._propose(digest, block, changes)
        digest = newest.prepared_digest
        block = self._bodies.get(digest)
        if block is None:
            self._effects += self._bodies.fetch(digest, senders(newest.prepares, self.me))
            return None
        self._trace("R10", f"proposing again what was prepared in round {newest.prepared_round}")
        return self._propose(digest, block, changes, newest.prepares)

    def _propose(
        self,
        digest: bytes,
        block: bytes,
        changes: Sequence[RoundChange] = (),
        prepares: tuple[Prepare, ...] = (),
    ) -> None:
        bare = tuple(change.bare() for change in changes)
        made = Proposal(self.height, self.round, self.me, digest, block, UNSIGNED, bare, prepares)
        self._speak(made)

    # What all rules share.

    def _has_said(self, kind: str) -> bool:
        return self._said.taken(kind, self.round)

    def _speak(self, message: Message, certificate: PreparedCertificate | None = None) -> None:
        if self._validators.index(self.me) is not None and self._said.take(message):
            self._effects.append(do.Speak(message, certificate))

    def _examine(self, changes: Sequence[RoundChange], prepares: Sequence[Prepare]) -> None:
        """Compare what is attached to a message with what its senders have said elsewhere."""
        for change in changes:
            self._seen.add(change)
            self._report(self._changes.against(change))
            self._report(amnesia(self._commits.by(change.sender), change))
        for prepare in prepares:
            self._report(self._prepares.against(prepare))

    def _report(self, evidence: Evidence | None) -> None:
        self._effects += self._accusations.report(evidence)

    def _trace(self, rule: str, words: str) -> None:
        self._effects.append(do.Trace(rule, words))
