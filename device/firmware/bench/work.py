"""Does one piece of the meter's work n times, for whoever counts instructions: `work.py NAME N`.

Decides what a piece of work is. Chance is replaced by a fixed row of bytes, so that two runs do the
same. Never on a meter; runs on the unix port of MicroPython. Instructions of n times minus those of
none are the work's alone.
"""

import sys

from bench import plain
from bench.chance import Chance
from meter import keys, p256, record, signing

SECRET = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
KID = bytes(range(8))
FIELDS = {
    2: "GW-000001",
    3: "LV1.101.Bus-7",
    4: 1751328900,
    5: 900,
    6: 1234567,
    7: 89012,
    8: 250,
    9: 7,
    10: 4711,
    11: 12,
    12: 31536000,
    13: 0x80000,
    14: [2, 3, 1751328000, 2],
    15: bytes(range(32)),
    16: bytes(range(4)),
    17: bytes(range(8)),
    18: 14,
    19: 0,
}


def _record(i):
    """The bytes that a record's signature covers, from its fields."""
    return record.signed_bytes(KID, record.payload(FIELDS))


MESSAGE = _record(0)


def _sign(i):
    return signing.finish(signing.sign(SECRET + i, MESSAGE))


def _sign_plain(i):
    ours, p256.multiply = p256.multiply, plain.multiply
    made = _sign(i)
    p256.multiply = ours
    return made


def _compare(i):
    print(_sign(i) == _sign_plain(i))


WORK = {
    "sign": _sign,
    "sign-plain": _sign_plain,
    "public-key": lambda i: keys.public_key(SECRET + i),
    "inverse": lambda i: p256.inverse(SECRET << i, p256.P),
    "nonce": lambda i: signing.nonce(SECRET, bytes((i,)) * 32),
    "record": _record,
    "self-test": lambda i: keys.self_test(),
    "compare": _compare,  # Not for counting: prints whether both ways sign alike.
}


def main(name, times):
    """Do it."""
    p256.urandom = Chance()
    deed = WORK.get(name)  # Idle, when there is no such work.
    for i in range(times):
        deed(i)


main(sys.argv[1], int(sys.argv[2]))
