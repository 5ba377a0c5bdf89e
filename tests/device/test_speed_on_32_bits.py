"""Where a small integer has 31 bits, the same numbers come out as where it has 63.

Boards are such machines, and no package of Debian or PyPI has a MicroPython of theirs that works.
npm has: `npm install @micropython/micropython-webassembly-pyscript@1.29.0-6`, then
MICROPYTHON_WASM=/path/to/micropython.mjs makes this test run.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from device.provision import bench_process

RUNNER = Path(__file__).with_name("on_32_bits.mjs")
PROGRAM = """
import sys
from meter import keys, p256, record, signing
from meter.cbor import encode
print(sys.maxsize)
secret = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
keys.self_test()
for number in (1, 2, secret, p256.N - 1):
    print(keys.public_key(number).hex())
for i in range(5):
    print(signing.finish(signing.sign(secret, bytes([i]))).hex())
for power in (8, 16, 30, 31, 32, 62, 63):
    print(encode([sign * 2**power + more for sign in (1, -1) for more in (-1, 0, 1)]).hex())
print(record.payload({4: 4294967295, 6: 1 << 40, 13: 0x80000000, 15: bytes(32)}).hex())
"""


def test_signatures_and_records_are_the_same_on_32_bits() -> None:
    build = os.environ.get("MICROPYTHON_WASM")
    node = shutil.which("node")
    if build is None or node is None:
        pytest.skip("MICROPYTHON_WASM names no build of 32 bits, or there is no node to run it")
    wide, *expected = bench_process.micropython(PROGRAM, bench_process.FIRMWARE).splitlines()
    narrow, *made = subprocess.run(
        [node, RUNNER, build, bench_process.FIRMWARE, PROGRAM],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert (int(wide), int(narrow)) == (2**63 - 1, 2**31 - 1)
    assert made == expected
