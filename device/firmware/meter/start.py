"""The start of a meter: from a board and its files to the parts that work together.

Decides the order of a start. Nothing of this is needed once the meter runs: `main` forgets it.
"""

import gc
import sys
import time

import board

_SILENT_MS = {"line": 5000, "meter": 60000}  # How long a task may make no progress.


class _NoWatchdog:
    """A board that anybody may stop has none: it would reset under the technician's hands."""

    def feed(self):
        """Nothing to feed."""


def forget(*modules):
    """Give back the memory of modules that only a start needs."""
    import meter

    for name in modules:
        if sys.modules.pop("meter." + name, None):
            delattr(meter, name)
    gc.collect()


def start():
    """The parts of a meter that serves (meter, server, line, supervisor), or None if it is none."""
    found = look_around()
    if found is None:
        return None
    settings, software_id = found
    window_ms = settings["service_window_ms"]
    if window_ms:
        print("service window: Ctrl-C within", window_ms, "ms stops the meter")
        time.sleep_ms(window_ms)
    from meter.modbus import Server
    from meter.supervisor import Supervisor

    meter = make_meter(settings, software_id)
    line = board.rs485(settings["baudrate"])
    watchdog = _NoWatchdog()
    if settings["locked"]:
        board.lock()
        watchdog = board.watchdog(settings["watchdog_ms"])
    supervisor = Supervisor(time.ticks_ms, time.ticks_diff, watchdog, _SILENT_MS)
    print("meter", settings["meter"], "serves unit", settings["unit"])
    return meter, Server(settings["unit"], meter.map), line, supervisor


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


def make_meter(settings, software_id):
    """Bring this board's parts together: what needs most memory first, while most is free."""
    from meter.app import Meter

    parts = make_parts(settings)
    meter = Meter(settings, parts[0], software_id, *parts[1:4], board.rtc_s())
    meter.receiver = parts[4]
    meter.inputs = board.inputs
    meter.set_rtc = board.set_rtc
    meter.step()  # Knows from here on which interval it is awake in.
    from meter import notes

    notes.hand_over(meter)
    forget("notes")
    return meter


def make_parts(settings):
    """(signer, what makes the clock, element, storage, receiver) of a configuration."""
    from meter import signing, wiring

    signing.self_test()
    signer = wiring.signer(settings, board)
    parts = wiring.clock(settings, board), wiring.element(settings, board)
    receiver = wiring.receiver(settings, board)
    forget("wiring")
    from meter.storage import Storage

    storage = Storage("", settings["log_days"], settings["interval_s"])
    forget("storage")
    return (signer,) + parts + (storage, receiver)
