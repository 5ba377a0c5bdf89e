"""A whole network of consensus machines in one process, in virtual time, from one seed.

Executes what the machines ask for, as the driver of a real node does: disks first, then the links.
What goes wrong is drawn in `links`, `disks` and `liars`; what is agreed is watched by `checkers`.
The machines are the real ones; keys are replaced by marks.
"""

import random
from collections.abc import Callable, Sequence

from validator.consensus import effects as do
from validator.consensus.machine import Machine
from validator.consensus.messages import Message, PreparedCertificate
from validator.consensus.timeouts import Pace
from validator.simulation.checkers import Watch
from validator.simulation.clients import Clients
from validator.simulation.faults import HEALED_SKEW_MS, MOST_DOWN_MS, Conditions, Faults
from validator.simulation.greetings import Greetings
from validator.simulation.liars import Liar, Plot
from validator.simulation.links import CHANGE_MS, Links, Weather
from validator.simulation.marks import is_of, is_signed, sign
from validator.simulation.nodes import Node, body_record, final_record, said_record
from validator.simulation.set_changes import Authorities, Rule, unchanging
from validator.simulation.values import (
    MOST_TRANSACTIONS,
    History,
    Value,
    follows,
    is_timely,
    next_value,
)
from validator.simulation.virtual_time import VirtualTime
from wire.block import ValidatorSet

__all__ = ["Conditions", "Faults", "Network", "sign"]

BLOCK_INTERVAL_MS = 1_000
MOST_EARLY = 8
STALE = 0.05
"""Share of a liar's own words that it signs by its first key, where keys change."""


