"""The board: a Raspberry Pi Pico (RP2040, or RP2350 as Pico 2), on stock MicroPython.

Decides which pin does what; docs/WIRING.md draws it. The console is USB, the RS-485 line UART 0,
and UART 1 serves the element or the receiver. Pulses are counted by PIO, which goes on while flash
is written and every interrupt waits. Inputs that tell of tampering are closed contacts to ground,
so that a cut wire tells too. Copied to the board as /board.py, and with it the only code that knows
`machine`.
"""

import time

import machine
import micropython
import rp2

from meter import NotConfigured
from meter.clock import EPOCH_S
from meter.rs485 import Rs485

KIND = "rp2040"
PINS = {
    "rs485_tx": 0,
    "rs485_rx": 1,
    "rs485_de": 2,
    "uart_tx": 4,
    "uart_rx": 5,
    "spi_sck": 18,
    "spi_miso": 16,
    "spi_mosi": 19,
    "spi_cs": 17,
    "i2c_sda": 6,
    "i2c_scl": 7,
    "s0_import": 10,
    "s0_export": 11,
    "cover": 12,
    "terminal_cover": 13,
    "magnet": 14,
    "jumper": 15,
}
STATE_MACHINES = {"s0_import": 0, "s0_export": 1}
PIO_FREQUENCY = 4000  # Four instructions a millisecond.
SPI_BAUDRATE = 200000
I2C_FREQUENCY = 100000
LONGEST_WATCHDOG_MS = 8388
NEVER_SET_BEFORE_S = 1704067200  # 2024: a clock that says less was not set.

_uart_1 = []


def _pin(name, *mode):
    return machine.Pin(PINS[name], *mode)


def _contact(name):
    return _pin(name, machine.Pin.IN, machine.Pin.PULL_UP)


_cover = _contact("cover")
_terminal_cover = _contact("terminal_cover")
_magnet = _contact("magnet")
_jumper = _contact("jumper")


# The names of PIO's instructions exist only while asm_pio runs this once.
# ruff: noqa: F821
@rp2.asm_pio()
def _count_pulses():
    """Count what is low for 20 ms and then high for 5; tell the count all the time.

    X counts down from all ones, as PIO cannot add. A full FIFO takes nothing: the reader empties it
    and waits for the next, at most 2 ms.
    """
    mov(x, invert(null))
    wrap_target()
    label("rest")
    mov(isr, invert(x))
    push(noblock)
    jmp(pin, "rest")
    set(y, 19)
    label("low")
    mov(isr, invert(x))
    push(noblock)
    jmp(pin, "rest")
    jmp(y_dec, "low")
    jmp(x_dec, "hold")
    label("hold")
    set(y, 3)
    label("high")
    mov(isr, invert(x))
    push(noblock)
    jmp(pin, "open")
    jmp("hold")
    label("open")
    jmp(y_dec, "high")
    wrap()


class PulseCounter:
    """A state machine that counts the pulses at a pin."""

    def __init__(self, number, pin):
        """Begin at zero."""
        self._machine = rp2.StateMachine(number, _count_pulses, freq=PIO_FREQUENCY, jmp_pin=pin)
        self._machine.active(1)

    def value(self):
        """Pulses so far."""
        while self._machine.rx_fifo():
            self._machine.get()  # Old.
        return self._machine.get()


def rs485(baudrate):
    """The line to the gateway."""
    tx, rx = _pin("rs485_tx"), _pin("rs485_rx")
    uart = machine.UART(0, baudrate, tx=tx, rx=rx, timeout=0, txbuf=512, rxbuf=512)
    return Rs485(uart, _pin("rs485_de", machine.Pin.OUT), baudrate)


def _second_uart(user, baudrate):
    if _uart_1:
        raise NotConfigured(
            "UART 1 of this board serves the %s, so not the %s" % (_uart_1[0], user)
        )
    _uart_1.append(user)
    tx, rx = _pin("uart_tx"), _pin("uart_rx")
    return machine.UART(1, baudrate, tx=tx, rx=rx, timeout=0, rxbuf=512)


def element_uart(baudrate):
    """For a PZEM-004T."""
    return _second_uart("element", baudrate)


def receiver_uart(baudrate):
    """For a satellite receiver."""
    return _second_uart("receiver", baudrate)


def element_spi():
    """(SPI in mode 3, chip select) for an ATM90E32."""
    sck, miso, mosi = _pin("spi_sck"), _pin("spi_miso"), _pin("spi_mosi")
    spi = machine.SPI(0, SPI_BAUDRATE, polarity=1, phase=1, sck=sck, mosi=mosi, miso=miso)
    chip_select = _pin("spi_cs", machine.Pin.OUT)
    chip_select(1)
    return spi, chip_select


def pulse_input(pin_name, on_edge):
    """A counter in hardware: `on_edge` is never called."""
    return PulseCounter(STATE_MACHINES[pin_name], _contact(pin_name))


def i2c():
    """The bus of the secure element, slow enough to wake it."""
    return machine.I2C(1, scl=_pin("i2c_scl"), sda=_pin("i2c_sda"), freq=I2C_FREQUENCY)


def inputs():
    """(cover open, terminal cover open, magnet near); open contacts, cut wires and all."""
    return bool(_cover.value()), bool(_terminal_cover.value()), bool(_magnet.value())


def jumper():
    """Whether the service jumper is set."""
    return not _jumper.value()


def watchdog(timeout_ms):
    """A watchdog that resets the board unless it is fed; nothing stops it."""
    return machine.WDT(timeout=min(timeout_ms, LONGEST_WATCHDOG_MS))


def rtc_s():
    """Unix s from the clock of the chip, or None when it was never set."""
    now_s = time.time() + EPOCH_S
    return now_s if now_s >= NEVER_SET_BEFORE_S else None


def set_rtc(unix_s, ms):
    """Set that clock, to the nearest second: this port knows no parts of one."""
    unix_s += ms >= 500
    year, month, day, hour, minute, second, weekday = time.gmtime(unix_s - EPOCH_S)[:7]
    machine.RTC().datetime((year, month, day, weekday, hour, minute, second, 0))


def lock():
    """From now on Ctrl-C stops nothing."""
    micropython.kbd_intr(-1)


def reset():
    """As if the power had been cut; does not return."""
    machine.reset()


def unique_id():
    """The chip's number, 8 bytes."""
    return machine.unique_id()
