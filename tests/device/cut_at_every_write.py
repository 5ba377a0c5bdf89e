# mypy: ignore-errors
"""Runs under MicroPython: power fails under a meter that signs in earnest, at every write, thrice.

The write at which it fails fails and does nothing, does half of its work, or fails and does all of
it; the meter sees the error and dies of it. Prints a JSON line a cut: the form, the records that
were visible before it and those after the next start; then the public key.
"""

import json

import vfs

from meter import signing
from tests.device.lived_days import LENGTH_S, Life
from tests.device.meter_parts import T, World
from tests.device.nor_flash import DyingFlash, Flash

BLOCKS = 48
SECRET = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
NEVER = 1 << 30
NOTHING, HALF, ALL = 0, 1, 2


def live(flash, seconds, seen):
    """One life of the meter on this flash, looking at the clock at these seconds."""
    world = World()
    world.true_ms = seconds[0] * 1000
    try:
        life = Life(flash, world, SIGNER, volatile=False)
        for second in seconds:
            life.at(second)
            for sequence in range(life.log.tail, life.log.head):
                seen[sequence] = life.log.read(sequence).hex()
    finally:
        vfs.umount("/flash")


def half_intervals(begin, count):
    return [begin + LENGTH_S // 2 * i for i in range(count)]


SIGNER = signing.SoftSigner(SECRET)
blank = Flash(BLOCKS)
vfs.VfsLfs2.mkfs(blank, progsize=256, readsize=256)
live(blank, half_intervals(T + 450, 6), {})
cut = 0
alive = False
while not alive:
    for part in (NOTHING, HALF, ALL):
        flash = DyingFlash(BLOCKS, bytearray(blank.data), cut, part)
        before, after = {}, {}
        try:
            live(flash, half_intervals(T + 4 * LENGTH_S, 13), before)
            alive = not flash.dead
        except OSError:
            pass
        flash.left = NEVER
        live(flash, half_intervals(T + 14 * LENGTH_S + 450, 5), after)
        print(json.dumps({"part": part, "before": before, "after": after}))
    cut += 1
print(json.dumps(SIGNER.public.hex()))