class Network:
    """All nodes, their links and the virtual clock."""

    def __init__(
        self,
        validators: ValidatorSet,
        faults: Faults,
        seed: int,
        watch: Watch,
        conditions: Conditions | None = None,
        links: Links | None = None,
        rule: Rule | None = None,
    ) -> None:
        """Make the nodes and let them begin.

        Args:
            validators: all that there are.
            faults: what goes wrong.
            seed: of all chance.
            watch: who is told.
            conditions: what there is beside faults.
            links: how messages travel; the weather of the faults when None.
            rule: how their set changes; all of them agree for ever when None.
        """
        self._rule = rule or unchanging(validators)
        self.validators = validators
        self.faults = faults
        self.random = random.Random(seed)
        self.time = VirtualTime()
        self.largest_round = 0
        self.delivered = 0
        self.clients = Clients(self)
        """Who sends transactions."""
        self._greetings = Greetings(self)
        self._conditions = conditions or Conditions()
        self._watch = watch
        self._grown = True
        self._withheld: set[bytes] = set()
        self.nodes = {name: self._make(place) for place, name in enumerate(validators.ids)}
        plot: Plot = {}
        for name in self.random.sample(self._rule.first.ids, faults.byzantine):
            self.nodes[name].liar = Liar(name, self.random, self._another, plot, self._lied)
        weather = Weather(validators.ids, faults, self.random)
        self._links: Links = links or weather
        for node in self.nodes.values():
            self._begin_height(node)
            self._greetings.begin(node)
        self._change(weather)
        self.clients.begin()
        if faults.changes:
            Authorities(self, self.clients.send).begin(self._rule)

    def _make(self, place: int) -> Node:
        faults = self.faults
        return Node(
            self.validators.ids[place],
            place,
            History(self._rule),
            Pace(),
            skew_ms=self.random.randint(-faults.skew_ms, faults.skew_ms),
            drift_permille=self.random.randint(-faults.drift_permille, faults.drift_permille),
        )

    @property
    def now_ms(self) -> int:
        """Virtual milliseconds since the start."""
        return self.time.now_ms

    @property
    def honest(self) -> list[Node]:
        """Nodes that do not lie."""
        return [node for node in self.nodes.values() if node.liar is None]

    def run(self, until_ms: int, enough: Callable[[], bool] = lambda: False) -> None:
        """Let virtual time pass; `enough` is asked whenever a chain has grown."""
        self._grown = True

        def asked() -> bool:
            grown, self._grown = self._grown, False
            return grown and enough()

        self.time.run(until_ms, asked)

    @property
    def healed(self) -> bool:
        """Whether nothing goes wrong any more, but that liars lie."""
        return self.now_ms >= self.faults.heal_at_ms

    def _change(self, weather: Weather) -> None:
        """Let the weather change until it heals; then set the clocks."""
        if self.healed:
            for node in self.nodes.values():
                node.skew_ms = self.random.randint(-HEALED_SKEW_MS, HEALED_SKEW_MS)
            return
        weather.change()
        self.time.after(CHANGE_MS, lambda: self._change(weather))

    # One node's life.

    def _begin_height(self, node: Node) -> None:
        conditions, height = self._conditions, node.height
        timeouts = conditions.timeouts
        if conditions.adaptive:
            timeouts = node.pace.begin_height(timeouts, node.members.quorum)
        leaders = node.history.leaders()
        node.machine = Machine(node.name, height, node.members, leaders, timeouts)
        early, node.early = node.early, {}
        self._do(node, node.machine.restore(list(node.said.values())))
        self._later(node, BLOCK_INTERVAL_MS, do.BlockTimer(height))
        for message in (each for kept in early.values() for each in kept):
            self._take_message(node, message)

    def _later(self, node: Node, delay_ms: int, event: do.Event) -> None:
        """Give a machine an event after a while by its own clock, unless it is gone by then."""
        life, machine = node.life, node.machine
        if not self.healed:
            delay_ms = delay_ms * (1_000 + node.drift_permille) // 1_000

        def happen() -> None:
            if node.life == life and node.machine is machine and machine is not None:
                self._do(node, machine.step(event))

        self.time.after(delay_ms, happen)

    def _crashes(self, node: Node) -> bool:
        """Whether it crashes at this boundary; if so, it is down when this returns."""
        node.boundaries += 1
        planned = self.faults.crash_at == (node.place, node.boundaries)
        share = 0.0 if self.healed else self.faults.crash
        if not planned and not (share and self.random.random() < share):
            return False
        self._crash(node)
        return True

    def _crash(self, node: Node) -> None:
        node.crash()
        self._tell(node, "crashes")

        def restart() -> None:
            self._tell(node, "is back")
            node.recover(self._rule)
            if node.chain:  # It may have been durable and not told.
                self._watch.committed(node.name, len(node.chain), node.chain[-1])
            self._begin_height(node)

        self.time.after(self.random.randrange(50, MOST_DOWN_MS), restart)

    def _write(self, node: Node, record: bytes) -> bool:
        """Make a record durable; False when the power went meanwhile, with the record torn."""
        if self._crashes(node):
            node.disk.tear(record, self.random.choice((0, 300, 990, 1_000)))
            return False
        node.disk.write(record)
        return not self._crashes(node)

    def _do(self, node: Node, wanted: Sequence[do.Effect]) -> None:
        machine, life = node.machine, node.life
        for effect in wanted:
            if node.life != life or node.machine is not machine or self._crashes(node):
                return
            self._execute(node, effect)

    def _execute(self, node: Node, effect: do.Effect) -> None:
        match effect:
            case do.Speak(message, certificate):
                self._speak(node, message, certificate)
            case do.Resend(message):
                self._broadcast(node, message)
            case do.SetTimer(kind, height, round_number, delay_ms):
                self._later(node, delay_ms, do.Timeout(kind, height, round_number))
                if node.liar is None:
                    self.largest_round = max(self.largest_round, round_number)
            case do.Commit():
                self.commit(node, effect)
            case do.Report(evidence):
                self._watch.report(node.name, evidence.sender)
                self._tell(node, f"has evidence of a {evidence.kind} by {evidence.sender}")
            case do.Trace(rule, words):
                self._tell(node, f"{rule} {words}")
            case _:
                self._answer(node, effect)

    def _answer(self, node: Node, effect: do.Effect) -> None:
        match effect:
            case do.BuildBlock(_, round_number):
                waiting = tuple(node.waiting)[:MOST_TRANSACTIONS]
                block = next_value(node.name, node.chain, self._clock_ms(node), waiting)
                if node.liar is not None and node.liar.withholds and self.random.random() < 0.3:
                    self._withheld.add(block.digest)
                event = do.BlockBuilt(round_number, block.digest, block.encoded)
                self._keep(node, block.digest, block.encoded, event)
            case do.CheckBlock(digest, data, proposer):
                if digest in self._withheld and node.liar is None:
                    return  # What it names is nowhere to be had.
                if self._is_valid(node, digest, data, proposer):
                    self._keep(node, digest, data, do.BlockChecked(digest, True))
                else:
                    self._later(node, self._conditions.block_ms, do.BlockChecked(digest, False))
            case do.FetchBlock(digest, holders):
                self._fetch(node, digest, holders)

    def _keep(self, node: Node, digest: bytes, block: bytes, event: do.Event) -> None:
        """Make a block durable before anything is said for it."""
        if self._write(node, body_record(block)):
            node.bodies[digest] = block
            self._later(node, self._conditions.block_ms, event)

    def _clock_ms(self, node: Node) -> int:
        return 10_000 + self.now_ms + node.skew_ms

    def _another(self, message: Message) -> tuple[bytes, bytes]:
        """A liar's second block: other transactions, now and then some that are not allowed."""
        node = self.nodes[message.sender]
        allowed = [name for name in self.clients.sent if name not in node.taken]
        wrong = ["forged", *sorted(node.taken)[:1]] if self.random.random() < 0.3 else []
        some = self.random.sample(allowed, min(len(allowed), self.random.randrange(4)))
        clock_ms = self._clock_ms(node) + self.random.choice((0, 1, 5_000, -5_000))
        value = next_value(node.name, node.chain, clock_ms, (*some, *wrong))
        return value.digest, value.encoded

    def _is_valid(self, node: Node, digest: bytes, data: bytes, proposer: str) -> bool:
        value = Value.decode(data)
        if value is None or value.digest != digest or value.maker != proposer:
            return False
        timely = is_timely(value, self._clock_ms(node))
        sent, before = self.clients.sent, node.history.members(node.height - 1)
        return timely and follows(value, node.chain, node.members, node.taken, sent, before)

    def _signed(self, message: Message) -> Message:
        """With the key of the set of its height, as its sender knows it."""
        members = self.nodes[message.sender].history.members(message.height)
        return sign(message, members.key(message.sender))

    def _lied(self, message: Message) -> Message:
        """The same of a liar, who may not want to know that it has another key now."""
        stale = self.faults.changes and self.random.random() < STALE
        return sign(message) if stale else self._signed(message)

    def _speak(self, node: Node, message: Message, certificate: PreparedCertificate | None) -> None:
        """Persist, then sign and send; a crash may fall between."""
        slot = (message.height, message.round, message.kind)
        signed = self._signed(message)
        known = node.said.get(slot)
        if known is not None and known[0] != signed and node.liar is None:
            # Its guard refuses; that it asked at all is a fault of the machine.
            return self._watch.spoke(node.name, signed, certificate)
        if not self._write(node, said_record(signed, certificate)):
            return None
        node.said[slot] = signed, certificate
        self._watch.spoke(node.name, signed, certificate)
        self._tell(node, f"says {message.kind} in round {message.round}")
        life = node.life
        self._broadcast(node, signed)
        if node.machine is not None and node.life == life:
            self._do(node, node.machine.step(do.Spoken(signed)))
        return None

    def commit(self, node: Node, final: do.Commit) -> None:
        """Append a final block, on disk first, and begin the next height."""
        if not self._write(node, final_record(final)):
            return
        node.append(final)
        self._grown = True
        self._tell(node, f"has block {len(node.chain)} {final.digest.hex()[:8]}")
        self._watch.committed(node.name, len(node.chain), final)
        self._begin_height(node)

    # Links.

    def travel(self, sender: Node, receiver: Node, deed: Callable[[], None]) -> None:
        """Do something when a message from one to another arrives, for each of its copies."""
        for delay_us in self._links.delays_us(sender.name, receiver.name, self.now_ms):
            self.time.after_us(delay_us, deed)

    def _broadcast(self, node: Node, message: Message) -> None:
        life = node.life
        for other in self.nodes.values():
            if other is node:
                continue
            if node.life != life or self._crashes(node):
                return  # Some have it, others do not.
            stories: Sequence[Message] = (message,)
            if node.liar is not None:
                stories = node.liar.told(other.place % 2 == 1, message)
            for story in stories:
                self._send(node, other, story)

    def _send(self, node: Node, other: Node, message: Message) -> None:
        def arrive() -> None:
            self.delivered += 1
            cost_us = self._conditions.message_us
            if not cost_us:
                return self._receive(node, other, message)
            other.busy_until_us = max(other.busy_until_us, self.time.now_us) + cost_us
            wait_us = other.busy_until_us - self.time.now_us
            return self.time.after_us(wait_us, lambda: self._receive(node, other, message))

        self.travel(node, other, arrive)

    def _receive(self, sender: Node, node: Node, message: Message) -> None:
        if node.machine is None:
            return
        if sender.liar is not None and not is_signed(message, node.history.members(message.height)):
            return
        if node.liar is not None:
            node.liar.hear(message)
        if message.height == node.height + 1:
            kept = node.early.setdefault(message.sender, [])
            kept[:] = [*kept[-MOST_EARLY + 1 :], message]
        if message.height == node.height:
            self._take_message(node, message)
        elif sender.name == message.sender:
            self._greetings.heard(node, sender, message.height)
            self._greetings.heard(sender, node, node.height)

    def _take_message(self, node: Node, message: Message) -> None:
        at_height = node.machine is not None and node.machine.height == message.height
        if node.machine is not None and at_height and is_of(message, node.members):
            self._do(node, node.machine.step(do.Received(message)))

    def _fetch(self, node: Node, digest: bytes, holders: Sequence[str]) -> None:
        """Ask for a block by its digest; liars may not answer, or answer with another."""
        own = node.body(digest)
        if own is not None:
            return self._later(node, 1, do.BlockFetched(digest, own))
        for name in holders:
            self._ask(node, self.nodes[name], digest)
        return None

    def _ask(self, node: Node, holder: Node, digest: bytes) -> None:
        machine = node.machine

        def serve() -> None:
            block = None if holder.machine is None else holder.body(digest)
            if holder.liar is not None and holder.liar.withholds and self.random.random() < 0.5:
                block = b"nobody/0/0" if self.random.random() < 0.5 else None
            self.travel(holder, node, lambda: take(block))

        def take(block: bytes | None) -> None:
            value = None if block is None else Value.decode(block)
            if block is None or value is None or value.digest != digest:
                return
            if machine is not None and node.machine is machine:
                self._do(node, machine.step(do.BlockFetched(digest, block)))

        self.travel(node, holder, serve)

    def _tell(self, node: Node, words: str) -> None:
        self._watch.tell(self.now_ms, node.name, words)
