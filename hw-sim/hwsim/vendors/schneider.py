"""Schneider iEM3155 and iEM3255: float32 for what flows, whole Wh in 64 bits for what was counted.

Sources: volkszaehler/mbmd iem3000.go; the factory's line is 19200 8E1.
"""

from hwsim.registers import READ_HOLDING, Flow, RegisterMap, big, float32, lay, text

MODEL, SERIAL, IMPORT, EXPORT, POWER_KW = 0x0031, 0x0081, 0x0C83, 0x0C87, 0x0BF3
_NOT_KNOWN = -(1 << 63)
"""What a 64-bit integer reads that is not available."""


class Iem3155(RegisterMap):
    """Three phases, directly connected (iEM3155) or by transformers (iEM3255)."""

    functions = (READ_HOLDING,)
    readable = (
        range(0x1D, 0x45), range(SERIAL, SERIAL + 2), range(0x0BB7, 0x0C27), range(0x0C83, 0x0CD3),
        range(0x0DBD, 0x0DD1),
    )  # fmt: skip
    baudrate = 19_200
    bits = "8E1"

    def __init__(self, model: str = "iEM3155", serial: int = 2_101_000_001) -> None:
        """A meter of that model."""
        self._model = model
        self._serial = serial

    def words(self, flow: Flow) -> dict[int, int]:
        """All registers."""
        values = {
            MODEL: text(self._model, 20),
            SERIAL: big(self._serial, 2),
            POWER_KW: float32(flow.watts / 1000),
            0x0BFB: float32(0.0),
            0x0C03: float32(abs(flow.watts) / 1000),
            0x0C25: float32(flow.hertz),
            IMPORT: counter(flow.import_mwh),
            EXPORT: counter(flow.export_mwh),
        }
        for phase, watts in enumerate(flow.phase_w):
            values[0x0BD3 + 2 * phase] = float32(flow.volts)
            values[0x0BB7 + 2 * phase] = float32(flow.amperes(phase))
            values[0x0BED + 2 * phase] = float32(watts / 1000)
            values[0x0DBD + 4 * phase] = counter(flow.import_mwh, len(flow.phase_w))
        return lay(values)


def counter(mwh: int | None, phases: int = 1) -> list[int]:
    """A counter in Wh, or a phase's even share of it."""
    return big(_NOT_KNOWN if mwh is None else mwh // phases // 1000, 4)
