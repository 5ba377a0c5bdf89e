"""How many P-256 signatures all cores of this machine check together when they do nothing else.

Decides what a validator's throughput is held against: one process a core, all at once, the very
call that validators make. The limit counts CPU time, so that it is this machine's whoever else uses
it; how much of the cores others left is told too, before and after a measurement.
"""

import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier

from gridwitness.bench_load import METERS, Load
from wire.errors import Unavailable
from wire.keys import PublicKey
from wire.reading import SignedReading

SECONDS = 2.0
QUIET = 0.95
"""Of the cores' time: with less left, figures by the clock are those of a busy machine."""
_START_LIMIT_S = 60.0

_Check = tuple[str, bytes, bytes]
"""Key in text form, message, signature."""


@dataclass(frozen=True, slots=True)
class CheckRate:
    """What the cores did."""

    cores: int
    """How many."""

    cpu_s: float
    """CPU time of one check while all cores check, seconds."""

    share: float
    """Of the cores' time, what others left; 1 on a quiet machine."""

    @property
    def per_s(self) -> float:
        """Checks a second of all cores together when nobody else uses them."""
        return self.cores / self.cpu_s


def check_rate(load: Load) -> CheckRate:
    """Check the load's signatures on all cores for a while; raises Unavailable."""
    keys = {entry["id"]: entry["key"] for entry in load.meters}
    opened = [SignedReading.open(each) for each in load.readings[:METERS]]
    asked = [
        (keys[each.reading.meter], each.cose.sig_structure, each.cose.signature) for each in opened
    ]
    cores = os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(cores)
    with ProcessPoolExecutor(cores, context, _remember, (start,)) as pool:
        try:
            found = list(pool.map(_work, [asked] * cores))
        except (OSError, RuntimeError) as reason:
            raise Unavailable(f"the cores' own rate cannot be measured: {reason}") from None
    checks, wall_s, cpu_s = (sum(column) for column in zip(*found, strict=True))
    return CheckRate(cores, cpu_s / checks, cpu_s / wall_s)


def between(before: CheckRate, after: CheckRate) -> CheckRate:
    """The mean of both."""
    cpu_s, share = (before.cpu_s + after.cpu_s) / 2, (before.share + after.share) / 2
    return CheckRate(before.cores, cpu_s, share)


def busy(share: float) -> str:
    """Say that others use the machine."""
    return (
        f"others used {1 - share:.0%} of the cores: what goes by the clock (readings/s, their share"
        " of the limit, latencies) is better on a quiet machine"
    )


_start: list[Barrier] = []
"""Of this process, in which checks are done."""


def _remember(start: Barrier) -> None:
    _start.append(start)


def _work(asked: Sequence[_Check]) -> tuple[int, float, float]:
    """Checks done, seconds they took by the wall's clock, and of CPU time."""
    checks = [(PublicKey.from_text(key), message, seal) for key, message, seal in asked]
    _start[0].wait(_START_LIMIT_S)
    began_s, began_cpu_s, count = time.monotonic(), time.process_time(), 0
    while time.monotonic() < began_s + SECONDS:
        for key, message, signature in checks:
            key.verify(message, signature)
        count += len(checks)
    return count, time.monotonic() - began_s, time.process_time() - began_cpu_s
