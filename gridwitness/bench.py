"""`gridwitness bench`: what this machine can do, each figure beside its limit of the same run.

Decides what is measured and how it is told. Figures of different machines say little; the ratios
do, because both sides are measured one after the other on one core.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

READINGS = 2_000
BATCH = 500
REPEATS = 3
RECEIPTS = 50
SIGNATURES = 500


def add_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `bench`."""
    parser = subparsers.add_parser(
        "bench",
        help="measure this machine: checks, block execution, receipts, tokens",
        description="Measures on one core and prints each figure beside its limit in the same run.",
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object on stdout")
    parser.set_defaults(run=run)
    from gridwitness import (
        bench_api,
        bench_consensus,
        bench_gateway,
        bench_rules,
        bench_validators,
    )

    parts = parser.add_subparsers(dest="part", metavar="PART")
    bench_gateway.add_command(parts)
    bench_validators.add_command(parts)
    bench_rules.add_command(parts)
    bench_consensus.add_command(parts)
    bench_api.add_command(parts)
    _add_bus(parts)


def _add_bus(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `bench bus`."""
    parser = subparsers.add_parser(
        "bus",
        help="what a dead and a babbling meter cost the others, beside bare pymodbus",
        description="Simulates a line of 32 meters at 9600 baud in virtual time.",
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object on stdout")
    parser.set_defaults(run=_run_bus)


def _run_bus(args: argparse.Namespace) -> int:
    from gridwitness import bench_bus

    return bench_bus.run(args)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    found = {
        "machine": _machine(),
        "validator": validator_figures(),
        "receipt_verify_ms": _receipt_verify_ms(),
        "hsm": _hsm(),
    }
    if args.json:
        print(json.dumps(found))
    else:
        _show(found)
    return 0


def _say(words: str) -> None:
    print(f"measuring {words}", file=sys.stderr, flush=True)


def _seconds(deed: Callable[[], object]) -> float:
    """The shortest of a few runs: what the machine can do when it is left alone."""
    best = float("inf")
    for _ in range(REPEATS):
        started = time.perf_counter()
        deed()
        best = min(best, time.perf_counter() - started)
    return best


def _machine() -> dict[str, Any]:
    return {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def validator_figures() -> dict[str, Any]:
    """Readings checked, decoded and executed in a block, beside the bare rate of verification."""
    from gridwitness.bench_block import BenchBlock
    from validator.app.application import Application
    from validator.node.verification import Book
    from wire.witness import Batch

    _say(f"block execution ({READINGS} readings, every signature checked)")
    block = BenchBlock.make(READINGS, BATCH)
    public, message, signature = block.one_signature()

    def check() -> None:
        for _ in range(READINGS):
            public.verify(message, signature)

    bare_s = _seconds(check)

    def execute() -> None:
        application = Application(block.genesis)
        batches = {batch.batch_id: batch for batch in map(Batch.open, block.batches)}
        transactions = [batch.witness.encoded for batch in batches.values()]
        found = application.finalize_block(1, block.time_ms, transactions, batches, Book())
        accepted = sum(len(each) for each in found.reading_results)
        assert accepted == READINGS

    whole_s = _seconds(execute)
    return {
        "readings_per_s": round(READINGS / whole_s),
        "verify_per_s_per_core": round(READINGS / bare_s),
        "ratio_to_limit": round(bare_s / whole_s, 2),
    }


def _receipt_verify_ms() -> float:
    from wire.genesis import Genesis
    from wire.receipt import Receipt

    _say("receipts")
    vectors = Path(__file__).parents[1] / "wire" / "vectors"
    genesis = Genesis.load(vectors / "genesis.json")
    data = (vectors / "receipt.cbor").read_bytes()
    verify_s = _seconds(lambda: [Receipt.decode(data).verify(genesis) for _ in range(RECEIPTS)])
    return round(verify_s / RECEIPTS * 1000, 2)


def _hsm() -> dict[str, Any]:
    """Signatures of a SoftHSM2 key through the token's process, each verified."""
    from hsm import ceremony
    from hsm.signer import open_signer
    from hsm.uri import KeyUri
    from wire.keys import ES256

    _say("token signatures")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ceremony.init_softhsm_token(folder, "bench")
        module = ceremony.softhsm_module()
        uri = KeyUri.parse(
            f"pkcs11:token=bench;object=k?module-path={module}&pin-source=file:pin", folder
        )
        conf = folder / "softhsm2.conf"
        public = ceremony.make_key(uri, ES256, conf)
        signer = open_signer(uri, conf, public)
        try:
            one_s = _seconds(lambda: [signer.sign(b"m") for _ in range(SIGNATURES)])
            list_s = _seconds(lambda: signer.sign_all([b"m"] * SIGNATURES))
        finally:
            signer.close()
    return {
        "signatures_per_s": round(SIGNATURES / one_s),
        "signatures_per_s_in_lists": round(SIGNATURES / list_s),
    }


def _show(found: dict[str, Any]) -> None:
    machine, validator, hsm = found["machine"], found["validator"], found["hsm"]
    rows = [
        ("machine", f"{machine['cores']} cores {machine['processor']}, {machine['python']}", ""),
        ("P-256 checks per core", f"{validator['verify_per_s_per_core']}/s", "the limit"),
        (
            "readings in a block, one core",
            f"{validator['readings_per_s']}/s",
            f"{validator['ratio_to_limit']:.0%} of it: decode, canonical check, rules, roots",
        ),
        ("verify a receipt", f"{found['receipt_verify_ms']} ms", "aim: at most 2 ms"),
        ("token signatures, one by one", f"{hsm['signatures_per_s']}/s", "each verified"),
        ("token signatures, in lists", f"{hsm['signatures_per_s_in_lists']}/s", "each verified"),
    ]
    for name, value, remark in rows:
        print(f"{name:30} {value:>24}  {remark}")
