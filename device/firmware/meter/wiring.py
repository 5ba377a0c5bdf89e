"""Which parts a configuration names: clock, element, signer, receiver.

Decides which module a kind is in; only what this meter has is loaded, and each such module makes
its part by `make(settings, board)`. Pins are the board's.
"""

from meter import NotConfigured

_ELEMENTS = ("simulated", "pzem004t", "atm90e32", "s0")


def _made(name, settings, board):
    return __import__("meter." + name, None, None, ["make"]).make(settings, board)


def clock(settings, board):
    """What makes the clock of what is remembered of it: (times set, operating s when last set)."""
    return _made("paced_clock" if settings["paced_time_file"] else "clock", settings, board)


def element(settings, board):
    """The measuring element; raises NotConfigured."""
    wanted = settings["element"]
    if wanted["kind"] not in _ELEMENTS:
        raise NotConfigured("element: no kind " + str(wanted["kind"]))
    return _made("elements." + wanted["kind"], wanted, board)


def signer(settings, board):
    """What signs; raises NotConfigured when there is no key yet."""
    return _made("keys" if settings["key"] == "flash" else settings["key"], settings, board)


def receiver(settings, board):
    """The satellite receiver, or None."""
    wanted = settings["receiver"]
    if not wanted:
        return None
    if wanted.get("kind") != "nmea":
        raise NotConfigured("receiver: the kind is nmea")
    return _made("position", wanted, board)
