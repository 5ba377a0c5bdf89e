"""ABB B21, B23 and B24: integers, high word first, hundredths of a kWh.

Sources: volkszaehler/mbmd abb.go and victronenergy/dbus-modbus-client abb.py, which agree.
What is not there reads all ones (unsigned) or the highest value (signed).
"""

from hwsim.registers import READ_HOLDING, Flow, RegisterMap, big, lay, text

IMPORT, EXPORT, NET, POWER = 0x5000, 0x5004, 0x5008, 0x5B14
IDENTITY, SERIAL, FIRMWARE = 0x8960, 0x8900, 0x8908
_PHASES = 3
_HUNDREDTH_KWH = 10_000
"""mWh in a step of the counters."""


class B23(RegisterMap):
    """B23; a B21 is one on which one phase flows."""

    functions = (READ_HOLDING,)
    readable = (
        range(IMPORT, IMPORT + 0x24), range(0x5460, 0x5478), range(0x5B00, 0x5B42),
        range(SERIAL, SERIAL + 2), range(FIRMWARE, FIRMWARE + 8), range(IDENTITY, IDENTITY + 6),
    )  # fmt: skip

    def __init__(self, model: str = "B23 ", serial: int = 1_234_567) -> None:
        """A meter of that model (four characters)."""
        self._model = model
        self._serial = serial

    def words(self, flow: Flow) -> dict[int, int]:
        """All registers."""
        phases = len(flow.phase_w)
        values = {
            IMPORT: counter(flow.import_mwh),
            EXPORT: counter(flow.export_mwh),
            NET: net(flow),
            POWER: big(round(flow.watts * 100), 2),
            0x5B2C: [round(flow.hertz * 100)],
            0x5B3A: [1000],
            SERIAL: big(self._serial, 2),
            FIRMWARE: text("B1.0.0", 8),
            IDENTITY: text(f"{self._model}112-100", 6),
        }
        for phase in range(_PHASES):
            step, there = 2 * phase, phase < phases
            watts = flow.phase_w[phase] if there else None
            taken = flow.import_mwh if there else None
            given = flow.export_mwh if there else None
            values[0x5460 + 2 * step] = counter(taken, phases)
            values[0x546C + 2 * step] = counter(given, phases)
            values[0x5B00 + step] = big(round(flow.volts * 10) if there else -1, 2)
            values[0x5B0C + step] = big(round(flow.amperes(phase) * 100) if there else -1, 2)
            values[0x5B16 + step] = big(0x7FFFFFFF if watts is None else round(watts * 100), 2)
        return lay(values)


def counter(mwh: int | None, phases: int = 1) -> list[int]:
    """A counter, or a phase's even share of it; all ones when there is none."""
    return big(-1 if mwh is None else mwh // phases // _HUNDREDTH_KWH, 4)


def net(flow: Flow) -> list[int]:
    """Import less export, signed; the highest value when there is none."""
    if flow.import_mwh is None or flow.export_mwh is None:
        return big((1 << 63) - 1, 4)
    return big((flow.import_mwh - flow.export_mwh) // _HUNDREDTH_KWH, 4)
