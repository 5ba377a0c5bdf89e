"""docs/METER-REGISTERS.md against the firmware: every address that it names is the meter's."""

import re
from pathlib import Path

import pytest
from sunspec2.modbus.client import SunSpecModbusClientDevice

from gateway.polling import window
from meter import registers_map, sunspec

DOCUMENT = Path(__file__).parent.parent.parent / "docs/METER-REGISTERS.md"
ROW = re.compile(r"^\| (0x[0-9A-F]{4}|\d{5}) \| (\d+) \| (.*) \|$", re.MULTILINE)
ROWS = [(int(at, 0), int(size), text) for at, size, text in ROW.findall(DOCUMENT.read_text())]
SUNSPEC = [row for row in ROWS if row[0] < window.BASE]
WINDOW = [row for row in ROWS if row[0] >= window.BASE]


def test_the_window_is_described_without_a_gap() -> None:
    at = registers_map.WINDOW
    for address, size, _ in WINDOW:
        assert address == at
        at += size
    assert at == registers_map.WINDOW + registers_map.WINDOW_SIZE


@pytest.mark.parametrize(
    ("constant", "words"),
    [
        ("WANTED", "wanted"),
        ("IN_WINDOW", "in the window now"),
        ("METER_ID", "meter id"),
        ("PUBLIC_KEY", "public key"),
        ("TIME", "time: "),
        ("RECORD", "the record or event"),
    ],
)
def test_the_documents_addresses_are_the_firmwares(constant: str, words: str) -> None:
    [address] = [at for at, _, text in WINDOW if text.partition(" | ")[2].startswith(words)]
    assert address == registers_map.WINDOW + getattr(registers_map, constant)


def described(address: int) -> bool:
    return any(at <= address < at + size for at, size, _ in SUNSPEC)


def test_the_table_names_every_sunspec_point_that_is_there_and_no_other() -> None:
    block = sunspec.block("M", "s", 5, 6, (50_000, ((230_000, 5_000, 1_100_000),) * 3))

    class Reader(SunSpecModbusClientDevice):  # type: ignore[misc]
        def read(self, addr: int, count: int) -> bytes:
            start = 2 * (addr - sunspec.START)
            return bytes(block[start : start + 2 * count])

    device = Reader()
    device.scan()
    for model in (device.models[1][0], device.models[203][0]):
        for name, point in model.points.items():
            address = model.model_addr + point.offset
            assert described(address) == (point.cvalue is not None), name
    end = sunspec.START + len(block) // 2
    assert (SUNSPEC[0][0], SUNSPEC[-1][0] + SUNSPEC[-1][1]) == (sunspec.START, end)
