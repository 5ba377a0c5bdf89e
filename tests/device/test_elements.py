"""PZEM-004T and S0 pulses, each against a scripted one that follows its data sheet."""

import random
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter.config import NotConfigured
from meter.elements import pzem004t, s0
from meter.modbus import with_crc
from meter.registers import Registers
from tests.device.element_bench import Board, Clock, on_micropython, ticking

QUARTER_MS = 900_000


# PZEM-004T


def pzem_answer(energy_wh: int, address: int = 1) -> bytes:
    """230.4 V, 70.123 A, 16,156.3 W, an energy, 49.9 Hz, power factor 1, no alarm."""
    power, current = 161_563, 70_123
    words = [2304, current & 0xFFFF, current >> 16, power & 0xFFFF, power >> 16]
    words += [energy_wh & 0xFFFF, energy_wh >> 16, 499, 100, 0]
    return bytes(with_crc(bytes((address, 4, 20)) + struct.pack(">10H", *words)))


class Pzem:
    """The UART with the chip at its other end."""

    def __init__(self, clock: Clock, energy_wh: int = 1234) -> None:
        self.clock = clock
        self.energy_wh = energy_wh
        self.asked = 0
        self.after_ms = 40
        self.spoil: Callable[[bytes], bytes] = lambda answer: answer
        self._waiting = b""
        self._ready_at = 0

    def write(self, data: bytes) -> int:
        assert data == with_crc(b"\x01\x04\x00\x00\x00\x0a")
        self.asked += 1
        self._waiting = self.spoil(pzem_answer(self.energy_wh))
        self._ready_at = self.clock.now + self.after_ms
        return len(data)

    def read(self, size: int) -> bytes | None:
        if self.clock.now < self._ready_at:
            return None
        taken, self._waiting = self._waiting[:size], self._waiting[size:]
        return taken or None


def pzem(energy_wh: int = 1234) -> tuple[Clock, Pzem, Any]:
    clock = Clock()
    line = Pzem(clock, energy_wh)
    return clock, line, pzem004t.Pzem004t(line, clock=clock)


def test_a_pzem_counts_import_only_low_word_first() -> None:
    _, _, element = pzem(0x0003_0002)
    assert element.read(0) == (0x0003_0002 * 1000, 0)
    assert element.measure() == (49_900, ((230_400, 70_123, 16_156_300),))
    assert not element.volatile


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        pzem_answer(1)[:-1],
        pzem_answer(1)[:-1] + b"\x00",
        pzem_answer(1, address=2),
        with_crc(b"\x01\x84\x02"),
        with_crc(b"\x01\x03\x14" + bytes(20)),
        b"\xff" + pzem_answer(1),
        bytes(300),
    ],
)
def test_what_is_no_answer_to_the_question_is_held(wrong: bytes) -> None:
    clock, line, element = pzem()
    line.spoil = lambda answer: wrong
    begun = clock.now
    assert element.read(0) is None
    assert element.measure() is None
    assert clock.now - begun <= 2 * 330
    line.spoil = lambda answer: answer
    assert element.read(0) == (1_234_000, 0)


def test_the_second_try_counts() -> None:
    _, line, element = pzem()
    line.spoil = lambda answer: answer if line.asked % 2 == 0 else answer[:9]
    assert element.read(0) == (1_234_000, 0)


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next() -> None:
    clock, line, element = pzem()
    line.after_ms = 160
    assert element.read(0) is None
    clock.now += 1000
    line.after_ms, line.energy_wh = 40, 1300
    assert element.read(0) == (1_300_000, 0)


@settings(deadline=None)
@given(st.integers(0, 24), st.integers(1, 255))
def test_no_wrong_byte_gets_through(at: int, wrong: int) -> None:
    _, line, element = pzem()
    line.spoil = lambda answer: answer[:at] + bytes((answer[at] ^ wrong,)) + answer[at + 1 :]
    assert element.read(0) is None


def readings(energies_wh: list[int]) -> tuple[list[Any], Any]:
    """What an element reads each quarter hour, and registers that counted it."""
    clock, line, element = pzem()
    registers = Registers()
    found = []
    for energy_wh in energies_wh:
        line.energy_wh = energy_wh
        found.append(element.read(0))
        registers.count(found[-1])
        clock.now += QUARTER_MS
    return found, registers


