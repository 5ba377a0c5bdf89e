"""How many P-256 signatures all cores of this machine check together when they do nothing else.

Decides what a validator's throughput is held against: one process a core, all at once, the very
call that validators make. The limit counts CPU time, so that it is this machine's whoever else uses
it; how much of the cores others left is told too, before and after a measurement.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO

from gridwitness.bench_load import METERS, Load
from wire.errors import Unavailable
from wire.keys import PublicKey
from wire.reading import SignedReading

SECONDS = 2.0
QUIET = 0.95
"""Of the cores' time: with less left, figures by the clock are those of a busy machine."""

_Worker = subprocess.Popen[str]


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
    asked = json.dumps(
        [(keys[each.reading.meter], each.message.hex(), each.signature.hex()) for each in opened]
    )
    cores = os.cpu_count() or 1
    with ExitStack() as ending:
        workers = [_started(ending) for _ in range(cores)]
        for worker in workers:
            _tell(worker, asked)
        for worker in workers:
            _heard(worker)
        for worker in workers:
            _tell(worker, "go")
        found = [json.loads(_heard(worker)) for worker in workers]
    checks, wall_s, cpu_s = (sum(column) for column in zip(*found, strict=True))
    return CheckRate(cores, cpu_s / checks, cpu_s / wall_s)


def _started(ending: ExitStack) -> _Worker:
    command = [sys.executable, "-m", "gridwitness.bench_limit"]
    pipe = subprocess.PIPE
    worker = ending.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
    ending.callback(worker.kill)
    return worker


def _tell(worker: _Worker, line: str) -> None:
    assert worker.stdin is not None
    try:
        worker.stdin.write(line + "\n")
        worker.stdin.flush()
    except BrokenPipeError:
        raise Unavailable("the cores' own rate cannot be measured: a process of it ended") from None


def _heard(worker: _Worker) -> str:
    assert worker.stdout is not None
    line = worker.stdout.readline()
    if not line:
        raise Unavailable("the cores' own rate cannot be measured: a process of it ended")
    return line


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


def work(asked: Sequence[tuple[str, str, str]], begin: IO[str]) -> tuple[int, float, float]:
    """Check when a line comes: checks done, seconds by the wall's clock, and of CPU time."""
    checks = [
        (PublicKey.from_text(key), bytes.fromhex(message), bytes.fromhex(signature))
        for key, message, signature in asked
    ]
    print("ready", flush=True)
    begin.readline()
    began_s, began_cpu_s, count = time.monotonic(), time.process_time(), 0
    while time.monotonic() < began_s + SECONDS:
        for key, message, signature in checks:
            key.verify(message, signature)
        count += len(checks)
    return count, time.monotonic() - began_s, time.process_time() - began_cpu_s


if __name__ == "__main__":
    print(json.dumps(work(json.loads(sys.stdin.readline()), sys.stdin)), flush=True)
