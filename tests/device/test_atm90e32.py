"""The ATM90E32 against a scripted one: each tick counted once, whatever its bus does."""

import random
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter.config import NotConfigured
from meter.elements import atm90e32
from tests.device.element_bench import Board, Clock, on_micropython, ticking


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return ticking(monkeypatch)


MARKED, ENERGY_IN, ENERGY_OUT, LAST = 0x0B, 0x80, 0x84, 0x78
DEFAULTS = {MARKED: 0xC000, 0x31: 0x0861, 0x32: 0xC468, 0x33: 0x0087, 0x61: 0x8000, 0x62: 0x8000}
CLEARED_BY_READING = range(0x80, 0xB0)


class Atm:
    """The chip on its bus, by its data sheet; `lose` and `damage` are what the bus does."""

    def __init__(self) -> None:
        self.registers = dict(DEFAULTS)
        self.there = True
        self.resets = 0
        self.lose: Callable[[], bool] = lambda: False
        self.damage: Callable[[int], int] = lambda word: word
        self._selected = False
        self._open_for_writing = False

    def __call__(self, level: int) -> None:
        """Be the chip select."""
        self._selected = not level

    def write_readinto(self, out: bytes, into: bytearray) -> None:
        assert self._selected
        assert len(out) == len(into) == 4
        into[:] = b"\xff\xff" + struct.pack(">H", self._transfer(*struct.unpack(">HH", out)))

    def _transfer(self, command: int, value: int) -> int:
        if not self.there:
            return 0xFFFF
        address = command & 0x3FF
        if command & 0x8000:
            word = self.registers.get(address, 0)
            if self.lose():  # Not 32 clocks: whatever comes out, nothing was done.
                return self.damage(word)
            if address != LAST:
                self.registers[LAST] = word
            if address in CLEARED_BY_READING:
                self.registers[address] = 0
            return self.damage(word)
        if not self.lose():
            self._write(address, value)
        return 0

    def _write(self, address: int, value: int) -> None:
        self.registers[LAST] = value
        if address == 0x70:
            assert value == 0x789A
            self.reset()
        elif address == 0x7F:
            self._open_for_writing = value == 0x55AA
        elif self._open_for_writing:
            self.registers[address] = value

    def reset(self) -> None:
        """As after a loss of power."""
        self.registers = dict(DEFAULTS)
        self.resets += 1
        self._open_for_writing = False

    def count(self, forward: int, reverse: int) -> None:
        """Energy flows, while the chip measures."""
        if self.registers.get(0):
            for address, ticks in ((ENERGY_IN, forward), (ENERGY_OUT, reverse)):
                self.registers[address] = self.registers.get(address, 0) + ticks


CALIBRATION = [{"u_gain": 30_000 + i, "i_gain": 20_000 + i, "u_offset": -5} for i in range(3)]
SETTINGS = {"kind": "atm90e32", "pulses_per_kwh": 3200, "phases": CALIBRATION, "m_mode_1": 0x15}


def atm(ticks: Clock, **changed: Any) -> tuple[Atm, Any]:
    chip = Atm()
    return chip, atm90e32.make({**SETTINGS, **changed}, Board(spi=(chip, chip)))


def test_the_chip_gets_its_calibration_and_starts_to_measure(ticks: Clock) -> None:
    chip, element = atm(ticks)
    assert element.read(0) == (0, 0)
    written = {at: chip.registers[at] for at in (0, 0x31, 0x32, 0x33, 0x34, 0x61, 0x65, 0x6A, 0x6B)}
    assert written == {
        0: 1,
        0x31: 0x0861,
        0x32: 0xC468,
        0x33: 0x87,
        0x34: 0x15,
        0x61: 30_000,
        0x65: 30_001,
        0x6A: 20_002,
        0x6B: 0xFFFB,
    }
    assert (element.restarts, element.volatile) == (0, True)


