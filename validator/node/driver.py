"""Executes what the consensus machine asks for, in order, and keeps the ledger going.

Decides when it is time for a block (something waits, or an empty block is due), what a restart
takes back from the sign-state, and which messages are for later. What a vote means the machine
decides; what a block may hold, the application; who the peers are, the mesh.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import structlog

from hsm.signstate import VoteSigner
from validator.consensus import effects as do
from validator.consensus.evidence import Evidence
from validator.consensus.machine import Machine
from validator.consensus.messages import Commit as CommitVote
from validator.consensus.messages import Message, decode_message, encode_message, open_message
from validator.consensus.proposer import ineligible, order
from validator.consensus.timeouts import Pace
from validator.node.attendance import Attendance
from validator.node.candidate import Candidate, Tip, batch_ids, decode_block
from validator.node.fetching import Fetching, Speaker
from validator.node.ledger import Ledger, decided
from validator.node.mempool import Mempool, Waiting
from validator.node.own_faults import own_faults
from validator.node.pacing import Pacing
from validator.node.store import DiskUnavailable
from validator.node.timers import Timers
from validator.node.timing import NetworkClock, Timing
from validator.node.voice import Voice
from wire.block import Block, Commit, verify_commit
from wire.errors import Malformed, Refused, Unavailable
from wire.witness import Batch

MOST_EARLY = 8
"""Messages of each validator for the next height that are kept until it begins; the newest stay."""

SIGN_AGAIN_S = 0.5
RESUME_S = 1.0

_log = structlog.get_logger()


class Driver:
    """One validator's agreement, from block to block."""

    def __init__(
        self,
        me: str,
        ledger: Ledger,
        mempool: Mempool,
        signers: Sequence[VoteSigner],
        clock: NetworkClock,
    ) -> None:
        """Take the parts; `begin` starts. Of several keys the set of a height names one."""
        genesis = ledger.genesis
        self.me = me
        self.mempool = mempool
        self.store = ledger.store
        self.halted = ""
        """Why this validator has stopped speaking; empty while it goes on."""
        self.round = 0
        self.attendance = Attendance()
        self.pace = Pace()
        self.on_evidence: Callable[[Evidence], None] = lambda _: None
        self.on_final: Callable[[Candidate], None] = lambda _: None
        self._genesis = genesis
        self._application = ledger.application
        self._blocks = ledger.blocks
        self.voice = Voice(me, signers, ledger.validators, genesis.network)
        self._clock = clock
        self._speaker: Speaker | None = None
        self._fetching: Fetching | None = None
        self._candidates: dict[bytes, Candidate] = {}
        self._early: dict[str, list[Message]] = {}
        self._timers = Timers()
        self._tasks: set[asyncio.Task[None]] = set()
        self.tip = ledger.tip()
        self._pacing = Pacing(Timing.of(self._blocks, self.tip.height + 1))
        self.machine = self._machine()

    def begin(self, speaker: Speaker, fetching: Fetching) -> None:
        """Start agreeing on the next height."""
        self._speaker, self._fetching = speaker, fetching
        self._pacing.final(0, asyncio.get_running_loop().time())
        self._begin_height()

    @property
    def due_s(self) -> float:
        """Seconds until the next block is due; 0 while it is being agreed on."""
        return self._timers.left_s("block")

    def stop(self) -> None:
        """End timers and work in hand."""
        self._timers.cancel()
        for task in self._tasks:
            task.cancel()

    # From height to height.

    def _machine(self) -> Machine:
        height = self.tip.height + 1
        members = self._blocks.validators(height)
        history = decided(self.store, self._blocks.validators, self.tip.height)
        leaders = order(members, self.tip.proposer, history)
        timing, before = Timing.of(self._blocks, height), self._blocks.validators(self.tip.height)
        self._pacing.begin(timing, self.tip.commit, before, ineligible(before, history))
        # Who has no key of this height's set follows, and says nothing.
        me = self.me if self.voice.signer(height) else ""
        timeouts = self.pace.begin_height(self._pacing.timing.timeouts, members.quorum)
        return Machine(me, height, members, leaders, timeouts)

    def _begin_height(self) -> None:
        self.machine, self.round = self._machine(), 0
        self.attendance.begin(self.machine.height, time.monotonic())
        self._candidates.clear()
        self._timers.cancel()
        self._pacing.seals.begin(self.tip.height)
        self._do(self.machine.restore(self.voice.said_before(self.machine.height)))
        self.nudge()
        early, self._early = self._early, {}
        for message in (each for kept in early.values() for each in kept):
            self.receive(message)

    def nudge(self) -> None:
        """Something may be waiting: see when the next block is due."""
        now_s = asyncio.get_running_loop().time()
        busy = len(self.mempool) or self._application.ruling.is_changing(self.machine.height)
        leads = self.machine.leader(0) == self.me
        delay_s = self._pacing.wait_s(now_s, bool(busy), self.mempool.readings if leads else 0)
        self._set_timer("block", delay_s, do.BlockTimer(self.machine.height))

    # Events in.

    def receive_bytes(self, data: bytes) -> None:
        """Take a peer's message; raises Refused when it is none of a validator's."""
        members = self._blocks.validators(decode_message(data).height)
        self.receive(open_message(data, self._genesis.network, members))

    def receive(self, message: Message) -> None:
        """Take a verified message, now or when its height begins."""
        decided_height = self.machine.height if self.machine.finished else self.tip.height
        if isinstance(message, CommitVote) and message.height == decided_height:
            self._pacing.seals.add(message)
            self.nudge()
        self.attendance.note(message, time.monotonic())
        if message.height == self.machine.height:
            self._step(do.Received(message))
        elif message.height == self.machine.height + 1:
            kept = self._early.setdefault(message.sender, [])
            kept[:] = [*kept[-MOST_EARLY + 1 :], message]

    def _step(self, event: do.Event) -> None:
        if not self.halted:
            with own_faults(self):
                self._do(self.machine.step(event))

    def _set_timer(self, name: str, delay_s: float, event: do.Event) -> None:
        self._timers.set(name, delay_s, lambda: self._step(event))

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            with own_faults(self):
                task.result()

    def halt(self, reason: str) -> None:
        """Stop speaking, rather than guess; the pages go on and say why."""
        self.halted = reason
        _log.error("halted", reason=reason)
        self.stop()

    def pause(self, reason: str) -> None:
        """Stop speaking until the disk takes writes again, then go on as after a restart."""
        if not self.halted:
            self.halt(reason)
            asyncio.get_running_loop().call_later(RESUME_S, self._resume, reason)

    def _resume(self, reason: str) -> None:
        if self.halted != reason:  # Something worse has come meanwhile.
            return
        try:
            self.store.try_disk()
        except DiskUnavailable:
            asyncio.get_running_loop().call_later(RESUME_S, self._resume, reason)
            return
        _log.info("goes on", after=self.halted)
        self.halted = ""
        with own_faults(self):
            self._begin_height()

    # Effects out.

    def _do(self, wanted: Sequence[do.Effect]) -> None:
        machine = self.machine
        for effect in wanted:
            if self.machine is not machine:
                return
            self._execute(effect)

    def _execute(self, effect: do.Effect) -> None:
        match effect:
            case do.Speak():
                self._speak(effect)
            case do.Resend(message):
                self._broadcast(message)
            case do.SetTimer(kind, height, round_number, delay_ms):
                self.round = round_number
                self.attendance.round_begun(round_number, time.monotonic())
                timeout = do.Timeout(kind, height, round_number)
                self._set_timer(kind, delay_ms / 1000, timeout)
            case do.Trace(rule, words):
                _log.debug("consensus", rule=rule, height=self.machine.height, words=words)
            case do.Report(evidence):
                self.on_evidence(evidence)
            case do.Keep(proposal):
                self.store.keep_justification(proposal)
            case _:
                self._work(effect)

    def _work(self, effect: do.Effect) -> None:
        match effect:
            case do.BuildBlock(_, round_number):
                self._build(round_number)
            case do.CheckBlock(digest, block, proposer):
                self._spawn(self._check(self.machine, self.tip, digest, block, proposer))
            case do.FetchBlock(digest, holders):
                self._spawn(self._fetch_block(self.machine, digest, holders))
            case do.Commit(digest, block, commit):
                self._spawn(self._commit(self.tip, digest, block, commit))

    def _speak(self, effect: do.Speak) -> None:
        try:
            signed = self.voice.signed(effect)
        except Unavailable:
            machine, loop = self.machine, asyncio.get_running_loop()
            loop.call_later(SIGN_AGAIN_S, self._speak_again, machine, effect)
            return
        except Refused as reason:  # The sign-state is damaged, the token refuses the PIN.
            return self.halt(str(reason))
        if signed is not None:
            self._broadcast(signed)
            self.attendance.note(signed, time.monotonic())
            self._step(do.Spoken(signed))

    def _speak_again(self, machine: Machine, effect: do.Speak) -> None:
        if machine is self.machine and effect.message.round == machine.round:
            with own_faults(self):
                self._speak(effect)

    def _broadcast(self, message: Message) -> None:
        if self._speaker is not None:
            self._speaker.broadcast(["consensus", encode_message(message)])

    # Blocks.

    def _build(self, round_number: int) -> None:
        tip = replace(self.tip, commit=self._pacing.carried())
        now_ms = self._clock.now_ms()
        try:
            candidate = self._blocks.make(self.me, tip, now_ms, self.mempool.all())
        except Refused as reason:  # The rules let something wait that they do not let in.
            _log.error("nothing taken from the mempool", reason=str(reason))
            candidate = self._blocks.make(self.me, tip, now_ms, Waiting())
        self.store.put_proposed(candidate.block, candidate.batches)
        digest = candidate.block.digest
        self._candidates[digest] = candidate
        self._step(do.BlockBuilt(round_number, digest, candidate.block.encoded))

    async def _check(
        self, machine: Machine, tip: Tip, digest: bytes, data: bytes, proposer: str
    ) -> None:
        valid = None
        while valid is None and machine is self.machine:
            try:
                block = decode_block(data, digest)
                self._check_new(block, proposer)
                candidate = await self._candidate(tip, block, (proposer,))
                self.store.put_proposed(candidate.block, candidate.batches)
                self._candidates[digest] = candidate
                valid = True
            except Refused as reason:
                _log.warning(
                    "block refused", height=tip.height + 1, by=proposer, reason=str(reason)
                )
                self.attendance.refuse(proposer, str(reason))
                valid = False
            except DiskUnavailable:
                raise
            except Unavailable as reason:  # The fetching has its own pauses.
                _log.warning("block not checked", height=tip.height + 1, reason=str(reason))
        if valid is not None and machine is self.machine:
            self._step(do.BlockChecked(digest, valid))

    def _check_new(self, block: Block, proposer: str) -> None:
        if block.content.proposer != proposer:
            raise Malformed("the header names another proposer")
        self._blocks.check_time(block, self._clock.now_ms())

    async def _candidate(
        self,
        tip: Tip,
        block: Block,
        holders: Sequence[str],
        held: Mapping[bytes, Batch] = MappingProxyType({}),
    ) -> Candidate:
        """Get the batches that a block names, then check it by execution; raises Refused."""
        assert self._fetching is not None
        batches = [held.get(each) or await self._batch(each, holders) for each in batch_ids(block)]
        await self._fetching.check_signatures(batches)
        if tip is not self.tip:
            raise Malformed("the ledger has gone on meanwhile")
        return self._blocks.check(tip, block, batches)

    async def _batch(self, batch_id: bytes, holders: Sequence[str]) -> Batch:
        assert self._fetching is not None
        known = self.mempool.get(batch_id) or self.store.batch(batch_id)
        return known or await self._fetching.batch(batch_id, holders)

    async def _fetch_block(self, machine: Machine, digest: bytes, holders: Sequence[str]) -> None:
        assert self._fetching is not None
        data = self.proposed(digest)
        try:
            if data is None:
                data = (await self._fetching.block(digest, holders)).encoded
        except Unavailable as reason:
            _log.warning("block not fetched", height=machine.height, reason=str(reason))
            return
        if machine is self.machine:
            self._step(do.BlockFetched(digest, data))

    def proposed(self, digest: bytes) -> bytes | None:
        """A block of the present height or of the ledger, for a peer that asks."""
        candidate = self._candidates.get(digest)
        return self.store.encoded_block(digest) if candidate is None else candidate.block.encoded

    async def _commit(self, tip: Tip, digest: bytes, data: bytes, commit: Commit) -> None:
        """Make a block real that follows this tip, unless catching up is quicker."""
        assert self._fetching is not None
        candidate = self._candidates.get(digest)
        members = self._blocks.validators(tip.height + 1)
        holders = [members.ids[index] for index, _ in commit.seals]
        untried = [each for each in holders if each != self.me]
        while candidate is None and tip is self.tip:
            try:
                candidate = await self._candidate(tip, decode_block(data, digest), holders)
            except DiskUnavailable:
                raise
            except Unavailable as reason:
                _log.warning("final block waits", reason=str(reason))
            except Refused as reason:
                if tip is self.tip and not untried:
                    raise  # A quorum has sealed what is not valid here: never guess.
                _log.warning("final block's body refused", reason=str(reason))
                data = await self._fetching.body(digest, untried.pop()) if untried else data
        if candidate is not None and tip is self.tip:
            self._append(candidate, commit)

    async def apply(
        self, block: Block, commit: Commit, batches: Sequence[Batch], source: str
    ) -> None:
        """R11: take the next final block from a peer; raises Refused when it is not final."""
        tip = self.tip
        if block.content.height != tip.height + 1:
            return
        if commit.digest != block.digest or block.content.parent != tip.digest:
            raise Malformed("not the block that follows")
        members = self._blocks.validators(block.content.height)
        verify_commit(commit, members, self._genesis.network, block.content.height)
        held = {batch.batch_id: batch for batch in batches}
        candidate = await self._candidate(tip, block, (source,), held)
        if tip is self.tip:
            self._append(candidate, commit)

    def _append(self, candidate: Candidate, commit: Commit) -> None:
        """R12: make a block real, disk first, then state and tip; begin the next height."""
        self.store.append(candidate.block, commit, candidate.execution, candidate.batches)
        self._application.commit(candidate.execution)
        self.tip = Tip.of(candidate.block, commit)
        self._pacing.final(len(candidate.execution.accepted), asyncio.get_running_loop().time())
        self.mempool.forget_taken(self._application.included, self._application.may_stand)
        counts = {"batches": len(candidate.batches), "seals": len(candidate.execution.seals)}
        _log.info("final", height=self.tip.height, round=commit.round, **counts)
        with own_faults(self):  # The block is real whatever follows, and whoever sent it.
            self.on_final(candidate)
        if not self.halted:
            self._begin_height()
