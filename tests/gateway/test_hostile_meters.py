"""A meter that lies, or another device at its address, does nothing lasting."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.delivery.spool import NEVER, Spool
from gateway.lines.frames import WRITE_MULTIPLE, Request
from gateway.polling import window
from gateway.polling.records import Records
from gateway.registered import SigningMeter as Registered
from tests.gateway.street import START_S, SigningMeter, StepClock
from wire.reading import SignedReading, sign_reading


def _street() -> tuple[SigningMeter, Registered]:
    real = SigningMeter("customer-1", "node-1")
    return real, Registered("customer-1", 2, "node-1", real.signer.public)


@pytest.mark.parametrize(
    "lie", [{"interval_start_s": 2**63}, {"interval_start_s": 2**62}, {"interval_s": 901}]
)
def test_a_signed_record_out_of_bounds_is_a_bad_record(lie: dict[str, Any]) -> None:
    real, meter = _street()
    real.close(START_S, import_wh=250)
    reading = SignedReading.open(real.records[0]).reading
    with pytest.raises(window.BadRecord):
        window.verified(sign_reading(reading._replace(**lie), real.signer), meter, 0)


class _Impostor:
    """Says an id and a key that anybody can read, a header as it likes, and garbage as records."""

    def __init__(self, real: SigningMeter) -> None:
        self._real, self.lies = real, True
        self._wanted: tuple[int, ...] = (0, 0)

    async def ask(self, request: Request) -> tuple[int, ...]:
        """Answer as the impostor while it lies, else as the meter."""
        if request.function == WRITE_MULTIPLE:
            self._wanted = tuple(request.values)
            self._real.write(request.address, request.values)
            return ()
        if self.lies and request.address == window.BASE:
            return (window.MAGIC, window.LAYOUT, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFF0, 0, 0, 0, 0, 0)
        if self.lies and request.address == window.BASE + 8:
            return (*self._wanted, 10)
        if self.lies and request.address >= window.BASE + 128:
            return (0,) * request.count
        return tuple(self._real.read(request.function, request.address, request.count) or ())


def test_an_impostors_header_moves_nothing_that_lasts(tmp_path: Path) -> None:
    real, meter = _street()
    real.close(START_S, import_wh=250)

    async def day() -> tuple[int, int]:
        spool = await Spool.open(tmp_path / "spool.sqlite")
        line = _Impostor(real)
        records = Records(line.ask, spool, StepClock())
        records.next_sequences[meter.id] = NEVER
        await records.catch_up(meter, START_S)
        lasting = (await spool.meter(meter.id)).next_sequence
        line.lies = False
        await records.catch_up(meter, START_S)
        found = (await spool.meter(meter.id)).next_sequence
        await spool.close()
        return lasting, found

    assert asyncio.run(day()) == (NEVER, 1)
