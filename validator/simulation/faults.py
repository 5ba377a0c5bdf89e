"""What may go wrong in a simulated network, how the seed changes it, and what else there is."""

from dataclasses import dataclass, field, replace

from validator.consensus.timeouts import Timeouts

BUILD_MS = 20

MOST_DOWN_MS = 8_000
"""A validator that crashed is back within this virtual time."""

HEALED_DELAY_MS = 100
"""After healing every message arrives within this virtual time."""

HEALED_SKEW_MS = 100
"""After healing every clock is right within this."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Each a probability or a bound, until the network heals."""

    loss: float = 0.05
    """Share of messages that are lost; of each direction of a link another multiple of it."""

    double: float = 0.05
    """Share of messages that arrive twice."""

    most_delay_ms: int = 400
    """Longest delay of a message; each has its own, so that later ones overtake."""

    crash: float = 0.002
    """Chance of a crash at each boundary between two effects, and within one."""

    partition: float = 0.02
    """Chance that one direction of a link is cut or mended, twice a second; a fifth of it is the
    chance that everybody is split into two groups for a while."""

    byzantine: int = 0
    """How many validators lie."""

    heal_at_ms: int = 60_000
    """Virtual time after which nothing goes wrong any more, but that liars lie."""

    skew_ms: int = 0
    """Clocks are wrong by at most this, either way."""

    drift_permille: int = 0
    """Timers run fast or slow by at most this."""

    changes: int = 0
    """So many changes of the validator set are signed, at times that the seed draws."""

    crash_at: tuple[int, int] | None = None
    """(place of a validator, number of an effect boundary): it crashes there, whatever else."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a run has beside faults."""

    timeouts: Timeouts = field(default_factory=Timeouts)
    """As configured."""

    adaptive: bool = True
    """Whether the base follows measured round trips."""

    message_us: int = 0
    """What a message costs its receiver's processor, mostly a signature check."""

    block_ms: int = BUILD_MS
    """What making or checking a block costs."""


CALM = Faults(loss=0, double=0, most_delay_ms=100, crash=0, partition=0, heal_at_ms=0)
"""Nothing goes wrong."""


def vary(faults: Faults, seed: int) -> Faults:
    """Change the weather with the seed: calm, lossy, slow, crashing, cut and skewed all occur."""
    return replace(
        faults,
        loss=faults.loss * (0.0, 0.5, 1.0, 3.0)[seed % 4],
        crash=faults.crash * (0.0, 1.0, 4.0)[seed % 3],
        partition=faults.partition * (0.0, 1.0, 3.0)[seed // 4 % 3],
        most_delay_ms=faults.most_delay_ms * (1, 1, 8)[seed // 3 % 3],
        skew_ms=(0, 300, 4_000)[seed // 5 % 3],
        drift_permille=(0, 50, 200)[seed // 7 % 3],
    )
