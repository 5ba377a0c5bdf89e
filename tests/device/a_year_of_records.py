# mypy: ignore-errors
"""Runs under MicroPython in a heap of 64 kB: a log of a year and a day, on a flash that is a file.

Prints one JSON line: heap in use and reads of the flash, when the log is young and when it is full.
"""

import gc
import json
import sys
import time

import vfs

from meter.log import Log, files_for
from tests.device.file_flash import FileFlash

RECORDS, A_DAY = 35_040, 96
MORE = 2 * A_DAY + 10  # Than a year: the oldest files go.
LONG = bytes(range(226))


def record(sequence):
    return sequence.to_bytes(4, "big") + LONG


def opened():
    return Log("/flash/log", files_for(365, 900))


def used():
    gc.collect()
    return gc.mem_alloc()


def cost(what, *arguments):
    """What it returns, and how many reads of the flash it took."""
    before = flash.reads
    result = what(*arguments)
    return result, flash.reads - before


flash = FileFlash(sys.argv[1])
vfs.VfsLfs2.mkfs(flash, progsize=256, readsize=256)
vfs.mount(vfs.VfsLfs2(flash, progsize=256, readsize=256), "/flash")
log = opened()
for sequence in range(A_DAY):
    log.append(sequence, record(sequence))
young = used()
opened_young = cost(opened)[1]
begun_ms = time.ticks_ms()
erases = flash.erases
for sequence in range(A_DAY, RECORDS + MORE):
    log.append(sequence, record(sequence))
full = used()
log, opened_full = cost(opened)
wrong = missing = most_reads = 0
for sequence in range(log.tail, log.head):
    found, reads = cost(log.read, sequence)
    most_reads = max(most_reads, reads)
    missing += found is None
    wrong += found not in (None, record(sequence))
print(
    json.dumps(
        {
            "records": log.head - log.tail,
            "tail": log.tail,
            "head": log.head,
            "missing": missing,
            "wrong": wrong,
            "degraded": log.degraded,
            "heap_young": young,
            "heap_full": full,
            "heap_after_reading": used(),
            "reads_to_open_young": opened_young,
            "reads_to_open_full": opened_full,
            "reads_of_a_record": most_reads,
            "erases_per_record_x100": (flash.erases - erases) * 100 // (RECORDS + MORE - A_DAY),
        }
    )
)
