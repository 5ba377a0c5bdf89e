"""What SunSpec's tools read of this meter: the common model and the AC meter, model 203.

Decides points, scale factors and signs; when it is made, and from which values, is the caller's.
Power and current are positive for import, as SunSpec's meter models have it. A single-phase element
fills phase A and the totals. What is not measured carries SunSpec's "not implemented": the phases
that are not there, voltages between phases, and everything reactive, as nobody here knows which
of current and voltage leads. Energies are accumulators of 32 bits in Wh that begin again behind
4,294,967,295.
"""

import struct

START = 40000
_METER_MODEL, _METER_SIZE = 203, 105
_NONE = -0x8000  # "Not implemented", of int16 and of scale factors.
_MOST = 0x7FFF
_WRAP = 0xFFFFFFFF
# Scale factors stay what they are, as some tools read them once: 0.01 A, 0.1 V, 0.01 Hz, 0.01 % of
# power factor; W and VA in ones, on three phases, whose sum can pass 32,767 W, in tens.
_A_SF, _V_SF, _HZ_SF, _PF_SF = -2, -1, -2, -2


def block(meter, software, import_wh, export_wh, measured, unit=1):
    """Every register from `START` on, as bytes: "SunS", models 1 and 203, the end.

    `measured` is what the element's `measure()` returned, None when it knows nothing now.
    """
    common = struct.pack(
        ">32s32s16s16s32sHh",
        b"GridWitness",
        b"Signing meter",
        b"EMR-1",
        software.encode()[:16],
        meter.encode()[:32],
        unit,
        _NONE,
    )
    return (
        struct.pack(">4sHH", b"SunS", 1, len(common) // 2)
        + common
        + struct.pack(">HH", _METER_MODEL, _METER_SIZE)
        + _momentary(measured)
        + struct.pack(">8Lh", export_wh & _WRAP, 0, 0, 0, import_wh & _WRAP, 0, 0, 0, 0)
        + struct.pack(">32xh64xh4x", _NONE, _NONE)  # VAh, varh: not measured. Evt: none.
        + struct.pack(">HH", 0xFFFF, 0)
    )


def _momentary(measured):
    """Current, voltage, frequency, power, apparent power, power factor: 36 registers."""
    if measured is None:
        return struct.pack(">h", _NONE) * 36
    frequency_mhz, phases = measured
    tens = len(phases) > 1
    volts = [voltage_mv for voltage_mv, _, _ in phases]
    watts = [power_mw for _, _, power_mw in phases]
    amperes = [current_ma for _, current_ma, _ in phases]
    apparent_mva = [voltage_mv * current_ma // 1000 for voltage_mv, current_ma, _ in phases]
    for values in (watts, amperes, apparent_mva):
        values.insert(0, sum(values))
    volts.insert(0, sum(volts) // len(volts))
    factors = [w * 10_000 // va if va else None for w, va in zip(watts, apparent_mva)]
    power_step = 10_000 if tens else 1000
    points = _four(amperes, 10) + [_A_SF]
    points += _four(volts, 100) + [_NONE] * 4 + [_V_SF]
    points += [_scaled(frequency_mhz, 10), _HZ_SF]
    points += _four(watts, power_step) + [int(tens)]
    points += _four(apparent_mva, power_step) + [int(tens)]
    points += [_NONE] * 5
    points += _four(factors, 1) + [_PF_SF]
    return struct.pack(">36h", *points)


def _four(values, step):
    """The total or mean and phases A, B, C."""
    points = [_scaled(value, step) for value in values]
    return points + [_NONE] * (4 - len(points))


def _scaled(value, step):
    """A value in steps, rounded; "not implemented" for what is unknown or beyond the point."""
    if value is None:
        return _NONE
    points = (value + step // 2) // step
    return points if -_MOST <= points <= _MOST else _NONE
