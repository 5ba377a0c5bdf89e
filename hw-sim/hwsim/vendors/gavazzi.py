"""Carlo Gavazzi EM340, EM540 and EM24: integers, low word first, tenths of a kWh.

Sources: EM330/EM340/ET330/ET340 protocol v2 rev 17 as quoted by the PyPI package
carlo-gavazzi-energy-meter-modbus; volkszaehler/mbmd carlogavazzi-ex3x0.go and -em24.go; evcc PR
17173 (an EM24 counts its total at 0x3E, at 0x42 what can be reset); as many words in a request as
the gateway's templates quote from the documents. Functions 3 and 4 read the same. A value that
overflows (the display shows EEE) reads 0x7FFF in its high word.
"""

from collections.abc import Sequence

from hwsim.registers import ILLEGAL_ADDRESS, ILLEGAL_VALUE, Flow, RegisterMap, lay, little, text

IDENTITY, MODE, SERIAL, FIRMWARE = 0x000B, 0x1103, 0x5000, 0x0302
MODES = "ABC"
_TENTH_KWH = 100_000
_WH, _KWH = 1_000, 1_000_000


class _Gavazzi(RegisterMap):
    code = 0

    def __init__(self, mode: str = "A", serial: str = "BC1234567890A") -> None:
        """In measurement mode A (the factory's: everything counts as taken), B or C."""
        self._mode = MODES.index(mode)
        self._serial = serial

    def read(self, function: int, address: int, count: int, flow: Flow) -> list[int] | int:
        """Registers; the identity hides behind a voltage that takes two of them."""
        if self.code and (address, count) == (IDENTITY, 1) and function in self.functions:
            return [self.code]
        return super().read(function, address, count, flow)

    def write(self, address: int, values: Sequence[int]) -> int:
        """Take the measurement mode."""
        if address != MODE or len(values) != 1:
            return ILLEGAL_ADDRESS
        if values[0] >= len(MODES):
            return ILLEGAL_VALUE
        self._mode = values[0]
        return 0

    def counted(self, flow: Flow) -> tuple[int | None, int | None]:
        """Import and export as the measurement mode counts them, mWh."""
        if flow.import_mwh is None or flow.export_mwh is None or MODES[self._mode] != "A":
            return flow.import_mwh, flow.export_mwh
        return flow.import_mwh + flow.export_mwh, 0

    def instantaneous(self, flow: Flow) -> dict[int, list[int]]:
        """What EM340 and EM24 have in the same places."""
        values = {
            0x0A: tenths(flow.volts * 3**0.5),
            0x24: tenths(flow.volts),
            0x28: tenths(flow.watts),
            0x2A: tenths(abs(flow.watts)),
        }
        for phase, watts in enumerate(flow.phase_w):
            values[0x00 + 2 * phase] = tenths(flow.volts)
            values[0x06 + 2 * phase] = tenths(flow.volts * 3**0.5)
            values[0x0C + 2 * phase] = little(round(flow.amperes(phase) * 1000), 2)
            values[0x12 + 2 * phase] = tenths(watts)
            values[0x18 + 2 * phase] = tenths(abs(watts))
        return values


class Em340(_Gavazzi):
    """EM340 of October 2018 or later."""

    code = 341
    most_words = 50
    readable: tuple[range, ...] = (
        range(0x5C), range(FIRMWARE, FIRMWARE + 2), range(0x400, 0x40C), range(MODE, MODE + 1),
        range(SERIAL, SERIAL + 7),
    )  # fmt: skip

    def words(self, flow: Flow) -> dict[int, int]:
        """All registers."""
        taken, given = self.counted(flow)
        values = self.instantaneous(flow) | {
            0x2E: [1000, 1000, 1000, 1000],
            0x33: [round(flow.hertz * 10)],
            0x34: counter(taken, _TENTH_KWH),
            0x3C: counter(taken, _TENTH_KWH),
            0x4E: counter(given, _TENTH_KWH),
            0x400: counter(taken, _KWH),
            0x402: counter(None if taken is None else taken % _KWH, _WH),
            0x408: counter(given, _KWH),
            0x40A: counter(None if given is None else given % _KWH, _WH),
            FIRMWARE: [0x0102, 0],
            MODE: [self._mode],
            SERIAL: text(self._serial, 7),
        }
        for phase in range(len(flow.phase_w)):
            share = None if taken is None else taken // len(flow.phase_w)
            values[0x40 + 2 * phase] = counter(share, _TENTH_KWH)
        return lay(values)


class Em540(Em340):
    """EM540: also counts in Wh, and refuses a question whose last register it does not have."""

    code = 1744
    missing = range(0x46, 0x4E)
    """Tariffs, which this one has not: they read 0 inside a question and refuse its end."""

    readable = (*Em340.readable, range(0x500, 0x520))

    def refusal(self, address: int, count: int) -> int:
        """A question must not end on a register that is not available."""
        last = address + count - 1
        return ILLEGAL_ADDRESS if last in self.missing else super().refusal(address, count)

    def words(self, flow: Flow) -> dict[int, int]:
        """All registers."""
        taken, given = self.counted(flow)
        fine = {0x500: counter(taken, _WH, 4), 0x51C: counter(given, _WH, 4)}
        return super().words(flow) | lay(fine)


class Em24(_Gavazzi):
    """EM24 with RS-485. Where it has an export counter depends on its variant."""

    most_words = 11
    readable = (range(0x5C),)

    def __init__(self, mode: str = "C", export: bool = True) -> None:
        """With a counter of export, or one of the variants without it."""
        super().__init__(mode)
        self._export = export
        if export:
            self.readable = (range(0x5E),)

    def words(self, flow: Flow) -> dict[int, int]:
        """All registers; what can be reset, at 0x42, was reset when it began."""
        taken, given = self.counted(flow)
        values = self.instantaneous(flow) | {
            0x32: [1000, 1000, 1000, 1000],
            0x37: [round(flow.hertz * 10)],
            0x3E: counter(taken, _TENTH_KWH),
            0x42: counter(None if taken is None else taken % 10**9, _TENTH_KWH),
        }
        if self._export:
            values[0x5C] = counter(given, _TENTH_KWH)
        return lay(values)


def tenths(value: float) -> list[int]:
    """A value in tenths, two registers."""
    return little(round(value * 10), 2)


def counter(mwh: int | None, step_mwh: int, words: int = 2) -> list[int]:
    """A counter in steps; what it does not know, or cannot hold, reads as overflow."""
    most = (1 << 16 * words - 1) - 1
    return little(most if mwh is None else min(mwh // step_mwh, most), words)
