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
    meter = make_meter(settings, software_id)
    from meter.modbus import Server
    from meter.supervisor import Supervisor

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
    """Bring this board's parts together.

    What stays is loaded first, as low in memory as it goes. Who makes a part is forgotten as soon
    as it is made: each in a function of its own, whose names for modules end with it.
    """
    from meter.app import Meter

    signer, make_clock, element, receiver = _named(settings)
    forget("wiring", "keys")
    storage = _stored(settings)
    forget("storage", "boot", "opening")
    meter = Meter(settings, signer, software_id, make_clock, element, storage, board.rtc_s())
    meter.receiver = receiver
    meter.inputs = board.inputs
    meter.set_rtc = board.set_rtc
    meter.step()  # Knows from here on which interval it is awake in.
    _hand_over(meter)
    forget("notes")
    return meter


def _named(settings):
    """The parts that the configuration names."""
    from meter import keys, wiring

    keys.self_test()
    makers = (wiring.signer, wiring.clock, wiring.element, wiring.receiver)
    return [make(settings, board) for make in makers]


def _stored(settings):
    """What the flash holds."""
    from meter.storage import Storage

    return Storage("", settings["log_days"], settings["interval_s"])


def _hand_over(meter):
    """What happened while it did not run."""
    from meter import notes

    notes.hand_over(meter)
