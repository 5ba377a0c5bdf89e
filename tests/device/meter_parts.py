# mypy: ignore-errors
"""What a meter on the bench is put together from; small, as some of it runs in a board's heap.

The signer is a fake that is as deterministic as a real one with RFC 6979, and tells what it is
asked to sign.
"""

import hashlib

from meter import boot
from meter.app import Meter

T = 1_751_328_000
"""2025-07-01 00:00 UTC, where an interval begins."""

CONFIG = {
    "meter": "GW-000001",
    "node": "n",
    "interval_s": 900,
    "unit": 5,
    "configuration_id": bytes(range(8)),
    "commissioned": True,
}


class World:
    """True time."""

    def __init__(self):
        self.true_ms = (T + 450) * 1000


class Element:
    """Energy that flows evenly: 3 mWh in, 1 mWh out, every millisecond of true time."""

    def __init__(self, world, volatile=False):
        self._world, self.volatile = world, volatile
        self._from_ms = world.true_ms if volatile else 0

    def read(self, at_ms):
        passed = self._world.true_ms - self._from_ms
        return 3 * passed, passed

    def measure(self):
        return None


class FakeSigner:
    """Signs at once, with hashes; `asked` are the messages."""

    public = bytes(range(64))
    in_flash = True

    def __init__(self, on_message):
        self._on_message = on_message

    def sign(self, message):
        self._on_message(bytes(message))
        yield
        half = hashlib.sha256(message).digest()
        return half + half


class Kept:
    """Storage whose logs are already open."""

    def __init__(self, folder, records, events):
        self.records, self.events = records, events
        self.state_path = folder + "/state.json"
        self.known = boot.recall(self)


def make_meter(folder, signer, make_clock, element, log, events, kept_s=None, **changes):
    storage = Kept(folder, log, events)
    config = CONFIG.copy()
    config.update(changes)
    return Meter(config, signer, b"code", make_clock, element, storage, kept_s)
