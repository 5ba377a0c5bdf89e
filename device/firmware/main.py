"""The meter's program: starts the parts that the configuration names, and the loop.

Everything that decides is in the package `meter`, everything about pins in `board`. On a board
without a configuration or a key this says so and ends, which leaves the console to the provisioning
tool; so do the service jumper, and Ctrl-C within the service window or, on a board that is not
locked, at any time. Anything else that ends the meter is noted and ends in a reset.
"""

import gc
import select
import sys
import time

import board

LOOK_AGAIN_MS = 10  # How often time is looked at while the line is quiet.
SILENCE_MS = 20  # After which part of a frame is no frame.
SILENT_MS = {"line": 5000, "meter": 60000}  # How long a task may make no progress.
CRASH_PAUSE_MS = 1000
SWEEP_BYTES = 1024  # While modules are loaded: what stays would lie scattered among what goes.


class NoWatchdog:
    """A board that anybody may stop has none: it would reset under the technician's hands."""

    def feed(self):
        """Nothing to feed."""


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
    from meter import signing, wiring
    from meter.app import Meter
    from meter.clock import BusClock
    from meter.storage import Storage

    def make_clock(times_set, set_at_s):
        if settings["paced_time_file"]:
            from meter.paced_clock import PacedClock

            return PacedClock(settings["paced_time_file"])
        return BusClock(time.ticks_ms, time.ticks_diff, times_set, set_at_s)

    signing.self_test()
    meter = Meter(
        settings,
        wiring.signer(settings, board),
        software_id,
        make_clock,
        wiring.element(settings, board),
        Storage("", settings["log_days"], settings["interval_s"]),
        board.rtc_s(),
    )
    meter.receiver = wiring.receiver(settings, board)
    meter.inputs = board.inputs
    meter.set_rtc = board.set_rtc
    forget("wiring")
    return meter


def hand_over_notes(meter):
    """What was noted before this start becomes events."""
    from meter import notes

    notes.hand_over(meter)
    forget("notes")


def note(kind, *details):
    """Keep a note for the next start."""
    from meter import notes

    getattr(notes, kind)(*details)


def serve(meter, server, uart, supervisor):
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
        supervisor.progress("line")
        if meter.step():
            supervisor.progress("meter")
        supervisor.check()


def run(settings, software_id):
    """Be the meter; ends only by an exception."""
    from meter.modbus import Server
    from meter.supervisor import Supervisor

    meter = make_meter(settings, software_id)
    hand_over_notes(meter)
    uart = board.rs485(settings["baudrate"])
    watchdog = NoWatchdog()
    if settings["locked"]:
        board.lock()
        watchdog = board.watchdog(settings["watchdog_ms"])
    supervisor = Supervisor(time.ticks_ms, time.ticks_diff, watchdog, SILENT_MS)
    meter.step()  # Knows from here on which interval it is awake in.
    gc.collect()
    gc.threshold(gc.mem_free() // 4)  # Never in a large heap, often in a small one.
    print("meter", settings["meter"], "serves unit", settings["unit"])
    serve(meter, Server(settings["unit"], meter.map), uart, supervisor)


def live():
    """Run the meter if this board is one; returns when a technician is to have the console."""
    found = look_around()
    if found is None:
        return
    settings, software_id = found
    window_ms = settings["service_window_ms"]
    if window_ms:
        print("service window: Ctrl-C within", window_ms, "ms stops the meter")
        time.sleep_ms(window_ms)
    run(settings, software_id)


def main():
    """Leave a board in one of three ways: at its prompt, at work, or in a reset."""
    gc.threshold(SWEEP_BYTES)
    if board.jumper():
        print("service: the jumper is set")
        return
    try:
        live()
    except KeyboardInterrupt:
        note("session")
        print("service: the meter has stopped")
    except Exception as error:
        kind = type(error).__name__
        print("not running:", kind, error)
        if kind not in ("StateLost", "SelfTestFailed", "NotConfigured"):
            note("crash", error)
            time.sleep_ms(CRASH_PAUSE_MS)
            board.reset()


main()