def test_a_counter_that_shows_zero_once_costs_a_held_reading_and_no_energy() -> None:
    found, registers = readings([5_000_000, 5_001_000, 0, 5_003_000])
    assert found[2] is None
    assert registers.wh() == (3_000, 0)


def test_a_counter_that_shows_too_much_once_adds_nothing() -> None:
    _, registers = readings([1_000, 2_000, 0x00FF_0000, 4_000])
    assert registers.wh() == (3_000, 0)


def test_a_counter_that_passed_its_end_counts_on_from_zero() -> None:
    found, registers = readings([9_998_000, 9_999_500, 400, 1_600, 2_600])
    assert [value is None for value in found] == [False, False, True, False, False]
    # 1,500 before the end, 1,600 and 1,000 behind it; the 490 up to the end are not known.
    assert registers.wh() == (4_100, 0)


def test_the_fastest_that_a_pzem_can_count_is_believed() -> None:
    found, _ = readings([0, 6_500, 13_000, 19_502])
    assert None not in found


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), max_size=12), st.integers(0, 6_000))
def test_no_sequence_of_readings_adds_more_than_the_line_can_carry(
    wild: list[int], honest_wh: int
) -> None:
    energies = []
    for i, energy_wh in enumerate(wild):
        energies += [10_000 + honest_wh * i, energy_wh]  # Every other reading is anything.
    found, registers = readings(energies)
    believed = [value for value in found if value is not None]
    if len(believed) > 1:
        assert registers.wh()[0] <= 6_502 * len(energies) + 10_000 + honest_wh * len(wild)


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return ticking(monkeypatch)


def test_a_pzem_is_made_from_the_configuration(ticks: Clock) -> None:
    element = pzem004t.make({"kind": "pzem004t"}, Board(uart=Pzem(ticks)))
    assert element.read(0) == (1_234_000, 0)
    with pytest.raises(NotConfigured, match="address"):
        pzem004t.make({"kind": "pzem004t", "address": 248}, Board(uart=Pzem(ticks)))


def test_micropython_reads_a_pzem() -> None:
    said = on_micropython(
        "from meter.elements import pzem004t\n"
        "class Uart:\n"
        "    data = b''\n"
        "    def write(self, data):\n"
        "        print(data.hex())\n"
        f"        self.data = {pzem_answer(70_000)!r}\n"
        "    def read(self, size):\n"
        "        taken, self.data = self.data[:7], self.data[7:]\n"
        "        return taken or None\n"
        "class Board:\n"
        "    def element_uart(self, baudrate):\n"
        "        return Uart()\n"
        "element = pzem004t.make({'kind': 'pzem004t'}, Board())\n"
        "print(element.read(0), element.measure()[1][0][2])\n"
    )
    asked = with_crc(b"\x01\x04\x00\x00\x00\x0a").hex()
    assert said.splitlines() == [asked, asked, "(70000000, 0) 16156300"]


# S0 pulses


class Contact:
    """An output at a pin, open at first: moments of closing and opening, in order."""

    def __init__(self, pulse_ms: int = 20) -> None:
        self.clock = Clock()
        self.level = 1
        self.line = s0.Line(pulse_ms, self.clock)
        self.clock.now += 1000

    def value(self) -> int:
        return self.level

    def switch(self, level: int, for_ms: int) -> None:
        self.level = level
        self.line.edge(self)
        self.clock.now += for_ms

    def play(self, *times_ms: int) -> int:
        """Close and open in turn, for so long each; the pulses counted then."""
        level = 0
        for for_ms in times_ms:
            self.switch(level, for_ms)
            level = 1 - level
        self.switch(1, 0)
        self.line.step()
        return int(self.line.value())


@pytest.mark.parametrize(
    ("times_ms", "pulses"),
    [
        ((30, 30), 1),
        ((30, 30, 30, 30, 30), 3),
        ((120, 1000) * 50, 50),
        ((2, 1, 1, 1, 40, 100), 1),  # It bounces when it closes,
        ((30, 1, 1, 2, 1, 100), 1),  # when it opens,
        ((14, 1, 14, 100, 30, 100), 2),  # and a spark splits no pulse.
        ((1, 5, 1, 5, 1, 500, 1), 0),  # Sparks are no pulses.
        ((15, 500, 15, 500), 0),
        ((1,), 0),
    ],
)
def test_what_conducts_for_long_enough_is_one_pulse(times_ms: tuple[int, ...], pulses: int) -> None:
    assert Contact().play(*times_ms) == pulses


