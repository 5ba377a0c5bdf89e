"""Peacefair PZEM-004T v3 and PZEM-016: ten registers, low word first, a counter anybody can reset.

Sources: ESPHome's pzemac.cpp (registers, 1 Wh a step, reset by the bare function 0x42); the energy
reads 0xFFFFFFFF while the meter starts, which Tasmota showed as 42949672.95 Wh (its issue 5875).
It has no direction: whatever flows is counted up.
"""

from collections.abc import Sequence

from hwsim.registers import (
    ILLEGAL_ADDRESS,
    ILLEGAL_VALUE,
    READ_HOLDING,
    READ_INPUT,
    Flow,
    RegisterMap,
    lay,
    little,
)

RESET = 0x42
NOT_KNOWN = 0xFFFFFFFF
_ROLL_OVER_WH = 9_999_990
"""Documented range: 0 to 9,999.99 kWh."""

_ALARM, _ADDRESS = 0x01, 0x02
_REGISTERS = range(10)


class Pzem(RegisterMap):
    """One phase; a PZEM-016 is a PZEM-004T with RS-485."""

    functions = (READ_INPUT,)
    readable = (_REGISTERS,)

    def __init__(self, alarm_w: int = 23_000) -> None:
        """Fresh from the factory."""
        self._settings = {_ALARM: alarm_w, _ADDRESS: 1}
        self._zero_mwh = 0

    def read(self, function: int, address: int, count: int, flow: Flow) -> list[int] | int:
        """Measurements by function 4, alarm threshold and address by function 3."""
        if function != READ_HOLDING:
            return super().read(function, address, count, flow)
        if not 1 <= count <= len(self._settings):
            return ILLEGAL_VALUE
        wanted = range(address, address + count)
        if not all(each in self._settings for each in wanted):
            return ILLEGAL_ADDRESS
        return [self._settings[each] for each in wanted]

    def write(self, address: int, values: Sequence[int]) -> int:
        """Take the alarm's threshold; a new address would end the talk and is refused here."""
        if address != _ALARM or len(values) != 1:
            return ILLEGAL_ADDRESS
        self._settings[_ALARM] = values[0]
        return 0

    def special(self, pdu: bytes, flow: Flow) -> bytes | None:
        """Reset the counter for whoever asks."""
        if pdu != bytes([RESET]):
            return None
        self._zero_mwh = _counted_mwh(flow) or 0
        return pdu

    def words(self, flow: Flow) -> dict[int, int]:
        """The ten registers."""
        watts = abs(flow.watts)
        counted = _counted_mwh(flow)
        energy_wh = NOT_KNOWN
        if counted is not None:
            # A counter that was itself set back starts from there, whatever was reset before.
            self._zero_mwh = self._zero_mwh if counted >= self._zero_mwh else 0
            energy_wh = (counted - self._zero_mwh) // 1000 % _ROLL_OVER_WH
        return lay(
            {
                0: [round(flow.volts * 10)],
                1: little(round(flow.amperes(0) * 1000), 2),
                3: little(round(watts * 10), 2),
                5: little(energy_wh, 2),
                7: [round(flow.hertz * 10)],
                8: [100],
                9: [0xFFFF if watts > self._settings[_ALARM] else 0],
            }
        )


def _counted_mwh(flow: Flow) -> int | None:
    if flow.import_mwh is None or flow.export_mwh is None:
        return None
    return flow.import_mwh + flow.export_mwh
