# mypy: ignore-errors
"""Runs under MicroPython: a meter on a flash in memory that dies at its n-th write, for every n.

Prints one JSON line a cut: the records that were visible before it and those after the next start.
"""

import json

import vfs

from meter import signing
from meter.app import Meter
from meter.log import Log

T = 1_751_328_000
BLOCK_SIZE, BLOCKS = 4096, 48
CONFIG = {
    "meter": "GW-000001",
    "node": "n",
    "interval_s": 900,
    "configuration_id": "0102030405060708",
}
SECRET = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721


class Flash:
    """NOR flash whose power fails at write number `left`, which it does by half."""

    def __init__(self, data, left):
        self.data, self.left = data, left

    def readblocks(self, block, buffer, offset=0):
        at = block * BLOCK_SIZE + offset
        buffer[:] = self.data[at : at + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        at = block * BLOCK_SIZE + offset
        return self._put(at, buffer, len(buffer))

    def _put(self, at, buffer, size):
        if self.left == 0:
            return -5
        self.left -= 1
        if self.left == 0:
            size //= 2
        self.data[at : at + size] = buffer[:size]
        return 0 if self.left else -5

    def ioctl(self, request, argument):
        if request == 6:
            return self._put(argument * BLOCK_SIZE, b"\xff" * BLOCK_SIZE, BLOCK_SIZE)
        return {4: BLOCKS, 5: BLOCK_SIZE}.get(request, 0)


class Clock:
    adjusted, times_set, set_at_s = False, 1, 0

    def __init__(self, now_s):
        self.now_s = self.booted_s = now_s

    def now_ms(self):
        return self.now_s * 1000

    def up_ms(self):
        return (self.now_s - self.booted_s) * 1000

    def evidence(self):
        return [2, 1, 0, 1]


class Element:
    def read(self, at_ms):
        return (at_ms - T * 1000) * 3, 0


def live(flash, times_s, seen):
    """One life of the meter on this flash, looking at the clock at these times."""
    vfs.mount(vfs.VfsLfs2(flash, progsize=256, readsize=256), "/flash")
    try:
        clock = Clock(times_s[0])
        log = Log("/flash/log", files=2, per_file=2)
        meter = Meter(
            CONFIG, SECRET, b"code", lambda n, s: clock, Element(), log, "/flash/state.json"
        )
        for now_s in times_s:
            clock.now_s = now_s
            meter.step()
            while meter.busy:
                meter.step()
            for sequence in range(log.tail, log.head):
                seen[sequence] = log.read(sequence).hex()
    finally:
        vfs.umount("/flash")


def life(start_s, intervals):
    return [start_s + 450 * i for i in range(2 * intervals + 1)]


blank = Flash(bytearray(b"\xff" * (BLOCK_SIZE * BLOCKS)), -1)
vfs.VfsLfs2.mkfs(blank, progsize=256, readsize=256)
live(blank, life(T + 450, 4), {})
cut = 0
alive = False
while not alive:
    cut += 1
    flash = Flash(bytearray(blank.data), cut)
    before, after = {}, {}
    try:
        live(flash, life(T + 4 * 900 + 460, 9), before)
        alive = flash.left > 0
    except OSError:
        pass
    flash.left = -1
    live(flash, life(T + 15 * 900 + 460, 2), after)
    print(json.dumps({"before": before, "after": after}))
print(json.dumps(signing.public_key(SECRET).hex()))
