"""Eastron SDM120 and SDM630: float32, high word first, 60 ms of silence, even registers only.

Sources: SDM120 Modbus Protocol V2.5; SDM630 Modbus Protocol V2.0, section 1.2.1 (registers), 1.2.2
(at most 40 parameters in a request), section 3 (60 ms). Input registers are read by function 4 and
start at even addresses; settings are floats behind functions 3 and 16.
"""

import math
import struct
from collections.abc import Sequence

from hwsim.registers import (
    ILLEGAL_ADDRESS,
    ILLEGAL_VALUE,
    READ_HOLDING,
    READ_INPUT,
    Flow,
    RegisterMap,
    big,
    float32,
    lay,
)

RESOLUTION_WH = 10
"""What display and registers resolve."""

VOLTAGE, CURRENT, POWER, FREQUENCY = 0x00, 0x06, 0x0C, 0x46
IMPORT, EXPORT, TOTAL = 0x48, 0x4A, 0x156
_PARITY, _UNIT, _BAUD, _MODE, _SERIAL, _CODE, _SOFTWARE = (
    0x12, 0x14, 0x1C, 0xF920, 0xFC00, 0xFC02, 0xFC03,
)  # fmt: skip
_SDM120_CODE = 0x0020
_ROLL_OVER_MWH = 10**12
"""The display ends at 999,999.99 kWh."""


class _Eastron(RegisterMap):
    functions = (READ_INPUT,)
    most_words = 80
    silence_s = 0.06

    def __init__(self, step_wh: int = RESOLUTION_WH) -> None:
        """Make a meter whose energy registers move in steps of Wh."""
        self._step_wh = step_wh
        self._settings = {_PARITY: 0.0, _UNIT: 1.0, _BAUD: 2.0}

    def refusal(self, address: int, count: int) -> int:
        """Even addresses, even counts; parameters that the wiring does not have read 0."""
        if not 1 <= count <= self.most_words:
            return ILLEGAL_VALUE
        return ILLEGAL_ADDRESS if address % 2 or count % 2 else super().refusal(address, count)

    def read(self, function: int, address: int, count: int, flow: Flow) -> list[int] | int:
        """Input registers by function 4, settings and identity by function 3."""
        if function != READ_HOLDING:
            return super().read(function, address, count, flow)
        settings = lay({each: float32(value) for each, value in self._settings.items()})
        settings |= self.holding()
        wanted = range(address, address + count)
        if not all(each in settings for each in wanted):
            return ILLEGAL_ADDRESS
        return [settings[each] for each in wanted]

    def holding(self) -> dict[int, int]:
        """Settings and identity that are no floats."""
        return {}

    def write(self, address: int, values: Sequence[int]) -> int:
        """Take a setting, one float."""
        if address not in self._settings or len(values) != 2:
            return ILLEGAL_ADDRESS
        (value,) = struct.unpack(">f", struct.pack(">HH", *values))
        if not math.isfinite(value) or not 0 <= value <= 247:
            return ILLEGAL_VALUE
        self._settings[address] = value
        return 0

    def energy(self, mwh: int | None) -> list[int]:
        """A counter in kWh: whole steps of its resolution."""
        if mwh is None:
            return float32(math.nan)
        whole_wh = mwh % _ROLL_OVER_MWH // 1000 // self._step_wh * self._step_wh
        return float32(whole_wh / 1000)


class Sdm120(_Eastron):
    """One phase. Its total counts import and export together until its mode is changed."""

    readable = (range(0x160),)
    baudrate = 2_400

    def __init__(self, step_wh: int = RESOLUTION_WH, serial: int = 21_010_001) -> None:
        """As it leaves the factory: mode 2, total = import + export."""
        super().__init__(step_wh)
        self._serial = serial
        self._mode = 2

    def holding(self) -> dict[int, int]:
        """Measurement mode, serial number, meter code and software version."""
        return lay(
            {
                _MODE: [self._mode],
                _SERIAL: big(self._serial, 2),
                _CODE: [_SDM120_CODE],
                _SOFTWARE: [0x0203],
            }
        )

    def write(self, address: int, values: Sequence[int]) -> int:
        """Take a setting; the mode is one register."""
        if address != _MODE or len(values) != 1:
            return super().write(address, values)
        if values[0] not in (1, 2, 3):
            return ILLEGAL_VALUE
        self._mode = values[0]
        return 0

    def words(self, flow: Flow) -> dict[int, int]:
        """Input registers."""
        taken, given = flow.import_mwh or 0, flow.export_mwh or 0
        total = {1: taken, 2: taken + given, 3: taken - given}
        return lay(
            {
                VOLTAGE: float32(flow.volts),
                CURRENT: float32(flow.amperes(0)),
                POWER: float32(flow.watts),
                0x12: float32(abs(flow.watts)),
                0x1E: float32(1.0),
                FREQUENCY: float32(flow.hertz),
                IMPORT: self.energy(flow.import_mwh),
                EXPORT: self.energy(flow.export_mwh),
                TOTAL: self.energy(total[self._mode]),
            }
        )


class Sdm630(_Eastron):
    """Three phases. Energies count since the last reset, in kWh or, by its menu, in MWh."""

    readable = (range(0x180),)

    def __init__(self, step_wh: int = RESOLUTION_WH, prefix: str = "k") -> None:
        """With the prefix of the energies, k or M, that somebody chose in its menu."""
        super().__init__(step_wh)
        self._mega = prefix == "M"

    def energy(self, mwh: int | None) -> list[int]:
        """A counter in kWh or MWh."""
        words = super().energy(mwh)
        if not self._mega or mwh is None:
            return words
        (kwh,) = struct.unpack(">f", struct.pack(">HH", *words))
        return float32(kwh / 1000)

    def words(self, flow: Flow) -> dict[int, int]:
        """Input registers."""
        phases = len(flow.phase_w)
        values = {
            0x2A: float32(flow.volts),
            0x34: float32(flow.watts),
            0x38: float32(abs(flow.watts)),
            0x3E: float32(1.0),
            FREQUENCY: float32(flow.hertz),
            IMPORT: self.energy(flow.import_mwh),
            EXPORT: self.energy(flow.export_mwh),
            TOTAL: self.energy((flow.import_mwh or 0) + (flow.export_mwh or 0)),
        }
        for phase, watts in enumerate(flow.phase_w):
            step = 2 * phase
            values[VOLTAGE + step] = float32(flow.volts)
            values[CURRENT + step] = float32(flow.amperes(phase))
            values[POWER + step] = float32(watts)
            values[0x12 + step] = float32(abs(watts))
            values[0x1E + step] = float32(1.0)
            values[0x15A + step] = self.energy((flow.import_mwh or 0) // phases)
            values[0x160 + step] = self.energy((flow.export_mwh or 0) // phases)
        return lay(values)
