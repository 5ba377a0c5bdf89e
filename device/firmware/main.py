"""The board: lines, files and clocks of this one, and the loop. The only file with `machine`.

Everything that decides is in the package `meter`. On a board without a configuration or a key this
says so and ends, which leaves the console to the provisioning tool.
"""

import gc
import select
import time

import machine

from meter import config, signing, software
from meter.app import Meter
from meter.clock import BusClock, PacedClock
from meter.elements.simulated import SimulatedElement
from meter.log import Log
from meter.modbus import Server

LOOK_AGAIN_MS = 10  # How often time is looked at while the line is quiet.
SILENCE_MS = 20  # After which part of a frame is no frame.
ELEMENTS = {"simulated": lambda settings: SimulatedElement(settings["profile"])}


def make_meter(settings):
    """Bring this board's parts together."""

    def make_clock(times_set, set_at_s):
        if settings["paced_time_file"]:
            return PacedClock(settings["paced_time_file"])
        return BusClock(time.ticks_ms, time.ticks_diff, times_set, set_at_s)

    element = settings["element"]
    return Meter(
        settings,
        signing.SoftSigner(signing.load_key()),
        software.software_id(),
        make_clock,
        ELEMENTS[element["kind"]](element),
        Log("/log"),
        "/state.json",
    )


def serve(meter, server, uart):
    """Answer the line and let the meter work, for ever."""
    poller = select.poll()
    poller.register(uart, select.POLLIN)
    heard = time.ticks_ms()
    while True:
        answer = b""
        if poller.poll(0 if meter.busy else LOOK_AGAIN_MS):
            answer = server.feed(uart.read(256) or b"")
            heard = time.ticks_ms()
        elif server.waiting and time.ticks_diff(time.ticks_ms(), heard) >= SILENCE_MS:
            answer = server.silence()
        if answer:
            uart.write(answer)
        meter.step()


def main():
    """Run the meter if this board is one."""
    try:
        settings = config.load()
        signing.self_test()
        meter = make_meter(settings)
    except config.NotConfigured as error:
        print("not configured:", error)
        return
    uart = machine.UART(0, settings["baudrate"])
    while meter.busy:  # The record that a power cut interrupted.
        meter.step()
    meter.step()  # Knows from here on which interval it is awake in.
    gc.collect()
    print("meter", settings["meter"], "serves unit", settings["unit"])
    serve(meter, Server(settings["unit"], meter.map), uart)


main()