def test_ticks_become_milliwatt_hours_without_drift(ticks: Clock) -> None:
    chip, element = atm(ticks)
    element.read(0)
    for _ in range(1000):
        ticks.now += 1000
        chip.count(7, 3)
        element.step()
    assert element.read(0) == (7000 * 10_000 // 3200, 3000 * 10_000 // 3200)


def test_three_phases_are_measured_with_signs(ticks: Clock) -> None:
    chip, element = atm(ticks)
    assert element.measure() is None
    element.read(0)
    power = -2_000_000 & 0xFFFFFFFF
    for i in range(3):
        chip.registers.update({0xD9 + i: 23_040 + i, 0xDD + i: 10_500})
        chip.registers.update({0xB1 + i: power >> 16, 0xC1 + i: power & 0xFFFF})
    chip.registers[0xF8] = 4_998
    frequency, phases = element.measure()
    assert frequency == 49_980
    assert phases[2] == (230_420, 10_500, -640_000)
    chip.there = False
    assert element.measure() == (655_350, ((655_350, 65_535, -1),) * 3) or element.measure() is None


def test_a_board_that_starts_again_takes_what_the_chip_has_counted(ticks: Clock) -> None:
    chip, element = atm(ticks)
    element.read(0)
    chip.count(500, 20)
    again = atm90e32.make(SETTINGS, Board(spi=(chip, chip)))
    assert again.read(0) == (500 * 10_000 // 3200, 20 * 10_000 // 3200)
    assert (again.restarts, chip.resets) == (0, 1)


def test_a_chip_that_lost_its_power_is_configured_again(ticks: Clock) -> None:
    chip, element = atm(ticks)
    element.read(0)
    chip.count(10, 0)
    ticks.now += 1000
    element.step()
    chip.reset()
    assert element.read(0) == (10 * 10_000 // 3200, 0)
    assert element.restarts == 1
    assert chip.registers[0x61] == 30_000


def test_a_calibration_that_changed_by_itself_is_held_once_and_repaired(ticks: Clock) -> None:
    chip, element = atm(ticks)
    element.read(0)
    chip.registers[0x62] ^= 0x0400
    assert element.read(0) is None
    assert element.read(0) == (0, 0)
    assert chip.registers[0x62] == 20_000


@pytest.mark.parametrize("says", [0, 0xFFFF])
def test_a_silent_bus_is_held_and_resets_nothing(ticks: Clock, says: int) -> None:
    chip, element = atm(ticks)
    element.read(0)
    resets = chip.resets
    chip.count(50, 0)
    chip.damage = lambda word: says
    for _ in range(5):
        ticks.now += 1000
        element.step()
        assert element.read(0) is None
    assert element.measure() is None
    chip.damage = lambda word: word
    assert (element.read(0), chip.resets) == ((50 * 10_000 // 3200, 0), resets)


def test_more_than_the_chip_can_measure_is_another_register(ticks: Clock) -> None:
    chip, element = atm(ticks)
    element.read(0)
    ticks.now += 1000
    plain = chip._transfer

    def astray(command: int, value: int) -> int:
        return plain(0x80D9 if command == 0x8080 else command, value)

    chip.registers[0xD9] = 23_000
    chip._transfer = astray  # type: ignore[method-assign]
    assert element.read(0) is None
    chip._transfer = plain  # type: ignore[method-assign]
    assert element.read(0) == (0, 0)


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32), st.integers(1, 12))
def test_whatever_the_bus_does_each_tick_is_counted_once(seed: int, rarely: int) -> None:
    clock, chance = Clock(), random.Random(seed)
    chip = Atm()
    registers = [(0x61, 30_000), (0x62, 20_000)]
    element = atm90e32.Atm90e32(chip, chip, registers, 3200, clock=clock)
    assert element.read(0) == (0, 0)
    chip.lose = lambda: chance.randrange(rarely + 1) == 0
    chip.damage = lambda word: (
        word ^ (chance.getrandbits(16) if chance.randrange(rarely) == 0 else 0)
    )
    flowed = [0, 0]
    resets = chip.resets
    for _ in range(40):
        ticks = chance.randrange(1500), chance.randrange(1500)
        chip.count(*ticks)
        flowed = [flowed[0] + ticks[0], flowed[1] + ticks[1]]
        clock.now += 1000
        element.step()
        found = element.read(0)
        if found is not None:
            assert all(
                value <= all_ * 10_000 // 3200 for value, all_ in zip(found, flowed, strict=True)
            )
    chip.lose, chip.damage = lambda: False, lambda word: word
    clock.now += 1000
    if chip.resets == resets:
        assert element.read(0) == tuple(ticks * 10_000 // 3200 for ticks in flowed)


@pytest.mark.parametrize(
    "wrong",
    [
        {"phases": []},
        {"phases": CALIBRATION * 2},
        {"phases": [{"u_gain": 1}]},
        {"phases": [{"u_gain": 1, "i_gain": 1, "colour": 3}]},
        {"pulses_per_kwh": 100},
    ],
)
def test_a_wrong_calibration_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(NotConfigured, match=r"phase|colour"):
        atm90e32.make({**SETTINGS, **wrong}, Board(spi=(None, None)))


def test_micropython_reads_an_atm90e32() -> None:
    said = on_micropython(
        "from meter.elements import atm90e32\n"
        "class Chip:\n"
        "    registers, resets = {0x61: 0x8000, 0x0b: 0xc000}, 0\n"
        "    def __call__(self, level):\n"
        "        pass\n"
        "    def write_readinto(self, out, into):\n"
        "        address, value = (out[0] & 3) << 8 | out[1], out[2] << 8 | out[3]\n"
        "        if out[0] & 0x80:\n"
        "            value = self.registers.get(address, 0)\n"
        "            if 0x80 <= address < 0xb0:\n"
        "                self.registers[address] = 0\n"
        "        else:\n"
        "            self.registers[address] = value\n"
        "        if address != 0x78:\n"
        "            self.registers[0x78] = value\n"
        "        into[2], into[3] = value >> 8, value & 255\n"
        "chip = Chip()\n"
        "class Board:\n"
        "    def element_spi(self):\n"
        "        return chip, chip\n"
        f"element = atm90e32.make({SETTINGS!r}, Board())\n"
        "print(element.read(0))\n"
        "chip.registers[0x80] = 320\n"
        "chip.registers[0xb1], chip.registers[0xc1] = 0xffff, 0xfc18\n"
        "print(element.read(0), element.measure()[1][0])\n"
    )
    assert said.splitlines() == ["(0, 0)", "(1000, 0) (0, 0, -320)"]
