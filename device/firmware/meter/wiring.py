"""Which parts a configuration names: clock, element, signer, receiver.

Decides which module a kind is in; only what this meter has is loaded. Pins are the board's.
"""

from meter import signing
from meter.config import NotConfigured

ELEMENTS = ("simulated", "pzem004t", "atm90e32", "s0")


def clock(settings):
    """What makes the clock of what is remembered of it: (times set, operating s when last set)."""
    if settings["paced_time_file"]:
        from meter.paced_clock import PacedClock

        return lambda times_set, set_at_s: PacedClock(settings["paced_time_file"])
    from time import ticks_diff, ticks_ms

    from meter.clock import BusClock

    return lambda times_set, set_at_s: BusClock(ticks_ms, ticks_diff, times_set, set_at_s)


def element(settings, board):
    """The measuring element; raises NotConfigured."""
    kind = settings["element"]["kind"]
    if kind not in ELEMENTS:
        raise NotConfigured("element: no kind " + str(kind))
    module = __import__("meter.elements." + kind, None, None, ["make"])
    return module.make(settings["element"], board)


def signer(settings, board):
    """What signs; raises NotConfigured when there is no key yet."""
    if settings["key"] == "atecc608":
        from meter.atecc608 import AteccSigner

        return AteccSigner(board.i2c())
    try:
        return signing.SoftSigner(signing.load_key())
    except OSError:
        raise NotConfigured("no key: provision this board")


def receiver(settings, board):
    """The satellite receiver, or None."""
    wanted = settings["receiver"]
    if not wanted:
        return None
    if wanted.get("kind") != "nmea":
        raise NotConfigured("receiver: the kind is nmea")
    from time import ticks_diff, ticks_ms

    from meter.position import Receiver

    return Receiver(board.receiver_uart(wanted.get("baudrate", 9600)), ticks_ms, ticks_diff)
