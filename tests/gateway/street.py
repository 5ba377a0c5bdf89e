"""A street for the gateway's tests: simulated meters, a clock to step, a loop without waiting."""

import asyncio
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.polling import window
from wire.keys import ES256, SoftSigner
from wire.reading import ClockEvidence, Reading, SignedReading, sign_reading

START_S = 1_750_000_500 // 900 * 900
ILLEGAL_ADDRESS = 2


class StepClock:
    """Network time that stands until it is told to move."""

    def __init__(self, now_s: float = START_S) -> None:
        self._now_ms = round(now_s * 1000)

    def now_ms(self) -> int:
        return self._now_ms

    def real_s_until(self, network_ms: int) -> float:
        return 0.01 if network_ms > self._now_ms else 0.0

    def move_to(self, now_s: float) -> None:
        self._now_ms = round(now_s * 1000)


def float_words(*values: float) -> list[int]:
    return list(struct.unpack(f">{2 * len(values)}H", struct.pack(f">{len(values)}f", *values)))


@dataclass
class Eastron:
    """Registers of a meter that cannot sign."""

    import_kwh: float = 100.0
    export_kwh: float = 0.0
    answers: list[tuple[float, float]] = field(default_factory=list)
    """What the next energy reads give instead."""

    def read(self, function: int, address: int, count: int) -> list[int] | None:
        if function != 4 or count % 2 or count > 80:
            return None
        if (address, count) == (0x48, 4):
            pair = self.answers.pop(0) if self.answers else (self.import_kwh, self.export_kwh)
            return float_words(*pair)
        return float_words(*[230.0] * (count // 2)) if address == 0 else None

    def write(self, address: int, values: Sequence[int]) -> bool:
        return False


class SigningMeter:
    """A meter that signs, behind its record window."""

    def __init__(self, name: str, node: str, signer: SoftSigner | None = None) -> None:
        self.name, self.node = name, node
        self.signer = signer or SoftSigner.generate(ES256)
        self.records: list[bytes] = []
        self.tail = 0
        self.takes_time = True
        self.given: list[tuple[int, ...]] = []
        self._wanted = 0xFFFFFFFF

    def close(self, interval_start_s: int, import_wh: int = 0, **changes: Any) -> None:
        before = SignedReading.open(self.records[-1]) if self.records else None
        values: dict[str, Any] = {
            "meter": self.name,
            "node": self.node,
            "interval_start_s": interval_start_s,
            "interval_s": 900,
            "import_wh": import_wh,
            "export_wh": 0,
            "import_advance_wh": 0,
            "export_advance_wh": 0,
            "sequence": len(self.records),
            "boots": 1,
            "operating_s": 900 * len(self.records),
            "status": 0,
            "clock": ClockEvidence(2, 1, 0, 1),
            "previous": bytes(32) if before is None else before.sig_hash,
            "software_id": bytes(4),
            "configuration_id": bytes(8),
            "events": 0,
            "origin": 0,
        }
        self.records.append(sign_reading(Reading(**(values | changes)), self.signer))

    def read(self, function: int, address: int, count: int) -> list[int] | None:
        first = address - window.BASE
        if function != 3 or first < 0 or first + count > 256:
            return None
        there = self._wanted < len(self.records)
        record = self.records[self._wanted] if there else b""
        head = struct.pack(
            ">2sHLLLLH",
            b"EW",
            1,
            len(self.records),
            self.tail,
            self._wanted,
            self._wanted if there else 0xFFFFFFFF,
            len(record),
        )
        octets = head.ljust(32, b"\0") + self.name.encode().ljust(80, b"\0")
        octets = (octets + self.signer.public.raw).ljust(256, b"\0") + record.ljust(256, b"\0")
        return list(struct.unpack(">256H", octets)[first : first + count])

    def write(self, address: int, values: Sequence[int]) -> bool:
        if address == window.BASE + 100 and len(values) == 4 and self.takes_time:
            self.given.append(tuple(values))
            return True
        if address != window.BASE + 6 or len(values) != 2:
            return False
        self._wanted = values[0] << 16 | values[1]
        return True


Device = Eastron | SigningMeter


def answer(device: Device, pdu: bytes) -> bytes:
    """A device's answer to a request's PDU."""
    function, address, count = struct.unpack(">BHH", pdu[:5])
    if function == 16:
        values = struct.unpack(f">{count}H", pdu[6:])
        if device.write(address, values):
            return pdu[:5]
    else:
        words = device.read(function, address, count)
        if words is not None:
            return struct.pack(f">BB{count}H", function, 2 * count, *words)
    return bytes([function | 0x80, ILLEGAL_ADDRESS])


class ModbusHost:
    """A Modbus TCP server with several units behind it."""

    def __init__(self, units: dict[int, Device]) -> None:
        self.units = units
        self.port = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "ModbusHost":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readexactly(7)
                transaction, _, length, unit = struct.unpack(">HHHB", head)
                pdu = await reader.readexactly(length - 1)
                device = self.units.get(unit)
                if device is None:
                    continue  # A dead meter.
                reply = answer(device, pdu)
                writer.write(struct.pack(">HHHB", transaction, 0, len(reply) + 1, unit) + reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


async def until(condition: Callable[[], Any], at_most_s: float = 30.0) -> None:
    """Wait until something becomes true."""
    async with asyncio.timeout(at_most_s):
        while not condition():
            await asyncio.sleep(0.005)
