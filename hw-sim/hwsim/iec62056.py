"""A meter that is read by IEC 62056-21: mode C readout, or a telegram pushed every few seconds.

Decides the conversation of mode C as far as a readout goes: `/?!` at 300 baud, the identification
with the highest rate it offers, the acknowledgement that chooses a rate, the data block with its
check character at that rate, back to 300. All octets are 7E1. The lines are OBIS codes with values.

Sources: IEC 62056-21:2002, sections 6.3 (messages), 6.4.3 (mode C), A.1 (block check character);
the pushed telegram has the form of vzlogger's tests/MeterD0.cpp, or of DSMR P1 5.0.2, section 6.2.
"""

import re
from functools import reduce
from operator import xor

from hwsim.modbus_device import crc16
from hwsim.registers import Curve, Flow
from hwsim.rs485 import Device, Transmission
from hwsim.uart import LineFormat

STX, ETX, ACK = b"\x02", b"\x03", b"\x06"
RATES = {"0": 300, "1": 600, "2": 1_200, "3": 2_400, "4": 4_800, "5": 9_600, "6": 19_200}
"""Baud rate identification characters of mode C."""

REACTION_S = 0.2
"""From one message to the answer: 20 ms (200 ms before the 2002 edition) to 1.5 s."""

_HEAD = b"/GWT5SIMULATED\r\n\r\n"
_PATIENCE_S = 2.2
"""It waits so long for an acknowledgement, then everything starts again."""

_SIGN_ON = re.compile(rb"\x00*/\?([0-9A-Za-z ]{0,32})!\r\n")
_ACKNOWLEDGED = re.compile(rb"\x06[0-9]([0-9])([0-9])\r\n")


def block_check(octets: bytes) -> bytes:
    """The character that follows ETX: exclusive or of all after STX."""
    return bytes([reduce(xor, octets, 0)])


def data_lines(serial: str, flow: Flow, code: str = "{}", unit: str = "*kWh") -> bytes:
    """The meter's values, a line each; what is not known is left out.

    Args:
        serial: its number.
        flow: its values.
        code: how it writes an OBIS code, `{}` or `1-0:{}*255`.
        unit: what follows an energy.
    """
    energies = {"1.8.0": flow.import_mwh, "2.8.0": flow.export_mwh}
    lines = [f"{code.format('0.0.0')}({serial})"]
    lines += [
        f"{code.format(obis)}({mwh // 100 / 10_000:011.4f}{unit})"
        for obis, mwh in energies.items()
        if mwh is not None
    ]
    lines.append(f"{code.format('16.7.0')}({flow.watts / 1000:08.4f}*kW)")
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")


class ReadoutMeter(Device):
    """Mode C: answers whoever asks for it by its serial number, or for anybody."""

    def __init__(
        self, curve: Curve, serial: str = "12345678", name: str = "GWT", rate: str = "5"
    ) -> None:
        """A meter.

        Args:
            curve: what flows through it.
            serial: its address and what it gives as 0.0.0.
            name: three letters of its maker.
            rate: the highest rate that it offers, see RATES.
        """
        self.line = LineFormat.of(300, "7E1")
        self._curve = curve
        self._serial = serial
        self._name = name
        self._rate = rate
        self._offered_s: float | None = None

    def heard(self, frame: bytes, now_s: float) -> list[Transmission]:
        """Identify itself, or give its data."""
        offered_s, self._offered_s = self._offered_s, None
        signed_on = _SIGN_ON.fullmatch(frame)
        if signed_on and signed_on[1].decode().strip().lstrip("0") in ("", self._serial):
            self._offered_s = now_s
            identity = f"/{self._name}{self._rate}SIMULATED\r\n".encode()
            return [Transmission(REACTION_S, identity)]
        chosen = _ACKNOWLEDGED.fullmatch(frame)
        if chosen is None or offered_s is None or now_s > offered_s + _PATIENCE_S:
            return []
        rate, mode = chosen[1].decode(), chosen[2].decode()
        if mode != "0" or rate > self._rate or rate not in RATES:
            return []  # Programming mode, or a rate that it did not offer.
        block = data_lines(self._serial, self._curve(now_s)) + b"!\r\n" + ETX
        line = LineFormat.of(RATES[rate], "7E1")
        return [Transmission(REACTION_S, STX + block + block_check(block), line)]


class PushMeter(Device):
    """Sends its telegram every few seconds to whoever listens; hears nothing."""

    def __init__(
        self,
        curve: Curve,
        every_s: float = 2.0,
        serial: str = "12345678",
        line: LineFormat | None = None,
        dsmr: bool = False,
    ) -> None:
        """A meter that speaks for the first time after one pause.

        Args:
            curve: what flows through it.
            every_s: from one telegram to the next.
            serial: its number.
            line: its settings; None: 9600 7E1.
            dsmr: ends its telegram with a CRC, as DSMR meters do (at 115200 8N1).
        """
        self.line = line or LineFormat.of(9_600, "7E1")
        self._dsmr = dsmr
        self._curve = curve
        self._every_s = every_s
        self._serial = serial
        self._next_s = every_s

    def next_unasked_s(self) -> float | None:
        """The next telegram."""
        return self._next_s

    def unasked(self, now_s: float) -> list[Transmission]:
        """A telegram, as D0 meters push it or as DSMR meters do."""
        self._next_s += self._every_s
        flow = self._curve(now_s)
        if not self._dsmr:
            lines = data_lines(self._serial, flow, code="1-0:{}*255", unit="")
            return [Transmission(0.0, _HEAD + lines + b"!\r\n")]
        telegram = _HEAD + data_lines(self._serial, flow, code="1-0:{}") + b"!"
        return [Transmission(0.0, telegram + b"%04X\r\n" % crc16(telegram, start=0))]
