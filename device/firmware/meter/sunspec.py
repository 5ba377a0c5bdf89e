"""What SunSpec's tools read of this meter: the common model and the AC meter, model 203.

Decides points, scale factors and signs; when it is made, and from which values, is the caller's.
Power and power factor are positive for import, negative for export; current has no sign. A
single-phase element fills phase A and the totals. What is not measured carries SunSpec's "not
implemented": the phases that are not there, voltages between phases, and everything reactive, as
nobody here knows which of current and voltage leads. Energies are accumulators of 32 bits in Wh
that begin again behind 4,294,967,295.
"""

import struct

START = 40000
_SIZE = 358
_METER = 144  # Where the points of model 203 begin.
_NONE = -0x8000  # "Not implemented", of int16 and of scale factors.
_MOST = 0x7FFF
_WRAP = 0xFFFFFFFF
# Points of model 203 by their offset: a total or mean, phases A, B and C behind it, and the scale
# factor. Scale factors stay what they are, as some tools read them once: 0.01 A, 0.1 V, 0.01 Hz,
# 0.01 % of power factor; W and VA in ones, on three phases, whose sum can pass 32,767 W, in tens.
_A, _A_SF, _V, _V_SF, _HZ, _HZ_SF, _W, _W_SF, _VA, _VA_SF = 0, 4, 5, 13, 14, 15, 16, 20, 21, 25
_PF, _PF_SF, _ENERGY, _VAH_SF, _VARH_SF = 31, 35, 36, 69, 102


def block(meter, software, import_wh, export_wh, measured, unit=1):
    """Every register from `START` on, as bytes: "SunS", models 1 and 203, the end.

    `measured` is what the element's `measure()` returned, None when it knows nothing now.
    """
    data = bytearray(_SIZE)
    struct.pack_into(
        ">4sHH32s32s16s16s32sHh",
        data,
        0,
        b"SunS",
        1,
        66,
        b"GridWitness",
        b"Signing meter",
        b"EMR-1",
        software.encode()[:16],
        meter.encode()[:32],
        unit,
        _NONE,
    )
    struct.pack_into(">HH", data, _METER - 4, 203, 105)
    for point in range(_ENERGY):
        _put(data, point, (None,), 1)
    if measured is not None:
        _momentary(data, *measured)
    struct.pack_into(">L12xL14x", data, _METER + 2 * _ENERGY, export_wh & _WRAP, import_wh & _WRAP)
    _put(data, _VAH_SF, (None,), 1)
    _put(data, _VARH_SF, (None,), 1)
    struct.pack_into(">H", data, _SIZE - 4, 0xFFFF)
    return data


def _momentary(data, frequency_mhz, phases):
    """Fill in current, voltage, frequency, power, apparent power and power factor."""
    amperes, volts, watts, apparent = [0], [0], [0], [0]
    for voltage_mv, current_ma, power_mw in phases:
        volts.append(voltage_mv)
        amperes.append(current_ma)
        watts.append(power_mw)
        apparent.append(voltage_mv * current_ma // 1000)
    for values in (amperes, volts, watts, apparent):
        values[0] = sum(values)
    volts[0] //= len(phases)
    tens = len(phases) > 1
    step = 10_000 if tens else 1000
    _put(data, _A, amperes, 10)
    _put(data, _V, volts, 100)
    _put(data, _HZ, (frequency_mhz,), 10)
    _put(data, _W, watts, step)
    _put(data, _VA, apparent, step)
    _put(data, _PF, [_factor(w, va) for w, va in zip(watts, apparent)], 10)
    for point, factor in ((_A_SF, -2), (_V_SF, -1), (_HZ_SF, -2), (_PF_SF, -2)):
        _put(data, point, (factor,), 1)
    _put(data, _W_SF, (int(tens),), 1)
    _put(data, _VA_SF, (int(tens),), 1)


def _factor(power_mw, apparent_mva):
    """Power factor in thousandths of a percent; beyond 100 % only by rounding, which is cut off."""
    if not apparent_mva:
        return None
    return max(-100_000, min(100_000, power_mw * 100_000 // apparent_mva))


def _put(data, point, values, step):
    """Write values, rounded to steps; "not implemented" what is unknown or too large."""
    for value in values:
        steps = _NONE if value is None else (value + step // 2) // step
        if not -_MOST <= steps <= _MOST:
            steps = _NONE
        struct.pack_into(">h", data, _METER + 2 * point, steps)
        point += 1
