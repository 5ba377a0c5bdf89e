"""Takes the time of the meter's work on the board that it runs on, and prints one dictionary.

Decides nothing about limits. Sent over the raw REPL, after `plain`, to a board that carries the
firmware; it leaves nothing there. The unix port runs it as well, where the times say little.
"""

import gc
import os
import sys
import time

from meter import p256, record, signing

TIMES = 3
PATH = "/gridwitness-bench.tmp"
SECRET = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
FIELDS = {2: "GW-000001", 3: "LV1.101.Bus-7", 15: bytes(32), 16: bytes(4), 17: bytes(8), 19: 0}
for _number in (4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 18):
    FIELDS[_number] = 1751328900 >> _number


def median_us(deed):
    """The middle one of a few tries, each after a collection."""
    taken = []
    for _ in range(TIMES):
        gc.collect()
        started = time.ticks_us()
        deed()
        taken.append(time.ticks_diff(time.ticks_us(), started))
    return sorted(taken)[TIMES // 2]


def sign():
    """A signature."""
    return signing.finish(signing.sign(SECRET, b"a record"))


def sign_plain():
    """The same signature with the multiplication of `plain`."""
    ours, p256.multiply = p256.multiply, multiply  # noqa: F821 - `plain` was sent before this.
    try:
        return sign()
    finally:
        p256.multiply = ours


def longest_pause_us():
    """How long the line waits at worst while the meter signs."""
    longest = 0
    gc.collect()
    before = time.ticks_us()
    for _ in signing.sign(SECRET, b"a record"):
        now = time.ticks_us()
        longest = max(longest, time.ticks_diff(now, before))
        before = now
    return longest


def write(mode):
    """Write a record's worth of bytes and close the file: then it is safe."""
    with open(PATH, mode) as f:
        f.write(bytes(264))


def clock_step_us():
    """The smallest step that the board's microseconds make."""
    smallest = 1000000
    before = time.ticks_us()
    for _ in range(500):
        now = time.ticks_us()
        step = time.ticks_diff(now, before)
        if step:
            smallest = min(smallest, step)
        before = now
    return smallest


def frequency_hz():
    """Of the processor; 0 when the port does not tell."""
    try:
        import machine

        found = machine.freq()
    except (ImportError, AttributeError):
        return 0
    return found if isinstance(found, int) else found[0]


def main():
    """Measure everything."""
    gc.collect()
    found = {
        "board": getattr(sys.implementation, "_machine", sys.platform),
        "version": ".".join([str(part) for part in sys.implementation[1][:3]]),
        "frequency_hz": frequency_hz(),
        "free_bytes": gc.mem_free(),
        "heap_bytes": gc.mem_free() + gc.mem_alloc(),
        "sign_us": median_us(sign),
        "sign_plain_us": median_us(sign_plain),
        "alike": sign() == sign_plain(),
        "longest_pause_us": longest_pause_us(),
        "nonce_us": median_us(lambda: signing.nonce(SECRET, bytes(32))),
        "record_us": median_us(lambda: record.signed_bytes(bytes(8), record.payload(FIELDS))),
        "collect_us": median_us(gc.collect),
        "write_us": median_us(lambda: write("wb")),
        "append_us": median_us(lambda: write("ab")),
        "clock_step_us": clock_step_us(),
    }
    os.remove(PATH)
    print(found)


main()
