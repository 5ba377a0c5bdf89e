"""The board: lines, files and clocks of this one, and the loop. The only file with `machine`.

Everything that decides is in the package `meter`. On a board without a configuration or a key this
says so and ends, which leaves the console to the provisioning tool.
"""

import gc
import select
import sys
import time

import machine

LOOK_AGAIN_MS = 10  # How often time is looked at while the line is quiet.
SILENCE_MS = 20  # After which part of a frame is no frame.
SWEEP_BYTES = 1024  # While modules are loaded: what stays would lie scattered among what goes.


def look_around():
    """The configuration and the software id, or None when this is no meter yet.

    The modules that tell them, each as large as a signature's working memory, go again.
    """
    from meter import config, software

    try:
        return config.load(), software.software_id()
    except config.NotConfigured as error:
        print("not configured:", error)
        return None
    finally:
        forget("config", "software")


def forget(*modules):
    """Give back the memory of modules that only a start needs."""
    import meter

    for name in modules:
        del sys.modules["meter." + name]
        delattr(meter, name)


def make_meter(settings, software_id):
    """Bring this board's parts together."""
    from meter import signing
    from meter.app import Meter
    from meter.clock import BusClock
    from meter.elements.simulated import SimulatedElement
    from meter.log import Log

    def make_clock(times_set, set_at_s):
        if settings["paced_time_file"]:
            from meter.paced_clock import PacedClock

            return PacedClock(settings["paced_time_file"])
        return BusClock(time.ticks_ms, time.ticks_diff, times_set, set_at_s)

    signing.self_test()
    return Meter(
        settings,
        signing.SoftSigner(signing.load_key()),
        software_id,
        make_clock,
        SimulatedElement(settings["element"]["profile"]),
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
    gc.threshold(SWEEP_BYTES)
    found = look_around()
    if found is None:
        return
    settings, software_id = found
    from meter.modbus import Server

    meter = make_meter(settings, software_id)
    uart = machine.UART(0, settings["baudrate"])
    while meter.busy:  # The record that a power cut interrupted.
        meter.step()
    meter.step()  # Knows from here on which interval it is awake in.
    gc.collect()
    gc.threshold(gc.mem_free() // 4)  # Never in a large heap, often in a small one.
    print("meter", settings["meter"], "serves unit", settings["unit"])
    serve(meter, Server(settings["unit"], meter.map), uart)


main()
