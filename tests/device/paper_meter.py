"""A commissioned meter for the tests of papers: its keys, its record, its report."""

from dataclasses import replace
from typing import Any

from device.provision.commissioning import OldMeter, Visit, complete, content_of, with_meter
from device.provision.report import Measured, Report, Step
from wire.commissioning import CommissioningRecord, unsigned
from wire.keys import EDDSA, ES256, SoftSigner

METER = SoftSigner.from_private(ES256, bytes([7]) * 32)
TECHNICIAN = SoftSigner.from_private(EDDSA, bytes([8]) * 32)
AT_S = 1_795_251_600
CONFIG: dict[str, Any] = {
    "meter": "GW-000117",
    "node": "LV1.101.Bus-7",
    "zone": "LV1.101",
    "unit": 7,
    "element": {"kind": "pzem004t", "address": 1},
    "locked": 1,
}
SITE = (137_563_000, 1_005_018_000)
VISIT = Visit(
    technician="tech-north-1",
    commissioned_at_s=AT_S,
    start_wh=(1_234, 0),
    seals=("PEA-448120", "PEA-448121"),
    old_meter=OldMeter(id="PEA-99-1207", import_wh=12_345_678),
    note="บ้านเลขที่ 12/3",
)
STEPS = tuple(
    Step(number, title, "ok", f"{title} was done", number / 2)
    for number, title in enumerate(
        ["Find", "Firmware", "Application", "Key", "Clock", "Element", "Record", "Lock"], start=1
    )
)


def record_of(content: dict[str, Any]) -> CommissioningRecord:
    """What a board and a technician make of a content."""
    signature = METER.sign(unsigned(content).to_sign(METER.public))
    return complete(with_meter(content, METER.public, signature), METER.public, TECHNICIAN)


RECORD = record_of(content_of(CONFIG, VISIT, SITE))
REPORT = Report(
    record=RECORD,
    meter_key=METER.public,
    technician_key=TECHNICIAN.public,
    software_id=bytes.fromhex("a1b2c3d4"),
    made_at_s=AT_S + 60,
    clock_error_ms=40,
    registers_wh=(1_234, 0),
    steps=STEPS,
    measured=Measured(49_987, ((231_400, 412, 93_100),)),
    board="ESP32-C3, MicroPython 1.28.0",
)


def report_with(visit: dict[str, Any], **changes: Any) -> Report:
    """A report whose record says this of the visit."""
    content = content_of(CONFIG, VISIT, SITE)
    content["commissioning"] = {**content["commissioning"], **visit}
    return replace(REPORT, record=record_of(content), **changes)
