"""`gridwitness bench path`: where the CPU time of a validator goes, part by part of the way.

One validator's own parts in this process, in the order in which a reading passes through them, on
full blocks and with its ledger on the disk; each part is timed by the process's CPU clock. Decides
what counts as a part. Sockets, votes and threads are not here: what `bench validators` tells of a
real validator beyond this sum is theirs.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from gridwitness.bench_ledger import Grown
from gridwitness.bench_load import COS_PPM, INTERVAL_S, METERS, OPERATOR, SITE, Load
from validator.app.application import Application
from validator.node import heap
from validator.node.candidate import Blocks, Candidate, Tip
from validator.node.mempool import Waiting
from validator.node.receipts import BatchReceipts
from validator.node.shelf import StateShelf
from validator.node.store import Store
from validator.node.verification import Book, check_beforehand, keys_by_kid
from wire.block import Commit
from wire.genesis import Genesis
from wire.keys import EDDSA, ES256, SoftSigner
from wire.witness import Batch

GATEWAY = "gw-bench"
LEDGER = "ledger.sqlite"
ME = "val-bench"
BLOCK = 5 * METERS
"""Readings of a block: all that it may have."""

BATCH = 500
BLOCKS = 4

PARTS = (
    ("open", "the batch: canonical CBOR, size, the root that its witness signed"),
    ("carrier", "its witness: registered, at its site, its signature"),
    ("decode", "each reading: canonical, every field of its type and range"),
    ("check", "each reading's ES256 signature, once"),
    ("look up", "before a vote: all signatures of the block's batches have been checked"),
    ("execute", "rules S, T, L, C; zone seals, credits, result leaves, roots"),
    ("keep", "the block and its batches on the disk, before the vote"),
    ("append", "results, readings, seals and state rows on the disk: one transaction"),
    ("apply", "the state in memory"),
    ("receipt", "paths, seals and results for the gateway, encoded"),
)

__all__ = ["BLOCK", "METERS", "PARTS", "add_command"]

_Result = TypeVar("_Result")


def add_command(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `bench path`."""
    parser = subparsers.add_parser(
        "path",
        help="where a validator's CPU time goes, part by part of a reading's way",
        description="One validator's parts in this process, on full blocks with the ledger on the"
        " disk; without sockets and votes.",
    )
    parser.add_argument(
        "--blocks", type=int, default=BLOCKS, metavar="N", help=f"full blocks (default {BLOCKS})"
    )
    parser.add_argument(
        "--grown",
        type=int,
        default=0,
        metavar="N",
        help=f"{METERS} other meters have N intervals on the ledger already (default 0)",
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object on stdout")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    if args.blocks < 1 or args.grown < 0:
        print("gridwitness bench: 1 or more blocks, 0 or more intervals", file=sys.stderr)
        return 2
    print(f"{args.blocks * BLOCK} readings are signed", file=sys.stderr, flush=True)
    found = measure(args.blocks, args.grown)
    if args.json:
        print(json.dumps(found))
    else:
        _show(found)
    return 0


def measure(blocks: int, grown: int = 0) -> dict[str, Any]:
    """CPU microseconds of each part for a reading, the mean over all blocks but the first.

    Args:
        blocks: full blocks that are measured.
        grown: intervals of other meters that the ledger has already.
    """
    end_s = int(time.time()) // INTERVAL_S * INTERVAL_S
    # The first block warms up what is made once: prepared feeders, SQLite's pages.
    load = Load.make(GATEWAY, (blocks + 1) * BLOCK // METERS, end_s)
    gateway = SoftSigner.generate(ES256)
    genesis = Genesis.from_json(json.dumps(_genesis(load, gateway)))
    with tempfile.TemporaryDirectory() as folder:
        Grown(METERS, grown).fill(Path(folder) / LEDGER)
        path = _Path(genesis, Path(folder))
        heap.settle()
        sequence = 0
        for number in range(blocks + 1):
            encoded = []
            for at in range(number * BLOCK, (number + 1) * BLOCK, BATCH):
                part = load.readings[at : at + BATCH]
                encoded.append(load.batch(genesis, gateway, sequence, part, end_s).encoded)
                sequence += 1
            if number == 1:
                path.seconds.clear()
            path.block(encoded, (end_s + 1 + number) * 1000)
        path.close()
    microseconds = {name: path.seconds[name] / blocks / BLOCK * 1e6 for name, _ in PARTS}
    whole = sum(microseconds.values())
    return {
        "readings": blocks * BLOCK,
        "grown_readings": METERS * grown,
        "parts_us": {name: round(spent, 1) for name, spent in microseconds.items()},
        "us_per_reading": round(whole, 1),
        "check_share": round(microseconds["check"] / whole, 2),
    }


@dataclass
class _Path:
    """One validator without its sockets."""

    genesis: Genesis
    folder: Path
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    book: Book = field(default_factory=Book)

    def __post_init__(self) -> None:
        self.application = Application(self.genesis)
        self.store = Store(self.folder / LEDGER)
        self.receipts = BatchReceipts(self.store)
        self.shelf = StateShelf(self.folder / LEDGER)
        self.application.restore([], self.shelf)
        self.blocks = Blocks(self.genesis, self.application, self.book)
        self.keys = keys_by_kid(self.application.registries)
        self.tip = Tip.genesis(self.genesis)

    def close(self) -> None:
        """Close the files."""
        self.shelf.close()
        self.store.close()

    def _part(self, name: str, work: Callable[[], _Result]) -> _Result:
        started = time.process_time()
        done = work()
        self.seconds[name] += time.process_time() - started
        return done

    def block(self, encoded: list[bytes], time_ms: int) -> None:
        """Take batches and make a block of them, as its proposer does, and make it final."""
        batches = [self._batch(each) for each in encoded]
        for batch in batches:
            self._part("look up", partial(self._check, batch))
        waiting = Waiting(tuple(batches))
        candidate = self._part("execute", lambda: self.blocks.make(ME, self.tip, time_ms, waiting))
        self._part("keep", lambda: self.store.put_proposed(candidate.block, candidate.batches))
        commit = Commit(0, candidate.block.digest, ())
        self._part("append", lambda: self._append(candidate, commit))
        self._part("apply", lambda: self.application.commit(candidate.execution))
        self.tip = Tip.of(candidate.block, commit)
        for batch in candidate.batches:
            self._part("receipt", partial(self._receipt, batch))

    def _batch(self, encoded: bytes) -> Batch:
        batch = self._part("open", lambda: Batch.open(encoded))
        self._part("carrier", lambda: self.application.check_tx(batch, self.book))
        self._part("decode", lambda: self.application.opened.of(batch))
        self._part("check", lambda: self._check(batch))
        return batch

    def _check(self, batch: Batch) -> None:
        check_beforehand(self.book, self.keys, self.application.opened.of(batch))

    def _append(self, candidate: Candidate, commit: Commit) -> None:
        self.store.append(candidate.block, commit, candidate.execution, candidate.batches)

    def _receipt(self, batch: Batch) -> bytes:
        receipt = self.receipts.of(batch.batch_id)
        assert receipt is not None, "the batch is on the ledger"
        return receipt.encoded


def _genesis(load: Load, gateway: SoftSigner) -> dict[str, Any]:
    authority, validator = SoftSigner.generate(EDDSA), SoftSigner.generate(EDDSA)
    entry = {
        "id": GATEWAY,
        "operator": OPERATOR,
        "witness_key": gateway.public.text,
        "reader_key": SoftSigner.generate(ES256).public.text,
        "site": list(SITE),
        "site_cos_ppm": COS_PPM,
        "radius_m": 200,
        "zones": [zone["id"] for zone in load.zones],
    }
    return {
        "format": 1,
        "name": "bench",
        "time_ms": 1_750_000_000_000,
        "paced_time": True,
        # The load is of past intervals: its windows are sealed when they are complete.
        "parameters": {"deadline_intervals": 3_000},
        "authorities": [
            {"id": OPERATOR, "name": OPERATOR, "type": OPERATOR, "key": authority.public.text}
        ],
        "validators": [{"id": ME, "authority": OPERATOR, "key": validator.public.text}],
        "gateways": [entry],
        "meters": list(load.meters),
        "zones": list(load.zones),
        "unmetered": [],
    }


def _show(found: dict[str, Any]) -> None:
    print("part        us CPU a reading  what it does")
    for name, words in PARTS:
        print(f"{name:10} {found['parts_us'][name]:>17}  {words}")
    print(f"{'all':10} {found['us_per_reading']:>17}  of one validator, without sockets and votes")
    print(f"{found['check_share']:.0%} of it is checking meters' signatures")
