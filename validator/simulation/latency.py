"""How long agreement takes between real places: from the proposal until everybody has the block.

Runs the real machines in virtual time over a map of delays, with a cost for each message that a
processor must check. Decides what is measured; the delays are `atlas`'s.
"""

import random
from dataclasses import dataclass, field

from validator.consensus import effects as do
from validator.consensus.messages import Message, PreparedCertificate, Proposal
from validator.simulation.atlas import Map
from validator.simulation.faults import CALM, Conditions
from validator.simulation.links import Atlas
from validator.simulation.network import Network
from validator.simulation.virtual_time import VirtualTime
from wire.block import ValidatorSet

MESSAGE_US = 150
"""A message's share of a core: an Ed25519 check (about 110 us with OpenSSL), decoding, the step."""

MOST_MS = 3_600_000
"""Virtual time after which a run that makes no blocks is given up."""


@dataclass(frozen=True, slots=True)
class Latency:
    """What one run showed; times in virtual milliseconds."""

    validators: int
    """How many agreed."""

    heights: int
    """Blocks that everybody has."""

    final_ms: float
    """From the first proposal of a height until a quorum has the block, median."""

    final_worst_ms: float
    """The longest of these."""

    everybody_ms: float
    """Until the last validator has it, median."""

    later_rounds: int
    """Heights that were decided after round 0."""

    max_round: int
    """Largest round that anyone entered."""

    base_ms: int
    """Largest base of a validator's timeouts at the end."""

    messages: int
    """Messages that a validator checked for a block, on average."""


@dataclass
class Stopwatch:
    """Watches when what happens."""

    time: VirtualTime = field(default_factory=VirtualTime)
    """The run's clock."""

    proposed: dict[int, int] = field(default_factory=dict)
    """When a height's first proposal was signed, microseconds."""

    final: dict[int, list[int]] = field(default_factory=dict)
    """When validators had a height's block, in order, microseconds."""

    rounds: dict[int, int] = field(default_factory=dict)
    """Round in which a height was decided."""

    def committed(self, name: str, height: int, final: do.Commit) -> None:
        """A validator has committed."""
        self.final.setdefault(height, []).append(self.time.now_us)
        self.rounds.setdefault(height, final.commit.round)

    def report(self, by: str, accused: str) -> None:
        """Nobody lies here."""
        raise AssertionError(f"{by} accuses {accused} where nobody lies")

    def spoke(self, name: str, message: Message, certificate: PreparedCertificate | None) -> None:
        """A validator signs."""
        if isinstance(message, Proposal):
            self.proposed.setdefault(message.height, self.time.now_us)

    def tell(self, now_ms: int, name: str, words: str) -> None:
        """Nobody reads along."""


def measure(
    members: ValidatorSet, where: Map, heights: int, conditions: Conditions, seed: int = 0
) -> Latency:
    """Let validators at these places agree on so many heights.

    Args:
        members: who agrees; they are put at the places in turn.
        where: the places.
        heights: how many blocks everybody is to have.
        conditions: timeouts, and what a message and a block cost.
        seed: of the jitter and the clients.
    """
    places = {name: number % len(where.places) for number, name in enumerate(members.ids)}
    links = Atlas(places, where.matrix_us, random.Random(seed))
    watch = Stopwatch()
    network = Network(members, CALM, seed, watch, conditions, links)
    watch.time = network.time
    nodes = network.nodes.values()
    network.run(MOST_MS, lambda: all(len(node.chain) >= heights for node in nodes))
    done = [height for height, times in watch.final.items() if len(times) == len(members)]
    counted = sorted(done)[:heights]
    quorum = sorted(
        watch.final[each][members.quorum - 1] - watch.proposed[each] for each in counted
    )
    last = sorted(watch.final[each][-1] - watch.proposed[each] for each in counted)
    return Latency(
        validators=len(members),
        heights=len(counted),
        final_ms=quorum[len(quorum) // 2] / 1000,
        final_worst_ms=quorum[-1] / 1000,
        everybody_ms=last[len(last) // 2] / 1000,
        later_rounds=sum(watch.rounds[each] > 0 for each in counted),
        max_round=network.largest_round,
        base_ms=max(node.pace.base_ms for node in nodes) or conditions.timeouts.base_ms,
        messages=network.delivered // (len(members) * len(counted)),
    )
