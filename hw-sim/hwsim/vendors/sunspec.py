"""SunSpec meters and inverters: models 203, 213, 103 and 701 behind the common model.

Source: the models of sunspec/models (JSON). Offsets count from a model's id. `acc32` counters wrap,
and a counter that is not known reads 0: that is what an inverter says when it wakes up. Scale
factors are powers of ten. Meters: positive is into the customer; inverters: positive is produced.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence

from hwsim.registers import READ_HOLDING, Flow, RegisterMap, big, float32, lay, text

BASES = (40_000, 0, 50_000)
"""Where masters look for the mark, in this order."""

_MARK = [0x5375, 0x6E53]
_END = [0xFFFF, 0]
_COMMON, _COMMON_LENGTH = 1, 66
_NO_INT, _NO_UINT = 0x8000, 0xFFFF
_ON, _SLEEPING = 4, 2
"""Operating states of an inverter that feeds, and of one that does not."""

Points = Mapping[int, Sequence[int]]


class SunSpec(RegisterMap):
    """The mark, the common model, one model of measurements, the end."""

    functions = (READ_HOLDING,)
    model = 0
    length = 0
    filler: tuple[int, ...] = (_NO_INT,)
    """What a point reads that is not implemented."""

    def __init__(self, base: int = BASES[0], scale: int = 0, serial: str = "SIM0001") -> None:
        """At a base, energies in steps of 10**scale Wh."""
        self._base = base
        self.scale = scale
        self._serial = serial
        self._start = base + 2 + 2 + _COMMON_LENGTH
        self.readable = (range(base, self._start + 2 + self.length + 2),)

    def words(self, flow: Flow) -> dict[int, int]:
        """All registers."""
        common = {
            0: _MARK,
            2: [_COMMON, _COMMON_LENGTH],
            4: text("GridWitness", 16),
            20: text(f"simulated {self.model}", 16),
            36: [_NO_UINT] * 8,
            44: text("1.0", 8),
            52: text(self._serial, 16),
            68: [1, _NO_INT],
        }
        filled = [self.filler[place % len(self.filler)] for place in range(self.length)]
        values = {self._base + place: words for place, words in common.items()}
        values |= {self._start: [self.model, self.length], self._start + 2: filled}
        values[self._start + 2 + self.length] = _END
        points = {self._start + place: words for place, words in self.points(flow).items()}
        return lay(values) | lay(points)

    @abstractmethod
    def points(self, flow: Flow) -> Points:
        """What the model holds, by offset from its id."""

    def counter(self, mwh: int | None, words: int = 2) -> list[int]:
        """An accumulator: wraps, and is 0 while nothing is known."""
        return big((mwh or 0) // 1000 // 10**self.scale, words)


class Meter203(SunSpec):
    """Three-phase wye meter, integers."""

    model, length = 203, 105

    def points(self, flow: Flow) -> Points:
        """Integers with scale factors."""
        phases = [round(watts) for watts in flow.phase_w]
        return {
            2: [round(sum(flow.amperes(each) for each in range(len(phases))) * 100)],
            6: big(-2, 1),
            7: [round(flow.volts * 10)] * 4,
            15: big(-1, 1),
            16: [round(flow.hertz * 100), *big(-2, 1)],
            18: big(round(flow.watts), 1),
            19: [big(each, 1)[0] for each in phases],
            22: [0],
            38: self.counter(flow.export_mwh) + [0] * 6,
            46: self.counter(flow.import_mwh) + [0] * 6,
            54: big(self.scale, 1) + [0] * 16,
            72: [0] * 32,
            105: [0, 0],
        }


class Meter213(SunSpec):
    """Three-phase wye meter, floats."""

    model, length = 213, 124
    filler = tuple(float32(math.nan))

    def points(self, flow: Flow) -> Points:
        """Floats, Wh."""
        phases = [word for watts in flow.phase_w for word in float32(watts)]
        return {
            10: float32(flow.volts) * 4,
            26: float32(flow.hertz),
            28: float32(flow.watts) + phases,
            60: float32((flow.export_mwh or 0) / 1000),
            68: float32((flow.import_mwh or 0) / 1000),
            124: [0, 0],
        }


class Inverter103(SunSpec):
    """Three-phase inverter, integers."""

    model, length = 103, 50

    def points(self, flow: Flow) -> Points:
        """Integers with scale factors."""
        produced_w = -flow.watts
        awake = flow.export_mwh is not None
        return {
            2: [round(abs(produced_w) / flow.volts * 100), *[_NO_UINT] * 3, *big(-2, 1)],
            7: [_NO_UINT] * 3 + [round(flow.volts * 10)] * 3 + big(-1, 1),
            14: [*big(round(produced_w), 1), 0],
            16: [round(flow.hertz * 100), *big(-2, 1)],
            24: self.counter(flow.export_mwh),
            26: big(self.scale, 1),
            38: [_ON if awake and produced_w > 0 else _SLEEPING, _NO_UINT],
            40: [0] * 12,
        }


class Der701(SunSpec):
    """DER AC measurement (IEEE 1547), 64-bit counters."""

    model, length = 701, 153

    def points(self, flow: Flow) -> Points:
        """Integers with scale factors."""
        return {
            2: [3, 1, 3, 1],
            6: [0] * 4,
            10: big(round(-flow.watts), 1),
            15: [_NO_UINT, round(flow.volts * 10), *big(round(flow.hertz * 100), 2)],
            19: self.counter(flow.export_mwh, 4),
            23: self.counter(flow.import_mwh, 4),
            27: [0] * 8,
            46: [_NO_UINT] * 18,
            69: [_NO_UINT] * 18,
            92: [_NO_UINT] * 19,
            114: [*big(-1, 1), *big(-2, 1), 0],
            120: big(self.scale, 1),
            123: [0] * 32,
        }
