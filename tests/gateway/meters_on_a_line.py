"""Simulated meters of every template on a pty, quick enough for tests."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.config import BusConfig, GatewayConfig
from gateway.meters import templates
from gateway.meters.decode import Registers
from gateway.meters.template import Template
from gateway.operation import initial
from hwsim import line_file
from hwsim.line_port import LinePort

BAUDRATE = 115_200
IMPORT_KWH, EXPORT_KWH = 1234.567, 98.765


@dataclass(frozen=True)
class OnTheLine:
    """A simulated meter and what its template must read of it."""

    template: str
    """Name of the template that reads it."""

    model: str
    """As the simulator calls it."""

    registers: Registers
    """What its registers resolve of 1234.567 kWh import and 98.765 kWh export."""

    options: str = ""
    """Further keys of the simulator."""


METERS = (
    OnTheLine("eastron-sdm120", "eastron-sdm120", Registers(1_234_560, 98_760)),
    OnTheLine("eastron-sdm630", "eastron-sdm630", Registers(1_234_560, 98_760)),
    # No direction: what flows back counts as taken.
    OnTheLine("peacefair-pzem", "peacefair-pzem", Registers(1_333_332, 0)),
    OnTheLine(
        "carlo-gavazzi-em340", "carlo-gavazzi-em340", Registers(1_234_500, 98_700), 'mode = "B"'
    ),
    OnTheLine("carlo-gavazzi-em24", "carlo-gavazzi-em24", Registers(1_234_500, 98_700)),
    OnTheLine(
        "carlo-gavazzi-em24-import",
        "carlo-gavazzi-em24",
        Registers(1_234_500, 0),
        "export = false",
    ),
    OnTheLine("abb-b23", "abb-b23", Registers(1_234_560, 98_760)),
    OnTheLine("schneider-iem3155", "schneider-iem3155", Registers(1_234_567, 98_765)),
    OnTheLine("sunspec-meter-203", "sunspec-meter-203", Registers(1_234_567, 98_765)),
    OnTheLine("sunspec-meter-213", "sunspec-meter-213", Registers(1_234_567, 98_765), "base = 0"),
    OnTheLine(
        "sunspec-inverter-103",
        "sunspec-inverter-103",
        Registers(0, 98_760),
        "base = 50_000\nscale = 1",
    ),
    OnTheLine("sunspec-der-701", "sunspec-der-701", Registers(1_234_567, 98_765)),
)
"""Unit 1, 2 and so on."""

QUIET = tuple(replace(each, silence_ms=0) for each in templates.load_all())
"""Templates for meters that need no silence, as those here."""


def quiet(name: str) -> Template:
    """One of QUIET."""
    return next(each for each in QUIET if each.name == name)


def line_text(*meters: OnTheLine) -> str:
    """The simulator's file for these meters."""
    devices = [
        f'[[device]]\nmodel = "{each.model}"\nunit = {unit}\nimport_kwh = {IMPORT_KWH}\n'
        f"export_kwh = {EXPORT_KWH}\npower_w = 0\nsilence_s = 0.0\ndelay_s = 0.001\n"
        f'bits = "8N1"\nbaudrate = {BAUDRATE}\n{each.options}\n'
        for unit, each in enumerate(meters, 1)
    ]
    return f'baudrate = {BAUDRATE}\nbits = "8N1"\n' + "".join(devices)


@contextlib.contextmanager
def on_a_pty(folder: Path, *meters: OnTheLine) -> Iterator[str]:
    """Put these meters on a pty of the running loop; gives its path."""
    file = folder / "line.toml"
    file.write_text(line_text(*meters))
    port = LinePort(line_file.load(file).wire)
    try:
        yield port.path
    finally:
        port.close()


def bus_on(path: str, timeout_ms: int = 150) -> BusConfig:
    """A bus on that pty."""
    return BusConfig("line", path, BAUDRATE, timeout_ms, ())


def configured(folder: Path, port: str, *meters: tuple[str, int, str]) -> GatewayConfig:
    """A gateway's configuration with a serial bus."""
    answers = initial.Answers(
        id="gw-1",
        genesis="genesis.json",
        broker=("127.0.0.1", 8883),
        certificates=("ca.pem", "gateway.pem", "gateway.key"),
        token=("pkcs11:token=t;object=witness", "pkcs11:token=t;object=reader", ""),
        place_e7=(137_563_000, 1_005_018_000),
        accuracy_dm=50,
        bus="rtu",
        where=(port, BAUDRATE),
        parity="none",
        meters=meters,
    )
    return initial.write(folder / "gateway.toml", answers)
