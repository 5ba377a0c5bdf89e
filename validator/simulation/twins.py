"""Twins: a validator and its copy with the same key, every way to part the network, round by round.

After Bano et al., *Twins: BFT Systems Made Robust* (arXiv 2004.10617): a validator that runs twice
equivocates, forgets and speaks out of turn without any code that lies. One height; in each of the
first rounds the nodes are split into groups that hear nobody else, and COMMITs reach everybody of
the group or one node alone; then everybody hears everybody. Every combination is tried, so that
nothing is left to chance. Checked are agreement among those without a twin, that nobody but the
twinned one is accused, and that after healing somebody without one commits. Who has committed falls
silent here, because the final block that it would send (R11) hides what the votes lead to.
"""

import hashlib
import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from validator.consensus import effects as do
from validator.consensus.machine import Machine
from validator.consensus.messages import Commit, Message
from validator.consensus.proposer import order
from validator.consensus.timeouts import Timeouts
from validator.simulation.checkers import Checkers
from validator.simulation.network import sign
from wire.block import ValidatorSet

HEIGHT = 1
HEALED_ROUNDS = 12
"""Rounds after healing within which everybody without a twin has committed."""

AFTERWARDS_ROUNDS = 4
"""Rounds in which those who are left may still contradict one who has committed."""

Split = tuple[frozenset[int], ...]
"""Groups of nodes, by their place; the twin comes last."""


class Weather(NamedTuple):
    """Who hears whom in one round."""

    groups: Split
    """Nodes hear those of their group only."""

    lucky: int | None = None
    """The one node that COMMITs reach; all of a group when None."""


def splits(nodes: int, groups: int) -> list[Split]:
    """Every way to part so many nodes into at most so many groups."""
    found: list[list[set[int]]] = [[]]
    for node in range(nodes):
        grown = []
        for parts in found:
            grown += [
                [part | {node} if at == place else part for at, part in enumerate(parts)]
                for place in range(len(parts))
            ]
            if len(parts) < groups:
                grown.append([*parts, {node}])
        found = grown
    return [tuple(frozenset(part) for part in parts) for parts in found]


@dataclass
class Node:
    """One running copy of a validator."""

    place: int
    """Its place among the nodes."""

    machine: Machine
    """The real machine."""

    said: dict[tuple[int, str], Message] = field(default_factory=dict)
    """What this copy has signed; the other copy knows nothing of it."""

    inbox: deque[Message] = field(default_factory=deque)
    """What has arrived and was not taken yet."""