def test_an_edge_that_was_seen_twice_is_one() -> None:
    contact = Contact()
    contact.switch(0, 10)
    contact.switch(0, 20)
    contact.switch(1, 5)
    contact.switch(1, 30)
    assert contact.line.value() == 1


def test_a_pulse_after_weeks_of_rest_counts_though_the_ticks_wrapped() -> None:
    contact = Contact()
    contact.play(30, 30)
    contact.clock.now -= 2**29  # What a difference of wrapped ticks looks like.
    contact.line.step()
    assert contact.play(30, 30) == 2


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(30, 200), st.integers(30, 5000)), max_size=30), st.randoms())
def test_bouncing_neither_makes_nor_loses_a_pulse(
    pulses: list[tuple[int, int]], chance: random.Random
) -> None:
    times: list[int] = []
    for closed_ms, open_ms in pulses:
        for whole_ms in (closed_ms, open_ms):
            bounces = [chance.randint(0, 1) for _ in range(2 * chance.randint(0, 2))]
            times += [*bounces, whole_ms]
    assert Contact().play(*times) == len(pulses)


class Pulses:
    """A counter in hardware."""

    def __init__(self, pulses: int) -> None:
        self.pulses = pulses

    def value(self) -> int:
        return self.pulses


@given(st.integers(0, 10**9), st.integers(1, 100_000))
def test_energy_of_pulses_does_not_drift(pulses: int, per_kwh: int) -> None:
    element = s0.S0(per_kwh, [Pulses(pulses), None])
    import_mwh, export_mwh = element.read(0)
    assert import_mwh * per_kwh <= pulses * 1_000_000 < (import_mwh + 1) * per_kwh
    assert export_mwh == 0


def test_an_s0_counter_is_made_for_a_board_with_and_without_a_counter(ticks: Clock) -> None:
    board = Board(counter=Pulses(3))
    element = s0.make({"kind": "s0", "pulses_per_kwh": 1000, "export": 1}, board)
    assert (element.read(0), element.measure(), element.volatile) == ((3000, 3000), None, True)
    board = Board()
    element = s0.make({"kind": "s0", "pulses_per_kwh": 800}, board)
    pin = Contact()
    for level in (0, 1):
        pin.level = level
        board.given["s0_import"](pin)
        ticks.now += 40
    element.step()
    assert element.read(0) == (1250, 0)
    assert "s0_export" not in board.given


@pytest.mark.parametrize("wrong", [{}, {"pulses_per_kwh": 0}, {"pulses_per_kwh": 9, "pulse_ms": 0}])
def test_pulses_without_a_worth_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(NotConfigured, match="pulses_per_kwh"):
        s0.make({"kind": "s0", **wrong}, Board())


def test_the_interrupt_handler_allocates_nothing() -> None:
    said = on_micropython(
        "import micropython\n"
        "from meter.elements import s0\n"
        "class Clock:\n"
        "    now = 0\n"
        "    def ticks_ms(self):\n"
        "        return self.now\n"
        "    def ticks_diff(self, a, b):\n"
        "        return a - b\n"
        "class Pin:\n"
        "    level = 1\n"
        "    def value(self):\n"
        "        return self.level\n"
        "clock, pin = Clock(), Pin()\n"
        "line = s0.Line(20, clock)\n"
        "edge = line.edge\n"
        "clock.now, pin.level = 1000, 1\n"
        "def pulse(times):\n"
        "    for i in range(times):\n"
        "        clock.now += 40\n"
        "        pin.level = 1 - pin.level\n"
        "        edge(pin)\n"
        "micropython.heap_lock()\n"
        "pulse(2000)\n"
        "micropython.heap_unlock()\n"
        "print(line.value(), s0.S0(1000, [line, None], [line]).read(0))\n"
    )
    assert said == "1000 (1000000, 0)"
