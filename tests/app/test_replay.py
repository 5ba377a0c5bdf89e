"""One block log gives the same roots on every Python, with every hash seed, in every order.

`pytest tests/app/test_replay.py --rewrite` remakes the log and its roots when a format changes.
"""

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.app import replay as tool
from tests.app.enrolments import enrol, with_technician
from tests.app.test_cases import resolution
from tests.app.village import (
    ORDINARY,
    Register,
    Village,
    block_ms,
    genesis_content,
    meter_entry,
    signer,
)
from wire.reading import ReactiveEnergy
from wire.results import Verdict
from wire.transaction import Transaction
from wire.witness import Batch

FOLDER = Path(__file__).parent
LOG, ROOTS = FOLDER / "block_log.cbor", FOLDER / "block_roots.txt"
OTHERS = ("python3.11", "python3.12", "python3.13", "python3.14")
LAMP = {"id": "lamps", "zone": "z1", "node": "n2", "schedule": [[0, 4]], "limit_ppm": 50_000}


def rich(content: dict[str, Any]) -> None:
    """Two zones, two readers of c3, street lamps; readings are late after two hours."""
    with_technician(content)
    content["zones"].append(
        {"id": "z0", "parent": "", "operator": "PEA", "p0_mw": 0, "branches": [], "root": "mv"}
    )
    content["zones"][0]["parent"] = "z0"
    content["gateways"][0]["zones"] = ["z0", "z1"]
    content["meters"].append(meter_entry("a0", "mv", "boundary", zone="z0", rating_w=100_000))
    content["meters"][3]["also_read_by"] = ["gw-b"]
    content["unmetered"] = [LAMP]
    content["parameters"] |= {"acceptance_window_s": 7_200, "bridge_wait_s": 3_600}


class Chronicle:
    """The village while its blocks are written down."""

    def __init__(self) -> None:
        self.village = Village(rich)
        self.blocks: list[tool.Block] = []

    def close(self, slot: int, *absent: str, **counted: tuple[int, int]) -> dict[str, bytes]:
        energies = {"a0": (604, 0), **counted, **dict.fromkeys(absent)}
        return self.village.close(slot, **energies)

    def block(self, slot: int, *batches: Batch, change: Transaction | None = None) -> None:
        changes = [] if change is None else [change]
        self.village.commit(batches, slot, changes)
        transactions = [each.encoded for each in changes]
        transactions += [each.witness.encoded for each in batches]
        self.blocks.append((block_ms(slot), transactions, [each.encoded for each in batches]))


def history() -> Chronicle:
    """Most of what may happen to a zone, in thirteen blocks."""
    chronicle = Chronicle()
    village, close, block = chronicle.village, chronicle.close, chronicle.block
    block(0, *(village.batch([each], 0) for each in close(0).values()))
    village.meters["c2"].import_wh += 300  # No power at the boundary: no record, all counted.
    block(1, village.batch(close(1, "c2").values(), 1), change=enrol(village, 3))
    block(2, village.batch(close(2).values(), 2))
    other = Register(village.meters["c3"].entry)
    other.signer = signer("gw-b reader")
    reactive = village.close(3, **dict.fromkeys(ORDINARY), a0=(604, 0), c9=(0, 0))
    for name, energy in ORDINARY.items():
        varh = ReactiveEnergy(10, 0, 10, 0)
        reactive[name] = village.meters[name].close(3, *energy, reactive=varh, status=1 << 8)
    seen = other.close(3, 199, 0)
    block(3, village.batch(reactive.values(), 3), village.batch([seen], 3, gateway="gw-b"))
    block(4, village.batch(close(4, c1=(0, 0), c9=(0, 0)).values(), 4))
    block(5, change=resolution(village, 4))
    twice = village.meters["c1"]
    five = [*close(5, "c1", c9=(0, 0)).values(), twice.sign(twice.reading(5, 500, 0, events=1))]
    block(6, village.batch([*five, twice.close(5, 500, 0)], 5))
    kept = close(6, c9=(0, 0))
    late = kept.pop("pv")
    block(7, village.batch(kept.values(), 6), village.batch([b"garbage"], 6))
    seven = close(7, c9=(0, 0))
    kept_back = seven.pop("c1")
    block(8, village.batch(seven.values(), 7))
    block(12)
    block(13, village.batch([kept_back], 13))
    block(20)
    block(21, village.batch([late], 20))
    return chronicle


@cache
def log() -> tuple[str, list[tool.Block]]:
    return tool.decode_log(LOG.read_bytes())


def test_golden_the_block_log_gives_the_same_roots_as_ever(rewrite: bool) -> None:
    if rewrite:
        chronicle = history()
        content = genesis_content()
        rich(content)
        LOG.write_bytes(tool.encode_log(json.dumps(content), chronicle.blocks))
        ROOTS.write_text("\n".join(tool.replay(*log(), 0)) + "\n")
    assert tool.replay(*log(), 1) == ROOTS.read_text().split("\n")[:-1], "remade by --rewrite"


def test_the_log_tells_of_most_that_may_happen() -> None:
    village = history().village
    assert {each.verdict for each in village.seals} >= {
        Verdict.BALANCED,
        Verdict.IMPOSSIBLE,
        Verdict.INCONCLUSIVE,
    }
    assert any(each.end_s - each.start_s == 900 and each.revision for each in village.seals)
    assert any(each.marked for each in village.seals)
    assert {each.case.status for each in village.app.cases()} >= {0, 1}


def replayed_by(python: str, seed: int) -> str:
    """What another process says of the log."""
    done = subprocess.run(
        [python, "-m", "tests.app.replay", str(LOG), str(seed)],
        cwd=FOLDER.parents[1],
        env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": str(FOLDER.parents[1])},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout


@pytest.mark.parametrize("seed", [1, 4_000_000_000])
def test_the_roots_do_not_depend_on_hash_seeds_or_on_the_order_of_anything(seed: int) -> None:
    assert replayed_by(sys.executable, seed) == ROOTS.read_text()


def can_replay(python: str) -> bool:
    """Whether there is such an interpreter, another than this, with what the rules need."""
    path = shutil.which(python)
    if path is None or python == f"python3.{sys.version_info.minor}":
        return False
    needs = [path, "-c", "import cbor2, cryptography"]
    return subprocess.run(needs, capture_output=True, check=False).returncode == 0


def test_another_python_gives_the_same_roots() -> None:
    """Needs a second Python with cbor2 and cryptography on PATH; else there is nothing to show."""
    found = [python for python in OTHERS if can_replay(python)]
    if not found:
        pytest.skip("no other Python with cbor2 and cryptography is on PATH")
    for python in found:
        assert replayed_by(python, 7) == ROOTS.read_text(), python