class Scenario:
    """One twinned validator, and one splitting for each of the first rounds."""

    def __init__(self, validators: ValidatorSet, twinned: int, rounds: Sequence[Weather]) -> None:
        """Take who runs twice, by place, and the weather of the first rounds."""
        self._rounds = rounds
        names = [*validators.ids, validators.ids[twinned]]
        leaders = order(validators, None, ())
        self.checkers = Checkers(validators, sign, frozenset(validators.ids) - {names[-1]})
        self.nodes = [
            Node(place, Machine(name, HEIGHT, validators, leaders, Timeouts()))
            for place, name in enumerate(names)
        ]
        self._bodies: dict[bytes, bytes] = {}
        self._healed = Weather((frozenset(range(len(names))),))
        self._weather = self._healed

    @property
    def _running(self) -> list[Machine]:
        """Machines without a twin that have not committed."""
        honest = (node.machine for node in self.nodes if node.machine.me in self.checkers.honest)
        return [machine for machine in honest if not machine.finished]

    def play(self) -> list[str]:
        """Play it, and return what went wrong, in words."""
        self._weather = self._rounds[0]
        for node in self.nodes:
            self._do(node, node.machine.step(do.BlockTimer(HEIGHT)))
        self._settle()
        for weather in self._rounds[1:]:
            self._weather = weather
            self._next_round()
        self._weather = self._healed
        alone = 0
        for _ in range(HEALED_ROUNDS):
            self._all(do.RESEND_TIMER)
            alone += len(self._running) < len(self.checkers.honest)
            if not self._running or alone > AFTERWARDS_ROUNDS:
                return self.checkers.violations
            self._next_round()
        return [*self.checkers.violations, "nobody without a twin committed after healing"]

    def _next_round(self) -> None:
        """Time out whoever is in the earliest round, as those who are ahead wait for them."""
        running = [node.machine for node in self.nodes if not node.machine.finished]
        earliest = min((machine.round for machine in running), default=0)
        self._all(do.ROUND_TIMER, earliest)

    def _all(self, kind: str, only_round: int | None = None) -> None:
        for node in self.nodes:
            round_number = node.machine.round
            if only_round in (None, round_number):
                self._do(node, node.machine.step(do.Timeout(kind, HEIGHT, round_number)))
        self._settle()

    def _settle(self) -> None:
        """Let everything arrive that can."""
        while any(node.inbox for node in self.nodes):
            for node in self.nodes:
                if node.inbox:
                    self._do(node, node.machine.step(do.Received(node.inbox.popleft())))

    def _do(self, node: Node, wanted: Sequence[do.Effect]) -> None:
        for effect in wanted:
            match effect:
                case do.Speak(message):
                    self._speak(node, message)
                case do.Resend(message):
                    self._send(node, message)
                case do.Commit():
                    self.checkers.committed(node.machine.me, HEIGHT, effect)
                case do.Report(evidence):
                    self.checkers.report(node.machine.me, evidence.sender)
                case _:
                    self._answer(node, effect)

    def _answer(self, node: Node, effect: do.Effect) -> None:
        """Timers run when the scenario says so, and traces are for people: they get no answer."""
        match effect:
            case do.BuildBlock(height, round_number):
                digest, block = self._build(node, height, round_number)
                self._step(node, do.BlockBuilt(round_number, digest, block))
            case do.CheckBlock(digest, block, _):
                valid = hashlib.sha256(block).digest() == digest
                self._step(node, do.BlockChecked(digest, valid))
            case do.FetchBlock(digest, _):
                self._step(node, do.BlockFetched(digest, self._bodies[digest]))

    def _step(self, node: Node, event: do.Event) -> None:
        self._do(node, node.machine.step(event))

    def _speak(self, node: Node, message: Message) -> None:
        signed = sign(message)
        known = node.said.setdefault((message.round, message.kind), signed)
        assert known == signed, "one copy signed twice for a slot"
        self._send(node, signed)
        self._step(node, do.Spoken(signed))

    def _send(self, node: Node, message: Message) -> None:
        group = next(each for each in self._weather.groups if node.place in each)
        for place in sorted(group - {node.place}):
            if message.kind != Commit.kind or self._weather.lucky in (None, place):
                self.nodes[place].inbox.append(message)

    def _build(self, node: Node, height: int, round_number: int) -> tuple[bytes, bytes]:
        """Each copy makes a block of its own."""
        block = f"{node.machine.me}/{height}/{round_number}/{node.place}".encode()
        digest = hashlib.sha256(block).digest()
        self._bodies[digest] = block
        return digest, block


@dataclass(frozen=True, slots=True)
class Failure:
    """A scenario that went wrong, and how to play it again."""

    twinned: int
    """Place of the validator that ran twice."""

    rounds: tuple[Weather, ...]
    """The weather, round by round."""

    words: tuple[str, ...]
    """What went wrong."""

    def __str__(self) -> str:
        """For people: who ran twice, and who heard whom, round by round; T is the twin."""
        twin = max(place for group in self.rounds[0].groups for place in group)
        said = []
        for groups, lucky in self.rounds:
            heard = " | ".join("".join(_letter(p, twin) for p in sorted(each)) for each in groups)
            said.append(
                heard if lucky is None else f"{heard}, COMMITs to {_letter(lucky, twin)} only"
            )
        return f"{self.twinned} twice; {'; then '.join(said)}: {'; '.join(self.words)}"


def _letter(place: int, twin: int) -> str:
    return "T" if place == twin else str(place)


def scenarios(count: int, rounds: int, groups: int) -> Iterator[tuple[int, tuple[Weather, ...]]]:
    """Every twinned validator with every weather of so many rounds, in at most so many groups."""
    lucky = [None, *range(count + 1)]
    ways = [Weather(*each) for each in itertools.product(splits(count + 1, groups), lucky)]
    for twinned in range(count):
        for weathers in itertools.product(ways, repeat=rounds):
            yield twinned, weathers


def play(validators: ValidatorSet, twinned: int, rounds: tuple[Weather, ...]) -> Failure | None:
    """Play one scenario."""
    words = Scenario(validators, twinned, rounds).play()
    return Failure(twinned, rounds, tuple(words)) if words else None
