"""One meter asked over its RS-485 line with the gateway's own code, for `meter read --line`.

Decides how often a question is put before the meter counts as silent, and which fault of the
meter's tool a failure is. Frames, rhythm and the record window are the gateway's.
"""

import asyncio
from typing import Any

from device.provision import faults
from device.provision.console import why_not_open
from device.provision.over_line import LineAddress, LineReading
from gateway.config import BusConfig
from gateway.lines.frames import READ_HOLDING, DeviceRefused, Garbled, Request
from gateway.lines.line import Line, LineDown, NoAnswer
from gateway.lines.transport import SerialTransport
from gateway.polling import window
from gateway.registered import SigningMeter
from wire.errors import BadKey, Refused, Unavailable
from wire.keys import ES256, PublicKey

TIMEOUT_MS = 1000
ATTEMPTS = 3
_BUSY = 6
_STATUS, _STATUS_WORDS = window.BASE + 88, 12
_ENERGY, _ENERGY_WORDS = 40108, 10
"""SunSpec's model 203: exported Wh at its start, imported Wh at its end."""


def read_line(address: LineAddress) -> LineReading:
    """Read who the meter is, its registers and its newest record, verified; raises a Fault."""
    told: dict[str, Any] = {"unit": address.unit, "port": address.port}
    try:
        return asyncio.run(_read(address))
    except LineDown:
        raise why_not_open(address.port) from None
    except DeviceRefused as reason:
        raise faults.LINE_OTHER.fault(**told, why=reason) from None
    except (NoAnswer, Garbled) as reason:
        raise faults.LINE_SILENT.fault(**told, baudrate=address.baudrate, why=reason) from None
    except window.BadRecord as reason:
        raise faults.LINE_NOT_BELIEVED.fault(**told, why=reason) from None
    except Refused as reason:
        raise faults.LINE_OTHER.fault(**told, why=reason) from None
    except Unavailable:
        raise faults.UNPLUGGED.fault(port=address.port) from None


async def _read(address: LineAddress) -> LineReading:
    bus = BusConfig("meter read", address.port, address.baudrate, TIMEOUT_MS, ())
    line = Line(bus, SerialTransport(bus))
    try:
        return await _asked(line, address)
    finally:
        line.close()


async def _asked(line: Line, address: LineAddress) -> LineReading:
    async def ask(request: Request) -> tuple[int, ...]:
        return await _patiently(line, request)

    name, raw = await window.identity(ask, address.unit)
    try:
        meter = SigningMeter(name, address.unit, "", PublicKey(ES256, raw))
    except BadKey:
        raise window.WrongMeter("it shows no public key where a meter has one") from None
    there = await window.look(ask, meter)
    if address.key is not None and address.key != meter.key:
        why = f"it shows key {meter.key.kid.hex()}, not {address.key.kid.hex()}"
        raise window.BadRecord(b"", why)
    energy = await ask(Request(address.unit, READ_HOLDING, _ENERGY, _ENERGY_WORDS))
    state = await ask(Request(address.unit, READ_HOLDING, _STATUS, _STATUS_WORDS))
    record = await window.fetch(ask, meter, there.records - 1) if there.records else None
    return LineReading(
        meter=name,
        key=meter.key,
        registers_wh=(_long(energy[8:10]), _long(energy[:2])),
        status=_long(state[:2]),
        clock_quality=state[2],
        clock_error_s=state[3],
        boots=_long(state[6:8]),
        time_s=_long(state[10:12]),
        records=there.records,
        record=record,
    )


async def _patiently(line: Line, request: Request) -> tuple[int, ...]:
    """Ask again when nothing, or nothing that can be read, came."""
    for left in reversed(range(ATTEMPTS)):
        try:
            return await line.ask(request)
        except (NoAnswer, Garbled):
            if not left:
                raise
        except DeviceRefused as reason:
            if not left or reason.exception != _BUSY:
                raise
    raise AssertionError("the last attempt returns or raises")


def _long(words: tuple[int, ...]) -> int:
    return words[0] << 16 | words[1]
