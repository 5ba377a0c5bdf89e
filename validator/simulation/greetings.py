"""Simulated validators tell their heights in turn, time the answers, and catch up (rule R11).

Decides when somebody asks for final blocks; what comes is checked as a real node checks it, by the
seals of a quorum. Liars answer late, not at all, or with too few seals.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from validator.consensus.effects import Commit
from validator.simulation.marks import is_final
from validator.simulation.values import GENESIS, Value

if TYPE_CHECKING:
    from validator.simulation.network import Network
    from validator.simulation.nodes import Node

GREETING_MS = 1_000
"""So often each validator greets the next of the others."""

ASKING_MS = 200
"""Final blocks are not asked for more often."""

MOST_SYNCED = 64
"""Final blocks in one answer."""

LATE_MS = 20_000
"""A liar answers a greeting after at most so long."""


class Greetings:
    """Heights, round trips and final blocks of one run."""

    def __init__(self, network: "Network") -> None:
        """Take the network."""
        self._network = network

    def begin(self, node: "Node", tick: int = 1) -> None:
        """Greet one of the others, and go on with the next."""
        network = self._network
        names = network.validators.ids
        if len(names) == 1:
            return
        step = 1 + tick % (len(names) - 1)
        if node.machine is not None:
            self._greet(node, network.nodes[names[(node.place + step) % len(names)]])
        network.time.after(GREETING_MS, lambda: self.begin(node, tick + 1))

    def _greet(self, node: "Node", other: "Node") -> None:
        network = self._network
        at_ms, height, life = network.now_ms, node.height, node.life

        def answered() -> None:
            if node.life == life:
                node.pace.measured(other.name, network.now_ms - at_ms)
                self.heard(node, other, other.height)

        def greeted() -> None:
            if other.machine is None:
                return
            self.heard(other, node, height)
            late = other.liar is not None and other.liar.withholds
            late_ms = network.random.randrange(LATE_MS) if late else 0
            network.time.after(late_ms, lambda: network.travel(other, node, answered))

        network.travel(node, other, greeted)

    def heard(self, node: "Node", other: "Node", height: int) -> None:
        """One has heard at which height another is: who is behind asks for what is final."""
        if node.machine is None or height <= node.height:
            return
        network = self._network
        if network.now_ms - node.asked_ms < ASKING_MS:
            return
        node.asked_ms = network.now_ms
        network.travel(node, other, lambda: self._answer(other, node, node.height))

    def _answer(self, source: "Node", node: "Node", first: int) -> None:
        if source.machine is None:
            return
        network = self._network
        blocks: Sequence[Commit] = source.chain[first - 1 : first - 1 + MOST_SYNCED]
        if source.liar is not None and network.random.random() < 0.5:
            blocks = [_with_too_few_seals(each) for each in blocks]
        network.travel(source, node, lambda: self._take(node, blocks))

    def _take(self, node: "Node", blocks: Sequence[Commit]) -> None:
        """Take final blocks that follow one's own, as far as they are what a quorum sealed."""
        network = self._network
        for final in blocks:
            value = Value.decode(final.block)
            if value is None or value.height != node.height:
                continue
            parent = node.chain[-1].digest if node.chain else GENESIS
            fits = value.digest == final.commit.digest and value.parent == parent
            if not fits or not is_final(final.commit, node.members, value.height):
                return
            life = node.life
            if node.machine is None:
                return
            network.commit(node, final)
            if node.life != life:
                return


def _with_too_few_seals(final: Commit) -> Commit:
    seals = final.commit.seals
    return replace(final, commit=replace(final.commit, seals=(*seals[:-2], seals[0])))
