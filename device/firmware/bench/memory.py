"""Prints how few bytes must be free for a signature: the heap is filled, less and less is left."""

import gc

from bench.chance import Chance
from meter import p256, signing

MOST, STEP = 8192, 128
SECRET = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721


def fill(left):
    """Take memory until no more than `left` bytes are free, the smallest holes first."""
    taken = None
    gc.collect()
    while gc.mem_free() > left:
        taken = (taken, None)
        if gc.mem_free() <= left:
            gc.collect()
    return taken


def signs_with(left):
    """Whether a signature is made with that many bytes free."""
    taken = fill(left)
    try:
        made = signing.finish(signing.sign(SECRET, b"a record"))
    except MemoryError:
        return False
    return len(made) == 64 and taken is not None


def main():
    """Find it."""
    p256.urandom = Chance()
    left = MOST
    while signs_with(left - STEP):
        left -= STEP
    print(left)


main()
