"""`gridwitness sim thousand`: 31 validators, 69 gateways and 900 meters in one process.

Every meter signs each of its readings, every gateway witnesses its batches, and every validator is
a real one (`assembly`) that checks every signature, executes every block and writes its own ledger.
Time is virtual, so that a quarter of an hour takes as long as its work; links have the delays of
`validator.simulation.atlas`. Decides the grid: one zone a gateway, one boundary meter a zone, whose
energy is the sum of its customers'.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from gridwitness.assembly import Assembly, Outside
from gridwitness.paper_meters import COS_PPM, INTERVAL_S, SITE, PaperMeter, Witnessing
from hwsim.virtual_time import run_jumping
from validator.node.candidate import Candidate
from validator.simulation.atlas import MAPS
from wire.answer import BatchReceipt, open_answer
from wire.genesis import Genesis
from wire.keys import EDDSA, ES256, SoftSigner
from wire.light import LightClient
from wire.results import ACCEPTED, ZoneSeal
from wire.witness import Batch

START_S = 1_751_328_000
SPREAD_S = 20.0
"""Gateways publish within so long after an interval."""

BROKER_S = 0.2
"""A batch is with each validator after at most so long, and a receipt with its gateway."""

AGAIN_S = 30.0
"""A gateway without a receipt publishes again after so long."""

_DOZEN_WH = (40, 420)


@dataclass
class Gateway:
    """One gateway with its meters."""

    name: str
    """Gateway id."""

    zone: str
    """Its zone."""

    key: SoftSigner
    """Its witness key."""

    meters: list[PaperMeter]
    """The boundary meter first."""

    def witness(self, topic_name: str, interval: int, chance: random.Random) -> Batch:
        """Read all meters and witness what they signed."""
        parts_wh = [chance.randrange(*_DOZEN_WH) for _ in self.meters[1:]]
        advances_wh = [sum(parts_wh), *parts_wh]
        pairs = zip(self.meters, advances_wh, strict=True)
        readings = tuple(meter.read(interval, advance_wh) for meter, advance_wh in pairs)
        at_s = START_S + (interval + 1) * INTERVAL_S
        return Witnessing(self.name, topic_name, interval, at_s).of(readings, self.key)

    def entry(self) -> dict[str, Any]:
        """Its entry in the registry."""
        return {
            **{"id": self.name, "operator": "PEA", "site": list(SITE), "site_cos_ppm": COS_PPM},
            **{"radius_m": 200, "zones": [self.zone], "witness_key": self.key.public.text},
            "reader_key": SoftSigner.generate(ES256).public.text,
        }


@dataclass
class Account:
    """What has happened."""

    final: int = 0
    """Readings with a verified receipt."""

    refused: int = 0
    """Readings that a receipt says were not accepted."""

    latencies_s: list[float] = field(default_factory=list)
    """From a batch's first publishing to its verified receipt."""

    blocks: dict[int, int] = field(default_factory=dict)
    """Round of each block."""

    verdicts: Counter[str] = field(default_factory=Counter)
    """Zone seals by verdict."""


