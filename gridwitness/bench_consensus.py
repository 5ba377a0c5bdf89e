"""`gridwitness bench consensus`: what agreement on a full block of verified readings costs.

Four real validators (`assembly`) in this process, in virtual time and without sockets, agree on
blocks of 5,000 readings whose signatures all have checked beforehand. Decides where the time is
seen: each part of a validator's work is timed by the process's CPU clock, beside the raw signature
checks of as many readings in the same run. What machines alone cost is measured with many more
validators.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from gridwitness.assembly import Assembly, Member, Outside
from gridwitness.bench_block import START_S, BenchBlock
from hwsim.virtual_time import run_jumping
from validator.consensus import effects as do
from validator.consensus.machine import Machine
from validator.consensus.messages import Commit, Prepare, Proposal
from validator.consensus.timeouts import Timeouts
from validator.simulation.marks import sign
from validator.simulation.runs import validators as members_of
from wire.keys import EDDSA, SoftSigner
from wire.witness import Batch

READINGS = 5_000
LARGEST_BATCH = 500
BLOCKS = 3
VALIDATORS = 4
MACHINES = (4, 31, 100)
LIMIT_S = 600.0
"""Virtual seconds within which a block is final, or something is broken."""

PARAMETERS = {"empty_block_interval_ms": 10**9, "block_interval_ms": 1_000}


class Parts:
    """CPU seconds by part of the work; what is called from within another part counts there."""

    def __init__(self) -> None:
        """Start at nothing."""
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._inside = False

    def time(self, holder: object, method: str, part: str) -> None:
        """Time a method of an object from now on."""
        real: Callable[..., Any] = getattr(holder, method)

        def timed(*args: Any, **named: Any) -> Any:
            if self._inside:
                return real(*args, **named)
            self._inside, started = True, time.process_time()
            try:
                return real(*args, **named)
            finally:
                self._inside = False
                self.seconds[part] += time.process_time() - started

        setattr(holder, method, timed)


def add_command(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `bench consensus`."""
    parser = subparsers.add_parser(
        "consensus",
        help="what agreement on a block of 5,000 verified readings costs, and where",
        description="Four validators in this process agree on full blocks; CPU time by part of the"
        " work, beside the raw checks of as many signatures.",
    )
    parser.add_argument(
        "--blocks", type=int, default=BLOCKS, metavar="N", help=f"full blocks (default {BLOCKS})"
    )
    parser.add_argument(
        "--readings", type=int, default=READINGS, metavar="N", help="of a block (default 5000)"
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object on stdout")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    if args.blocks < 1 or not 1 <= args.readings <= READINGS:
        print(f"gridwitness bench: 1 or more blocks of 1 to {READINGS} readings", file=sys.stderr)
        return 2
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    _say(f"{args.blocks} blocks of {args.readings} readings are signed")
    keys = {f"val-{place}": SoftSigner.generate(EDDSA) for place in range(VALIDATORS)}
    # Batches of one size that fill a block.
    batch = max(each for each in range(1, LARGEST_BATCH + 1) if args.readings % each == 0)
    load = BenchBlock.make(args.readings * args.blocks, batch, keys, PARAMETERS)
    public, message, signature = load.one_signature()
    started = time.process_time()
    for _ in range(args.readings):
        public.verify(message, signature)
    bare_s = time.process_time() - started
    _say("validators agree")
    with tempfile.TemporaryDirectory() as folder:
        agreeing = run_jumping(_agree(load, list(keys.values()), args.blocks, Path(folder)))
    found = {
        "readings": args.readings,
        "validators": VALIDATORS,
        **agreeing,
        "bare_checks_ms": round(bare_s * 1000, 1),
        "ratio_to_checks": round(agreeing["cpu_ms_per_block"] / 1000 / bare_s, 2),
        "machine_us_per_message": {str(count): _machine_us(count) for count in MACHINES},
    }
    if args.json:
        print(json.dumps(found))
    else:
        _show(found)
    return 0


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _time_parts(parts: Parts, member: Member) -> None:
    for holder, method, part in (
        (member.blocks, "make", "execute"),
        (member.blocks, "check", "execute"),
        (member.application, "commit", "apply"),
        (member.store, "put_proposed", "store"),
        (member.store, "append", "store"),
        (member.driver.voice, "signed", "sign"),
        (member.hearing, "open", "check_votes"),
        (member.driver, "_machine", "next_height"),
        (member, "broadcast", "send"),
    ):
        parts.time(holder, method, part)


async def _agree(
    load: BenchBlock, keys: list[SoftSigner], blocks: int, folder: Path
) -> dict[str, Any]:
    """Let the validators agree, block by block; CPU milliseconds of one for one block."""
    outside = Outside(folder, lambda *_: 0.0, lambda *_: None, lambda *_: None)
    assembly = Assembly(load.genesis, keys, outside)
    members = list(assembly.members.values())
    batches = [Batch.open(each) for each in load.batches]
    each_block = len(batches) // blocks
    parts, cpu_s, wall_s = Parts(), 0.0, 0.0
    for member in members:
        _time_parts(parts, member)
    assembly.begin()
    await asyncio.sleep(load.time_ms / 1000 - START_S)
    for number in range(blocks):
        for batch in batches[number * each_block : (number + 1) * each_block]:
            for member in members:
                await member.check([batch])
                member.mempool.add(batch)
        started, started_wall = time.process_time(), time.perf_counter()
        for member in members:
            member.driver.nudge()
        async with asyncio.timeout(LIMIT_S):
            while min(member.driver.tip.height for member in members) <= number:
                await asyncio.sleep(0.01)
        cpu_s += time.process_time() - started
        wall_s += time.perf_counter() - started_wall
    level, whole = assembly.level, [member.store.reading_count() for member in members]
    assembly.end()
    assert level, "ledgers differ"
    assert min(whole) == sum(len(batch.readings) for batch in batches), "readings are missing"
    share = 1000 / blocks / len(members)
    longest = sorted(parts.seconds.items(), key=lambda each: -each[1])
    named = {name: round(seconds * share, 1) for name, seconds in longest}
    rest = round((cpu_s - sum(parts.seconds.values())) * share, 1)
    return {
        "cpu_ms_per_block": round(cpu_s * share, 1),
        "parts_ms": {**named, "rest": rest},
        "wall_ms_per_block": round(wall_s * 1000 / blocks, 1),
    }


def _machine_us(count: int) -> float:
    """CPU microseconds that one machine takes for a message of a height, votes all checked."""
    members = members_of(count)
    block = b"block"
    digest = bytes(32)
    first, me = members.ids[0], members.ids[1]
    votes = [sign(kind(1, 0, name, digest)) for kind in (Prepare, Commit) for name in members.ids]
    proposal = sign(Proposal(1, 0, first, digest, block))
    steps = max(1, 2_000 // count)
    started = time.process_time()
    for _ in range(steps):
        machine = Machine(me, 1, members, members.ids, Timeouts())
        machine.step(do.Received(proposal))
        machine.step(do.BlockChecked(digest, True))
        for vote in votes:
            machine.step(do.Spoken(vote) if vote.sender == me else do.Received(vote))
        assert machine.finished
    return round((time.process_time() - started) * 1e6 / steps / (len(votes) + 1), 1)


def _show(found: dict[str, Any]) -> None:
    rows = [
        ("one validator, one block", f"{found['cpu_ms_per_block']} ms of CPU"),
        *((f"  {name}", f"{spent} ms") for name, spent in found["parts_ms"].items()),
        ("raw checks of its readings", f"{found['bare_checks_ms']} ms"),
        ("ratio to raw checks", f"{found['ratio_to_checks']}"),
        ("all in this process, a block", f"{found['wall_ms_per_block']} ms from due to final"),
        *(
            (f"machine of {count} validators", f"{spent} us a message")
            for count, spent in found["machine_us_per_message"].items()
        ),
    ]
    for name, value in rows:
        print(f"{name:30} {value:>30}")
