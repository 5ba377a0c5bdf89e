"""The modules of MicroPython that a board file needs, remembering what it does with them.

`installed` puts them in `sys.modules` and loads a board file as its own module. The state machine
of the RP2040's PIO really runs: its program is assembled by calling it, as `rp2.asm_pio` does.
"""

import importlib.util
import sys
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

BOARDS = Path(__file__).parents[2] / "device" / "firmware" / "boards"


class Pin:
    """A pin; all of one number are the same one."""

    IN, OUT, PULL_UP = "in", "out", "pull-up"
    IRQ_FALLING, IRQ_RISING = 1, 2
    made: ClassVar[dict[int, "Pin"]] = {}
    number: int
    mode: tuple[Any, ...]
    level: int
    history: list[int]
    handler: Callable[["Pin"], None] | None

    def __new__(cls, number: int, *mode: Any) -> "Pin":
        pin = cls.made.get(number)
        if pin is None:
            pin = cls.made[number] = super().__new__(cls)
            pin.number, pin.level, pin.history, pin.handler = number, 1, [], None
            pin.mode = ()
        pin.mode = mode or pin.mode
        return pin

    def value(self) -> int:
        return self.level

    def __call__(self, level: int) -> None:
        assert self.mode[0] == Pin.OUT
        self.level = level
        self.history.append(level)

    def irq(self, handler: Callable[["Pin"], None], trigger: int) -> None:
        assert trigger == Pin.IRQ_FALLING | Pin.IRQ_RISING
        self.handler = handler


class Uart:
    """A UART whose bytes take their time, on the board's ticks."""

    def __init__(self, number: int, baudrate: int, **settings: Any) -> None:
        self.number, self.baudrate, self.settings = number, baudrate, settings
        self.received = b""
        self.sent: list[tuple[bytes, int]] = []
        self.enable: Pin | None = None
        self.asked = 0
        self.busy_for = 3
        """Questions until it is done; -1 when it never is."""

    def write(self, data: bytes) -> int:
        self.sent.append((data, self.enable.level if self.enable else -1))
        self.asked = 0
        return len(data)

    def txdone(self) -> bool:
        if self.enable:
            assert self.enable.level == 1, "the driver was off before the last bit was out"
        self.asked += 1
        return self.asked > self.busy_for >= 0

    def any(self) -> int:
        return len(self.received)

    def read(self, size: int) -> bytes | None:
        taken, self.received = self.received[:size], self.received[size:]
        return taken or None


class Thing:
    """An SPI, I2C, WDT, Counter: what it was made with."""

    FALLING = "falling"

    def __init__(self, *given: Any, **settings: Any) -> None:
        self.given, self.settings = given, settings


class Rtc:
    """The clock: what it was set to."""

    set_to: tuple[int, ...] = ()

    def datetime(self, moment: tuple[int, ...]) -> None:
        Rtc.set_to = moment


class Program:
    """A PIO program, assembled."""

    def __init__(self, function: Callable[[], None]) -> None:
        self.code: list[tuple[str, tuple[Any, ...]]] = []
        self.labels: dict[str, int] = {}
        self.wrap_target = 0

        def emit(name: str) -> Callable[..., None]:
            return lambda *operands: self.code.append((name, operands))

        names: dict[str, Any] = {name: emit(name) for name in ("mov", "push", "jmp", "set")}
        names["label"] = lambda name: self.labels.update({name: len(self.code)})
        names["wrap_target"] = lambda: setattr(self, "wrap_target", len(self.code))
        names["wrap"] = lambda: None
        names["invert"] = lambda operand: ("invert", operand)
        names.update({word: word for word in ("x", "y", "isr", "null", "pin", "noblock")})
        names.update(x_dec="x--", y_dec="y--")
        types.FunctionType(function.__code__, names)()


class StateMachine:
    """One state machine of PIO; `run` lets its pin stand for some milliseconds."""

    made: ClassVar[list["StateMachine"]] = []

    def __init__(self, number: int, program: Program, freq: int, jmp_pin: Pin) -> None:
        assert 2289 <= freq <= 125_000_000  # The slowest of an RP2350.
        assert len(program.code) <= 32
        self.number, self._program, self._freq, self._pin = number, program, freq, jmp_pin
        self._at = self._x = self._y = self._isr = 0
        self._fifo: list[int] = []
        self._active = False
        StateMachine.made.append(self)

    def active(self, on: int) -> None:
        self._active = bool(on)

    def rx_fifo(self) -> int:
        return len(self._fifo)

    def get(self) -> int:
        assert self._active
        for _ in range(100):
            if self._fifo:
                return self._fifo.pop(0)
            self._step()
        raise AssertionError("the reader would wait for ever")

    def run(self, level: int, ms: float) -> None:
        self._pin.level = level
        for _ in range(int(ms * self._freq) // 1000):
            self._step()

    def _step(self) -> None:
        program = self._program
        name, operands = program.code[self._at]
        self._at += 1
        if self._at == len(program.code):
            self._at = program.wrap_target
        if name == "jmp":
            if self._jumps(*operands[:-1]):
                self._at = program.labels[operands[-1]]
        elif name == "push":
            assert operands == ("noblock",)
            if len(self._fifo) < 4:
                self._fifo.append(self._isr)
            self._isr = 0
        elif name == "set":
            assert operands[0] == "y"
            self._y = operands[1]
            assert self._y < 32
        else:
            self._move(*operands)

    def _jumps(self, condition: str = "always") -> bool:
        if condition == "x--":
            before, self._x = self._x, (self._x - 1) & 0xFFFFFFFF
            return before != 0
        if condition == "y--":
            before, self._y = self._y, (self._y - 1) & 0xFFFFFFFF
            return before != 0
        return condition == "always" or bool(self._pin.level)

    def _move(self, to: str, source: tuple[str, str]) -> None:
        value = {"x": self._x, "null": 0}[source[1]] ^ 0xFFFFFFFF
        if to == "x":
            self._x = value
        else:
            self._isr = value


def modules() -> dict[str, types.ModuleType]:
    """machine, micropython and rp2, with what boards use of them."""
    machine, micropython, rp2 = (types.ModuleType(n) for n in ("machine", "micropython", "rp2"))
    calls: list[str] = []
    for name, thing in (("Pin", Pin), ("UART", Uart), ("RTC", Rtc)):
        setattr(machine, name, thing)
    for name in ("SPI", "I2C", "WDT", "Counter"):
        setattr(machine, name, type(name, (Thing,), {}))
    machine.__dict__.update(
        calls=calls, reset=lambda: calls.append("reset"), unique_id=lambda: b"\x01\x02"
    )
    micropython.__dict__.update(kbd_intr=lambda key: calls.append(f"kbd_intr {key}"))
    rp2.__dict__.update(asm_pio=lambda: Program, StateMachine=StateMachine)
    return {"machine": machine, "micropython": micropython, "rp2": rp2}


@contextmanager
def installed(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A board file, loaded on a fresh fake board; `board.machine` is the fake."""
    Pin.made = {}
    StateMachine.made = []
    Rtc.set_to = ()
    ticks = [0]

    def ticks_ms() -> int:
        ticks[0] += 1
        return ticks[0]

    monkeypatch.setattr(time, "ticks_ms", ticks_ms, raising=False)
    monkeypatch.setattr(time, "ticks_diff", lambda a, b: a - b, raising=False)
    for module_name, module in modules().items():
        monkeypatch.setitem(sys.modules, module_name, module)
    spec = importlib.util.spec_from_file_location(f"board_{name}", BOARDS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    board = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(board)
    yield board