class Grid:
    """The whole network."""

    def __init__(self, validators: int, gateways: int, meters: int, folder: Path) -> None:
        """Make keys and genesis."""
        self.account = Account()
        self._chance = random.Random(1)
        self._folder = folder
        self._keys = [SoftSigner.generate(EDDSA) for _ in range(validators)]
        self._gateways = []
        for number in range(gateways):
            mine = range(number, meters, gateways)
            made = [
                PaperMeter(f"m{each:04}", "bus-1", SoftSigner.generate(ES256), START_S)
                for each in mine
            ]
            witness = SoftSigner.generate(ES256)
            self._gateways.append(Gateway(f"gw-{number:03}", f"z{number:03}", witness, made))
        self._genesis = self._found()
        self._client = LightClient.of(self._genesis)
        self._open: dict[str, tuple[Batch, float]] = {}

    def _found(self) -> Genesis:
        zones = [
            {"id": each.zone, "parent": "", "operator": "PEA", "p0_mw": 0, "branches": []}
            | {"root": "bus-1"}
            for each in self._gateways
        ]
        authority = SoftSigner.generate(EDDSA).public.text
        content = {
            "format": 1,
            "name": "thousand",
            "time_ms": START_S * 1000,
            "paced_time": True,
            "parameters": {},
            "authorities": [{"id": "PEA", "name": "PEA", "type": "PEA", "key": authority}],
            "validators": [
                {"id": f"val-{place:02}", "authority": "PEA", "key": key.public.text}
                for place, key in enumerate(self._keys)
            ],
            "gateways": [each.entry() for each in self._gateways],
            "meters": [
                meter.entry(each.zone, each.name, "customer" if place else "boundary")
                for each in self._gateways
                for place, meter in enumerate(each.meters)
            ],
            "zones": zones,
            "unmetered": [],
        }
        return Genesis.from_json(json.dumps(content))

    async def live(self, intervals: int) -> bool:
        """Let so many intervals pass, and until all has its receipt; whether all ledgers agree."""
        matrix_us = MAPS["thailand"].matrix_us
        size = len(matrix_us)
        outside = Outside(
            self._folder,
            lambda one, other: matrix_us[one % size][other % size] / 1e6,
            self._published,
            self._final,
        )
        assembly = self._assembly = Assembly(self._genesis, self._keys, outside)
        assembly.begin()
        try:
            for interval in range(intervals):
                _say(f"interval {interval + 1} of {intervals}")
                await _until((interval + 1) * INTERVAL_S)
                await asyncio.gather(*(self._serve(each, interval) for each in self._gateways))
            newest = [member.driver for member in assembly.members.values()]
            while len({driver.tip.height for driver in newest}) > 1:
                await asyncio.sleep(0.01)
            return assembly.level
        finally:
            assembly.end()

    async def _serve(self, gateway: Gateway, interval: int) -> None:
        """Publish a batch until its receipt is verified."""
        await asyncio.sleep(self._chance.uniform(0, SPREAD_S))
        batch = gateway.witness(self._genesis.topic_name, interval, self._chance)
        first_s = asyncio.get_running_loop().time()
        self._open[gateway.name] = batch, first_s
        while gateway.name in self._open:
            delay_s = self._chance.uniform(0.01, BROKER_S)
            self._assembly.publish(gateway.name, batch.encoded, delay_s)
            again_s = asyncio.get_running_loop().time() + AGAIN_S
            while gateway.name in self._open and asyncio.get_running_loop().time() < again_s:
                await asyncio.sleep(0.1)

    def _published(self, topic: str, payload: bytes) -> None:
        """A validator has answered a gateway, which takes the first answer that proves a batch."""
        gateway = topic.rpartition("/")[2]
        if gateway not in self._open:
            return
        batch, first_s = self._open[gateway]
        answer = open_answer(payload, self._client)
        if not isinstance(answer, BatchReceipt) or answer.batch_id != batch.batch_id:
            return
        results = answer.verify(self._client, batch.witness, batch.readings)
        del self._open[gateway]
        accepted = sum(each.code == ACCEPTED for each in results)
        self.account.final += accepted
        self.account.refused += len(results) - accepted
        arrives_s = asyncio.get_running_loop().time() + self._chance.uniform(0.01, BROKER_S)
        self.account.latencies_s.append(arrives_s - first_s)

    def _final(self, name: str, candidate: Candidate) -> None:
        """One validator has made a block real; the first one's are counted."""
        member = self._assembly.members[name]
        if member.place == 0:
            stored = member.store.block(candidate.block.content.height)
            assert stored is not None
            self.account.blocks[candidate.block.content.height] = stored.commit.round
            seals = (ZoneSeal.decode(each) for each in candidate.execution.seals)
            self.account.verdicts.update(each.verdict.name for each in seals)


async def _until(at_s: float) -> None:
    await asyncio.sleep(max(0.0, at_s - asyncio.get_running_loop().time()))


def _memory() -> str | None:
    """A folder in memory, where there is one: thirty-one ledgers on one disk would wait for it."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def add_command(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `thousand` to `gridwitness sim`."""
    parser = subparsers.add_parser(
        "thousand",
        help="31 real validators, 69 gateways, 900 meters in one process, in virtual time",
        description="Every reading is signed and checked by every validator. Exit status 1 when a"
        " reading did not become final, or the ledgers differ.",
    )
    for name, least, help_text in (
        ("validators", 31, "real validators"),
        ("gateways", 69, "gateways, each with a zone"),
        ("meters", 900, "meters, shared among the gateways"),
        ("intervals", 2, "quarters of an hour"),
    ):
        parser.add_argument(
            f"--{name}", type=int, default=least, metavar="N", help=f"{help_text} ({least})"
        )
    parser.add_argument("--json", action="store_true", help="end with one JSON object on stdout")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Let the network live and print what happened."""
    if (
        min(args.validators, args.gateways, args.intervals, args.meters // 2 - args.gateways + 1)
        < 1
    ):
        print("gridwitness sim: one of each, and two meters a gateway at least", file=sys.stderr)
        return 2
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    started, cpu_s = time.monotonic(), time.process_time()
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        grid = Grid(args.validators, args.gateways, args.meters, Path(folder))
        level = run_jumping(grid.live(args.intervals))
    account = grid.account
    ordered = sorted(account.latencies_s)
    wanted = args.meters * args.intervals
    summary: dict[str, Any] = {
        "nodes": args.validators + args.gateways + args.meters,
        "readings": wanted,
        "readings_final": account.final,
        "readings_refused": account.refused,
        "ledgers_agree": level,
        "blocks": len(account.blocks),
        "max_round": max(account.blocks.values()),
        "receipt_p50_s": round(ordered[len(ordered) // 2], 2),
        "receipt_p99_s": round(ordered[int(len(ordered) * 0.99)], 2),
        "zone_seals": dict(account.verdicts),
        "seconds": round(time.monotonic() - started, 1),
        "cpu_s": round(time.process_time() - cpu_s, 1),
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    if args.json:
        print(json.dumps(summary))
    else:
        print("\n".join(f"{name:20} {value}" for name, value in summary.items()))
    return 0 if level and account.final == wanted else 1
