"""What `gridwitness sim line` is told: a TOML file with a line, its devices and their faults.

Decides the names of models and faults and their keys, all checked before a port is opened. An
example with every key is `EXAMPLE`; docs/SIMULATION.md explains them.
"""

import math
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from hwsim import faults
from hwsim.counter_faults import Glitch, NotKnown, Reset, RollOver, Stuck
from hwsim.curves import PowerSteps
from hwsim.faults import When
from hwsim.iec62056 import RATES, PushMeter, ReadoutMeter
from hwsim.line_options import Options, random_for
from hwsim.modbus_device import USUAL_DELAY_S, ModbusDevice
from hwsim.registers import BUSY, Curve, RegisterMap
from hwsim.rs485 import Device, Wire
from hwsim.uart import LineFormat
from hwsim.vendors import abb, eastron, gavazzi, peacefair, schneider, sunspec
from wire.errors import Malformed

UNITS = range(1, 248)

MODELS: dict[str, Callable[[Options], RegisterMap]] = {
    "eastron-sdm120": lambda o: eastron.Sdm120(step_wh=o.whole("step_wh", 10)),
    "eastron-sdm630": lambda o: eastron.Sdm630(
        step_wh=o.whole("step_wh", 10), prefix=_one_of(o, "prefix", "k", "M")
    ),
    "peacefair-pzem": lambda _: peacefair.Pzem(),
    "carlo-gavazzi-em340": lambda o: gavazzi.Em340(_one_of(o, "mode", *gavazzi.MODES)),
    "carlo-gavazzi-em540": lambda o: gavazzi.Em540(_one_of(o, "mode", *gavazzi.MODES)),
    "carlo-gavazzi-em24": lambda o: gavazzi.Em24(
        _one_of(o, "mode", "C", "A", "B"), o.flag("export", True)
    ),
    "abb-b23": lambda _: abb.B23(),
    "abb-b21": lambda _: abb.B23("B21 "),
    "schneider-iem3155": lambda _: schneider.Iem3155(),
    "sunspec-meter-203": lambda o: sunspec.Meter203(_base(o), o.whole("scale", 0)),
    "sunspec-meter-213": lambda o: sunspec.Meter213(_base(o)),
    "sunspec-inverter-103": lambda o: sunspec.Inverter103(_base(o), o.whole("scale", 0)),
    "sunspec-der-701": lambda o: sunspec.Der701(_base(o), o.whole("scale", 0)),
}
SINGLE_PHASE = ("eastron-sdm120", "peacefair-pzem", "abb-b21")
READOUT, PUSH = "iec62056-21", "iec62056-21-push"

FAULTS: dict[str, Callable[[Device, When, Options], Device]] = {
    "late": lambda d, w, o: faults.Late(d, w, o.delay("delay_s")),
    "lost": lambda d, w, o: faults.Lost(d, w),
    "dead": lambda d, w, o: faults.Dead(d, w),
    "duplicated": lambda d, w, o: faults.Duplicated(d, w, o.number("after_s", 0.05)),
    "cut": lambda d, w, o: faults.Cut(d, w),
    "flipped": lambda d, w, o: faults.Flipped(d, w, o.whole("bits", 1)),
    "wrong-unit": lambda d, w, o: faults.WrongUnit(d, w, o.whole("other", d.unit % 247 + 1)),
    "exception": lambda d, w, o: faults.Exceptional(d, w, o.whole("code")),
    "busy": lambda d, w, o: faults.Exceptional(d, w, BUSY),
    "holes": lambda d, w, o: faults.Holes(d, w, [range(a, a + 1) for a in o.numbers("registers")]),
    "babbling": lambda d, w, o: faults.Babbling(d, w, o.delay("every_s"), _octets(o)),
    "power-cycle": lambda d, w, o: faults.Dead(d, w),
}
"""What goes wrong between a device and the line."""

COUNTER_FAULTS: dict[str, Callable[[Curve, When, Options], Curve]] = {
    "glitch": lambda c, w, o: Glitch(c, w, o.number("import_wh")),
    "stuck": lambda c, w, o: Stuck(c, w),
    "reset": lambda c, w, o: Reset(c, w),
    "rollover": lambda c, w, o: RollOver(c, o.number("at_wh")),
    "sentinel": lambda c, w, o: NotKnown(c, w),
    # A meter that starts does not know its counters yet.
    "power-cycle": lambda c, w, o: NotKnown(
        c, When(w.until_s, w.until_s + o.number("start_s", 3.0))
    ),
}
"""What goes wrong inside its counters."""


@dataclass(frozen=True, slots=True)
class Vanishing:
    """When the adapter is gone."""

    at_s: float
    """From then on."""

    for_s: float
    """So long."""


@dataclass(frozen=True, slots=True)
class LineFile:
    """A line, ready to be put on a port."""

    wire: Wire
    """With its devices."""

    vanishing: tuple[Vanishing, ...]
    """In order of time."""

    names: tuple[str, ...]
    """Of the devices, for people: `unit 3 eastron-sdm630, late`."""


def load(path: Path) -> LineFile:
    """Read a file; raises Malformed with what is wrong, OSError when it cannot be read."""
    try:
        content = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as reason:
        raise Malformed(f"{path} is no TOML: {reason}") from None
    return _line(Options(content, str(path)))


