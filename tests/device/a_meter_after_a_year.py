# mypy: ignore-errors
"""Runs under MicroPython in a heap of 64 kB: the meter whose log `a_year_of_records` has filled.

It boots, signs the next records with the real signer and serves them through the map. Prints one
JSON line: which records, heap in use before and after, reads of the flash that its start took.
"""

import gc
import json
import sys

import vfs

from meter import signing, state
from meter.log import Log, files_for
from tests.device.file_flash import FileFlash
from tests.device.meter_parts import Element, T, World, make_meter
from tests.device.steady_clock import Clock

SECRET = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
RECORDS = 3


def settle():
    meter.step()
    while meter.busy or meter.wants:
        meter.step()


def used():
    gc.collect()
    return gc.mem_alloc()


flash = FileFlash(sys.argv[1])
vfs.mount(vfs.VfsLfs2(flash, progsize=256, readsize=256), "/flash")
before = flash.reads
log = Log("/flash/log", files_for(365, 900))
begun = log.head
lived = {"sequence": begun, "pending": "a0", "boots": 7, "closed_until_s": T}
state.save("/flash/state.json", lived)
world = World()
signer = signing.SoftSigner(SECRET)
events = Log("/flash/events")
meter = make_meter("/flash", signer, lambda *known: Clock(world), Element(world), log, events)
settle()
reads = flash.reads - before
for i in range(1, RECORDS + 2):
    world.true_ms = (T + 900 * i) * 1000
    settle()
    if i == 2:  # What the first record needs is loaded.
        young = used()
after, free = used(), gc.mem_free()
shown = [log.read(sequence).hex() for sequence in range(begun, log.head)]
print(
    json.dumps(
        {
            "records": shown,
            "public": signer.public.hex(),
            "reads_to_start": reads,
            "heap_young": young,
            "heap_after": after,
            "heap_free": free,
        }
    )
)
