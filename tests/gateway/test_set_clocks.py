"""A clock that is set while the gateway runs makes gaps, never energy in a wrong interval."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gateway.delivery.intervals import Sample, Subject
from gateway.delivery.reader import Reader
from gateway.delivery.spool import Spool
from gateway.meters.decode import Registers
from wire.keys import SoftSigner
from wire.reading import Reading

B = 1_800_000_000
KEY = SoftSigner.generate(-7)
METER: Any = SimpleNamespace(id="m-1", subject=Subject("m-1", "node-1", bytes(8), bytes(8)))
CLOCK: Any = SimpleNamespace(now_ms=lambda: B * 1000)


def read(label_s: int, import_wh: int, machine_s: float | None = None) -> Sample:
    return Sample(B + label_s, Registers(import_wh, 0), bytes(2), 500, machine_s)


def closed(
    path: Path, samples: Iterable[Sample], paced: bool = False
) -> tuple[dict[int, int], int, int]:
    """Advances by interval start, the gaps, and what was kept apart."""

    async def live() -> tuple[dict[int, int], int, int]:
        spool = await Spool.open(path / "spool")
        reader = Reader(spool, CLOCK, KEY.public, paced)
        await reader.begin(B - 1800)
        for sample in samples:
            await reader.keep_sample(METER, sample)
        rows = await spool.rows("SELECT payload FROM reading ORDER BY sequence")
        found = [Reading.from_payload(payload) for (payload,) in rows]
        apart = (await spool.counts())["apart"]
        await spool.close()
        return {r.interval_start_s - B: r.import_advance_wh for r in found}, reader.gaps, apart

    return asyncio.run(live())


def test_a_clock_an_hour_ahead_for_a_moment_books_no_energy_of_an_hour(tmp_path: Path) -> None:
    samples = [read(0, 1000, 0), read(900, 1250, 900), read(4500, 1250, 910)]
    samples += [read(900 * n, 1000 + 250 * n, 900 * n) for n in range(2, 8)]
    assert closed(tmp_path, samples) == ({0: 250, 5400: 250}, 2, 0)


def test_a_step_forward_to_the_next_boundary_closes_nothing(tmp_path: Path) -> None:
    samples = [read(0, 1000, 0), read(900, 1001, 10), read(1800, 1251, 910)]
    assert closed(tmp_path, samples) == ({900: 250}, 1, 0)


def test_a_paced_clock_is_not_measured_by_the_machine(tmp_path: Path) -> None:
    samples = [read(0, 1000, 0), read(900, 1250, 1)]
    assert closed(tmp_path, samples, paced=True) == ({0: 250}, 0, 0)


def test_a_register_that_fell_and_came_back_books_nothing(tmp_path: Path) -> None:
    samples = [read(0, 1000), read(900, 0), read(1800, 1250), read(2700, 1500)]
    assert closed(tmp_path, samples) == ({1800: 250}, 2, 0)


def test_a_reading_whose_place_is_taken_is_kept_apart_and_not_in_the_chain(tmp_path: Path) -> None:
    ahead_s = 3 * 86_400
    samples = [read(ahead_s, 1255), read(ahead_s + 900, 1500)]
    samples += [read(0, 1500), read(ahead_s, 9000), read(ahead_s + 900, 9250)]
    samples += [read(ahead_s + 1800, 9500)]
    advances, gaps, apart = closed(tmp_path, samples)
    assert advances == {ahead_s: 245, ahead_s + 900: 250}
    assert (gaps, apart) == (3, 1)
