"""Whether what a measuring element says can be true: the mistakes of an installation, as sums.

Decides by voltage, frequency, power against volts times amperes, the direction of power where
nothing generates, and the ratio of current transformers. Leaves asking the element to the session.
"""

from dataclasses import dataclass

from device.provision import faults

FREQUENCY_MARGIN_MHZ = 1_000
VOLTAGE_MARGIN_PERMILLE = 150
"""Of the nominal voltage: a street's end at midday stays within."""

POWER_MARGIN_PERMILLE = 50
SMALL_MW = 20_000
"""Power below which an element's own error decides, mW: not a sign of anything."""

SMALL_MA = 50

Phase = tuple[int, int, int]
"""(mV, mA, mW); power + is import."""


@dataclass(frozen=True, slots=True)
class Installation:
    """What the technician says of the place."""

    frequency_hz: int = 50
    """Nominal, 50 or 60."""

    voltage_v: int = 230
    """Nominal, phase to neutral."""

    generation_w: int = 0
    """Declared behind the meter; 0 for none."""

    service_a: int = 0
    """Fuse of the service, amperes; 0 when not given."""

    ct: tuple[int, int] = (0, 0)
    """Ratio of the current transformers, primary and secondary amperes; (0, 0) for none."""


def check_ratio(place: Installation) -> None:
    """Raises a Fault when no such transformer belongs on such a service."""
    primary, secondary = place.ct
    if place.ct == (0, 0):
        return
    ratio = f"{primary}/{secondary}"
    if secondary not in (1, 5) or primary <= secondary:
        why = "secondaries have 1 or 5 A, and less than the primary"
    elif place.service_a and not place.service_a <= primary <= 10 * place.service_a:
        why = "the primary is the service's current or up to ten times as much"
    else:
        return
    raise faults.BAD_RATIO.fault(ratio=ratio, amperes=place.service_a or "unknown", why=why)


def check(frequency_mhz: int, phases: tuple[Phase, ...], place: Installation) -> list[str]:
    """Raises a Fault on what cannot be; returns words of warning on what should not be."""
    nominal_mhz = place.frequency_hz * 1000
    if abs(frequency_mhz - nominal_mhz) > FREQUENCY_MARGIN_MHZ:
        raise faults.WRONG_FREQUENCY.fault(
            hertz=thousandths(frequency_mhz, 1),
            least=place.frequency_hz - 1,
            most=place.frequency_hz + 1,
        )
    warnings = []
    for number, phase in enumerate(phases, start=1):
        _check_voltage(number, phase, place)
        _check_power(number, phase, place)
        if phase[1] <= SMALL_MA:
            warnings.append(f"phase {number} has no current: switch a load on and look again")
    return warnings


def _check_voltage(number: int, phase: Phase, place: Installation) -> None:
    margin_mv = place.voltage_v * VOLTAGE_MARGIN_PERMILLE
    if abs(phase[0] - place.voltage_v * 1000) > margin_mv:
        raise faults.WRONG_VOLTAGE.fault(
            phase=number,
            volts=thousandths(phase[0], 1),
            least=place.voltage_v - margin_mv // 1000,
            most=place.voltage_v + margin_mv // 1000,
        )


def _check_power(number: int, phase: Phase, place: Installation) -> None:
    volts, amperes, watts = (thousandths(each, 3) for each in phase)
    apparent_mw = phase[0] * phase[1] // 1000
    most_mw = apparent_mw * (1000 + POWER_MARGIN_PERMILLE) // 1000 + SMALL_MW
    if abs(phase[2]) > most_mw:
        raise faults.POWER_DISAGREES.fault(phase=number, volts=volts, amperes=amperes, watts=watts)
    if phase[2] < -SMALL_MW and not place.generation_w:
        raise faults.REVERSED_CT.fault(phase=number, watts=thousandths(-phase[2], 1))


def thousandths(value: int, digits: int) -> str:
    """A value in thousandths, with some digits behind the point."""
    return f"{value / 1000:.{digits}f}"


def words(frequency_mhz: int, phases: tuple[Phase, ...]) -> str:
    """For people: `230.1 V 50.0 Hz 0.412 A 94 W (import)`."""
    volts = "/".join(thousandths(phase[0], 1) for phase in phases)
    amperes = "/".join(thousandths(phase[1], 3) for phase in phases)
    power_mw = sum(phase[2] for phase in phases)
    direction = "import" if power_mw > 0 else "export" if power_mw < 0 else "nothing flows"
    hertz = thousandths(frequency_mhz, 1)
    return f"{volts} V {hertz} Hz {amperes} A {abs(power_mw) // 1000} W ({direction})"
