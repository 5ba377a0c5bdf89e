"""The board: an ESP32 (WROOM or WROVER module, classic ESP32), on stock MicroPython.

Decides which pin does what; docs/WIRING.md draws it. The console is UART 0 over the USB bridge, the
RS-485 line UART 2, and UART 1 serves the element or the receiver. Inputs that tell of tampering are
closed contacts to ground, so that a cut wire tells too. Copied to the board as /board.py, and with
it the only code that knows `machine`.
"""

import time

import machine
import micropython

from meter import NotConfigured
from meter.clock import EPOCH_S
from meter.rs485 import Rs485

KIND = "esp32"
PINS = {
    "rs485_tx": 27,
    "rs485_rx": 26,
    "rs485_de": 25,
    "uart_tx": 32,
    "uart_rx": 33,
    "spi_sck": 18,
    "spi_miso": 19,
    "spi_mosi": 23,
    "spi_cs": 5,
    "i2c_sda": 21,
    "i2c_scl": 22,
    "s0_import": 13,
    "s0_export": 14,
    "cover": 34,  # 34 to 39 are inputs without pull-ups of their own.
    "terminal_cover": 35,
    "magnet": 39,
    "jumper": 4,
}
PULSE_UNITS = {"s0_import": 0, "s0_export": 1}  # Of the hardware's pulse counters.
PULSE_FILTER_NS = 12000  # As long as they go; the filter in front of the pin does the rest.
SPI_BAUDRATE = 200000
I2C_FREQUENCY = 100000
NEVER_SET_BEFORE_S = 1704067200  # 2024: a clock that says less was not set.

_uart_1 = []


def _pin(name, *mode):
    return machine.Pin(PINS[name], *mode)


_cover = _pin("cover", machine.Pin.IN)
_terminal_cover = _pin("terminal_cover", machine.Pin.IN)
_magnet = _pin("magnet", machine.Pin.IN)
_jumper = _pin("jumper", machine.Pin.IN, machine.Pin.PULL_UP)


def rs485(baudrate):
    """The line to the gateway."""
    tx, rx = _pin("rs485_tx"), _pin("rs485_rx")
    uart = machine.UART(2, baudrate, tx=tx, rx=rx, timeout=0, txbuf=512, rxbuf=512)
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
    spi = machine.SPI(2, SPI_BAUDRATE, polarity=1, phase=1, sck=sck, mosi=mosi, miso=miso)
    chip_select = _pin("spi_cs", machine.Pin.OUT)
    chip_select(1)
    return spi, chip_select


def pulse_input(pin_name, on_edge):
    """A counter in hardware, or None when `on_edge` is called with the pin at each edge.

    The hardware counts while flash is written, when this port runs no handler.
    """
    pin = _pin(pin_name, machine.Pin.IN, machine.Pin.PULL_UP)
    if hasattr(machine, "Counter"):
        counter = machine.Counter
        unit = PULSE_UNITS[pin_name]
        return counter(unit, pin, edge=counter.FALLING, filter_ns=PULSE_FILTER_NS)
    pin.irq(on_edge, machine.Pin.IRQ_FALLING | machine.Pin.IRQ_RISING)
    return None


def i2c():
    """The bus of the secure element, slow enough to wake it."""
    return machine.I2C(0, scl=_pin("i2c_scl"), sda=_pin("i2c_sda"), freq=I2C_FREQUENCY)


def inputs():
    """(cover open, terminal cover open, magnet near); open contacts, cut wires and all."""
    return bool(_cover.value()), bool(_terminal_cover.value()), bool(_magnet.value())


def jumper():
    """Whether the service jumper is set."""
    return not _jumper.value()


def watchdog(timeout_ms):
    """A watchdog that resets the board unless it is fed; nothing stops it."""
    return machine.WDT(timeout=timeout_ms)


def rtc_s():
    """Unix s from the clock that outlives a reset, or None when it was never set."""
    now_s = time.time() + EPOCH_S
    return now_s if now_s >= NEVER_SET_BEFORE_S else None


def set_rtc(unix_s, ms):
    """Set that clock."""
    year, month, day, hour, minute, second, weekday = time.gmtime(unix_s - EPOCH_S)[:7]
    machine.RTC().datetime((year, month, day, weekday, hour, minute, second, ms * 1000))


def lock():
    """From now on Ctrl-C stops nothing."""
    micropython.kbd_intr(-1)


def reset():
    """As if the power had been cut; does not return."""
    machine.reset()


def unique_id():
    """The chip's number, 6 bytes."""
    return machine.unique_id()
