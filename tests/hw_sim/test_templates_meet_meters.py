"""The gateway's templates and the simulated meters were written apart: here they meet on a line."""

import asyncio
from dataclasses import replace

import pytest

from gateway.config import BusConfig
from gateway.lines.frames import Request
from gateway.lines.line import Line
from gateway.lines.readout_line import ReadoutLine
from gateway.lines.transport import Inbox, SerialTransport
from gateway.meters import templates
from gateway.meters.decode import decode
from gateway.polling.probing import Probe, identify
from gridwitness.simulated_bus import GatewayBus, meter_of
from hwsim.curves import PowerSteps
from hwsim.iec62056 import PushMeter, ReadoutMeter
from hwsim.line_port import LinePort
from hwsim.modbus_device import ModbusDevice
from hwsim.registers import RegisterMap
from hwsim.rs485 import Device, Wire
from hwsim.vendors.abb import B23
from hwsim.vendors.eastron import Sdm120, Sdm630
from hwsim.vendors.gavazzi import Em24, Em340
from hwsim.vendors.peacefair import Pzem
from hwsim.vendors.schneider import Iem3155
from hwsim.vendors.sunspec import Der701, Inverter103, Meter203, Meter213
from hwsim.virtual_time import WireTransport, run_jumping

IMPORT_WH, EXPORT_WH = 1_234_567, 98_765

METERS: dict[str, tuple[RegisterMap, int, int]] = {
    "abb-b23": (B23(), 1_234_560, 98_760),
    "carlo-gavazzi-em24": (Em24(), 1_234_500, 98_700),
    "carlo-gavazzi-em24-import": (Em24(export=False), 1_234_500, 0),
    "carlo-gavazzi-em340": (Em340("B"), 1_234_500, 98_700),
    "carlo-gavazzi-em340-import": (Em340("A"), 1_333_300, 0),
    "eastron-sdm120": (Sdm120(), 1_234_560, 98_760),
    "eastron-sdm630": (Sdm630(), 1_234_560, 98_760),
    "peacefair-pzem": (Pzem(), IMPORT_WH + EXPORT_WH, 0),
    "schneider-iem3155": (Iem3155(), IMPORT_WH, EXPORT_WH),
    "sunspec-der-701": (Der701(), IMPORT_WH, EXPORT_WH),
    "sunspec-inverter-103": (Inverter103(), 0, EXPORT_WH),
    "sunspec-meter-203": (Meter203(), IMPORT_WH, EXPORT_WH),
    "sunspec-meter-213": (Meter213(), IMPORT_WH, EXPORT_WH),
}
READOUT = "iec62056-21"


def curve(phases: int) -> PowerSteps:
    return PowerSteps([(0.0, 0.0)], IMPORT_WH, EXPORT_WH, phases)


def on_a_line(model: RegisterMap) -> Wire:
    phases = 1 if isinstance(model, Sdm120 | Pzem) else 3
    return Wire([ModbusDevice(1, model, curve(phases))], seed=1)


@pytest.mark.parametrize("name", METERS)
def test_a_template_reads_its_meter(name: str) -> None:
    model, import_wh, export_wh = METERS[name]
    bus = GatewayBus.on(on_a_line(model), [meter_of(1, templates.load(name))])
    run_jumping(bus.run(10.0))
    registers = bus.notes.taken[0].sample.registers
    assert (registers.import_wh, registers.export_wh) == (import_wh, export_wh)


@pytest.mark.parametrize("name", METERS)
def test_a_probe_names_the_meter(name: str) -> None:
    async def probed() -> list[Probe]:
        transport = WireTransport(on_a_line(METERS[name][0]), Inbox)
        line = Line(BusConfig("b", "/dev/simulated", 9_600, 500, ()), transport)
        return await identify(line.ask, 1, templates.load_all())

    found = run_jumping(probed())
    assert name in [each.template.name for each in found]
    assert not [each for each in found if each.template.name == name and each.wrong_modes]


@pytest.mark.parametrize(
    ("mode", "device"),
    [("sign-on", ReadoutMeter(curve(3))), ("push", PushMeter(curve(3), every_s=0.4))],
)
def test_a_readout_reads_its_meter(mode: str, device: Device) -> None:
    async def read() -> tuple[int, ...]:
        wire = Wire([device], 300 if mode != "push" else 9_600)
        port = LinePort(wire)
        settings = BusConfig("b", port.path, wire.format.baudrate, 9_000, ())
        bus = replace(settings, readout=mode)
        line = ReadoutLine(bus, SerialTransport(bus))
        try:
            return await line.ask(Request(1, 3, 0, 64))
        finally:
            line.close()
            port.close()

    registers = decode(templates.load(READOUT), asyncio.run(read()))
    assert (registers.import_wh, registers.export_wh) == (IMPORT_WH, EXPORT_WH)
