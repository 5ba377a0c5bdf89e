"""How many P-256 signatures all cores of this machine check together when they do nothing else.

Decides what a validator's throughput is held against: one process a core, all at once, the very
call that validators make. Taken before and after a measurement, because others use the machine too.
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
_START_LIMIT_S = 60.0

_Check = tuple[str, bytes, bytes]
"""Key in text form, message, signature."""


@dataclass(frozen=True, slots=True)
class CheckRate:
    """What the cores did."""

    cores: int
    """How many."""

    per_s: float
    """Checks a second of all of them together, by the clock on the wall."""

    cpu_s: float
    """CPU time of one check, seconds."""


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
    return CheckRate(
        cores,
        sum(count / wall_s for count, wall_s, _ in found),
        sum(cpu_s for _, _, cpu_s in found) / sum(count for count, _, _ in found),
    )


def between(before: CheckRate, after: CheckRate) -> CheckRate:
    """What the cores could have done in a measurement between the two."""
    per_s, cpu_s = (before.per_s + after.per_s) / 2, (before.cpu_s + after.cpu_s) / 2
    return CheckRate(before.cores, per_s, cpu_s)


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
