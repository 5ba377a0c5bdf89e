"""`gridwitness bench` without a part: every figure that has an aim, beside its limit in this run.

Decides the rows and their aims (what each is for is said where it is measured). What cannot be
measured on this machine is told with the reason, and the others go on.
"""

import asyncio
import json
import logging
import os
import platform
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from gridwitness import bench_figures
from gridwitness.bench_limit import QUIET, busy
from wire.errors import Refused, Unavailable

READINGS = 10_000
"""Of each step through four validators, and of the gateway's outage."""


class Row(NamedTuple):
    """One line of the table."""

    name: str
    """What it is, for people."""

    part: str
    """Key of the part in JSON."""

    key: str
    """Key of the figure in that part."""

    unit: str
    """Of the figure."""

    least: float | None = None
    """The aim: at least so much."""

    most: float | None = None
    """The aim: at most so much."""

    remark: str = ""
    """What else there is to say."""

    def verdict(self, value: float) -> str:
        """The aim and whether it is met; the remark where there is none."""
        if self.least is not None:
            return f"at least {self.least:,} {_met(value >= self.least)}"
        if self.most is not None:
            return f"at most {self.most:,} {_met(value <= self.most)}"
        return self.remark


def _met(fits: bool) -> str:
    return "met" if fits else "NOT MET"


ROWS = (
    Row("P-256 checks, one core", "validator", "verify_per_s_per_core", "/s", remark="the limit"),
    Row("readings final, four validators", "validator", "readings_per_s", "/s"),
    Row("  of what the cores could check", "validator", "ratio_to_limit", "", least=0.75),
    Row("  of a validator's CPU, checking", "validator", "cpu_ratio_to_limit", ""),
    Row("receipt of a batch, p99", "validator", "receipt_p99_blocks", "blocks", most=2),
    Row("readings in a block, one core", "block", "readings_per_s", "/s"),
    Row("  of what it could check", "block", "ratio_to_limit", ""),
    Row("verify a receipt", "receipt", "receipt_verify_ms", "ms", most=2),
    Row("start with a year of 50 meters", "start", "start_s", "s", most=5),
    Row("wire at 9600 baud in use", "gateway", "wire_utilisation", "", least=0.95),
    Row("a dead meter costs the others", "bus", "dead_meter_cycle_ratio", "", most=1.10),
    Row("gateway CPU for a reading", "gateway", "cpu_ms_per_reading", "ms", most=2),
    Row("gateway memory", "gateway", "rss_mb", "MB", most=80),
    Row("token signatures, one by one", "hsm", "signatures_per_s", "/s", remark="each verified"),
    Row(
        "token signatures, in lists",
        "hsm",
        "signatures_per_s_in_lists",
        "/s",
        remark="each verified",
    ),
    Row("meter: instructions a signature", "device", "instructions_per_signature", ""),
    Row("  fewer than double-and-add", "device", "textbook_ratio", "times", least=3.5),
    Row("meter: heap of the whole", "device", "heap_bytes", "bytes", most=65_536),
)


def run(args: Namespace) -> int:
    """Measure and print."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    found: dict[str, Any] = {"machine": _machine()}
    for name, measure in _PARTS.items():
        print(f"measuring {name}", file=sys.stderr, flush=True)
        try:
            found[name] = measure()
        except (Refused, Unavailable) as reason:
            found[name] = {"not_measured": str(reason)}
    found["receipt_verify_ms"] = found["receipt"].get("receipt_verify_ms")
    if args.json:
        print(json.dumps(found))
    else:
        _show(found)
    return 0


def _machine() -> dict[str, Any]:
    return {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def _validators() -> dict[str, Any]:
    from gridwitness import bench_validators

    return bench_validators.measure(READINGS, bench_validators.STEPS)


def _start() -> dict[str, Any]:
    from gridwitness import bench_start

    with tempfile.TemporaryDirectory() as name:
        return bench_start.measure(Path(name))


def _bus() -> dict[str, Any]:
    from gridwitness import bench_bus

    return bench_bus.measure()


def _gateway() -> dict[str, Any]:
    from gridwitness import bench_bus, bench_gateway

    with tempfile.TemporaryDirectory(prefix="gridwitness-bench-") as name:
        found = asyncio.run(bench_gateway.measure(Path(name), READINGS))
    return found | {"wire_utilisation": bench_bus.utilisation(0.0)["wire_utilisation"]}


def _device() -> dict[str, Any]:
    from device.provision import bench

    _, figures = bench.of_process()
    by_key = {figure.key: figure.value for figure in figures}
    return {
        "instructions_per_signature": by_key["sign_instructions"],
        "textbook_ratio": round(float(str(by_key["fewer"])), 2),
        "heap_bytes": by_key["heap"],
    }


_PARTS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "validator": _validators,
    "block": bench_figures.block_execution,
    "receipt": bench_figures.receipts,
    "start": _start,
    "bus": _bus,
    "gateway": _gateway,
    "hsm": bench_figures.token_signatures,
    "device": _device,
}


def _show(found: Mapping[str, Any]) -> None:
    machine = found["machine"]
    print(f"{machine['cores']} cores {machine['processor']}, Python {machine['python']}")
    for row in ROWS:
        part = found[row.part]
        if "not_measured" in part:
            print(f"{row.name:34} {'-':>12}  not measured: {part['not_measured']}")
            continue
        value = part[row.key]
        shown = f"{value:,}" if isinstance(value, int) else str(value)
        print(f"{row.name:34} {shown:>12} {row.unit:6} {row.verdict(value)}".rstrip())
    share = found["validator"].get("cores_share", 1.0)
    if share < QUIET:
        print(busy(share))