def _line(options: Options) -> LineFile:
    seed = options.whole("seed", 0)
    baudrate, bits = options.whole("baudrate", 9_600), options.text("bits", "8N1")
    LineFormat.of(baudrate, bits)
    devices: list[Device] = []
    names: list[str] = []
    for table in options.tables("device"):
        for unit in table.numbers("units") if table.has("units") else [table.whole("unit", 0)]:
            device, name = _device(table, unit, seed, baudrate, bits)
            devices.append(device)
            names.append(name)
        table.done()
    for number, table in enumerate(options.tables("noise")):
        devices.append(faults.noise(_when(table, seed, "noise", number), table.delay("every_s")))
        names.append("noise")
        table.done()
    vanishing = sorted(
        (_vanishing(each) for each in options.tables("vanish")), key=lambda each: each.at_s
    )
    echo = options.flag("echo")
    options.done()
    if not devices:
        raise Malformed(f"{options.where}: no [[device]] on the line")
    return LineFile(Wire(devices, baudrate, bits, seed, echo), tuple(vanishing), tuple(names))


def _device(table: Options, unit: int, seed: int, baudrate: int, bits: str) -> tuple[Device, str]:
    model = table.text("model")
    troubles = [(each, each.text("name")) for each in table.tables("fault")]
    whens = [_when(each, seed, unit, number) for number, (each, _) in enumerate(troubles)]
    curve: Curve = _curve(table, model)
    for (each, name), when in zip(troubles, whens, strict=True):
        if name not in FAULTS and name not in COUNTER_FAULTS:
            known = ", ".join(sorted(FAULTS.keys() | COUNTER_FAULTS.keys()))
            raise Malformed(f"{each.where}: no fault {name!r}; there are: {known}")
        if name in COUNTER_FAULTS:
            curve = COUNTER_FAULTS[name](curve, when, each)
    line = LineFormat.of(table.whole("baudrate", baudrate), table.text("bits", bits))
    device = _healthy(table, unit, curve, line, seed)
    for (each, name), when in zip(troubles, whens, strict=True):
        if name in FAULTS:
            device = FAULTS[name](device, when, each)
        each.done()
    who = f"unit {unit} {model}" if unit else model
    return device, ", ".join([who, *(name for _, name in troubles)])


def _healthy(table: Options, unit: int, curve: Curve, line: LineFormat, seed: int) -> Device:
    model = table.text("model")
    if model == READOUT:
        rate = table.whole("highest_baudrate", 9_600)
        letters = {value: letter for letter, value in RATES.items()}
        if rate not in letters:
            raise table.wrong("highest_baudrate", f"one of {', '.join(map(str, letters))}")
        return ReadoutMeter(curve, table.text("serial", "12345678"), rate=letters[rate])
    if model == PUSH:
        every_s, serial = table.number("every_s", 2.0), table.text("serial", "12345678")
        dsmr = table.flag("dsmr")
        if not dsmr and not table.has("bits"):
            line = replace(line, data_bits=7, parity="E")  # Whatever the master has on its pty.
        return PushMeter(curve, every_s, serial, line, dsmr)
    if model not in MODELS:
        known = ", ".join(sorted([*MODELS, READOUT, PUSH]))
        raise Malformed(f"{table.where}: no model {model!r}; there are: {known}")
    if unit not in UNITS:
        raise Malformed(f"{table.where}: a Modbus unit is 1 to 247, not {unit}")
    registers = MODELS[model](table)
    registers.silence_s = table.number("silence_s", registers.silence_s)
    delay = table.delay("delay_s", USUAL_DELAY_S)
    return ModbusDevice(unit, registers, curve, delay, line, seed)


def _curve(table: Options, model: str) -> Curve:
    phases = table.whole("phases", 1 if model in SINGLE_PHASE else 3)
    if phases not in (1, 2, 3):
        raise table.wrong("phases", "1, 2 or 3")
    return PowerSteps(
        table.steps("power_w"),
        table.number("import_kwh", 0.0) * 1000,
        table.number("export_kwh", 0.0) * 1000,
        phases,
        table.number("volts", 230.0),
    )


def _when(table: Options, *names: object) -> When:
    chance = table.number("chance", 1.0)
    if not 0 <= chance <= 1:
        raise table.wrong("chance", "between 0 and 1")
    from_s, until_s = table.number("from_s", 0.0), table.number("until_s", math.inf)
    return When(from_s, until_s, chance, random_for(*names))


def _vanishing(table: Options) -> Vanishing:
    found = Vanishing(table.number("at_s"), table.number("for_s"))
    table.done()
    return found


def _octets(table: Options) -> bytes | None:
    """What a babbling meter says, in hexadecimal; None: noise."""
    try:
        return bytes.fromhex(table.text("says", "")) or None
    except ValueError:
        raise table.wrong("says", "octets in hexadecimal") from None


def _one_of(table: Options, key: str, *values: str) -> str:
    value = table.text(key, values[0])
    if value not in values:
        raise table.wrong(key, " or ".join(values))
    return value


def _base(table: Options) -> int:
    base = table.whole("base", sunspec.BASES[0])
    if base not in sunspec.BASES:
        raise table.wrong("base", " or ".join(map(str, sunspec.BASES)))
    return base
