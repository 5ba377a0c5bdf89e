"""The smallest heap in which the whole meter runs: after a year, asked without pause, signing.

Decides what the meter must do in it: start from a full log of 35,040 records, take the time from
its master, answer reads of 125 registers one after the other while it closes an interval and signs
it, and hand out that record, which must verify. What a board has in C, the drivers of flash and
line, is Python here (`bench.whole` of the firmware): its share of the heap is not the meter's.
"""

import re
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from device.provision import bench_process, bundle
from wire.errors import Refused, Unavailable
from wire.keys import ES256, PublicKey
from wire.reading import SignedReading

UNIT = 5
START_S = 1_751_328_000
RECORDS = 35_040
WINDOW = 0xF000
SUNSPEC = 40_000
ROUNDS = 2_000
"""Of three requests each: more than an interval at the harness's pace."""

_LEAST, _MOST = 32, 192


@dataclass(frozen=True, slots=True)
class Heap:
    """What the meter needs."""

    needed: int
    """Bytes of the smallest heap that does, without the bench's own share."""

    in_use: int
    """Bytes of those in use when the meter idles, after a collection."""


def _frame(content: bytes) -> bytes:
    """A Modbus RTU request to the meter, with the byte that tells its length before it."""
    data = bytes([UNIT]) + content
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return bytes([len(data) + 2]) + data + struct.pack("<H", crc)


def _read(address: int, count: int) -> bytes:
    return _frame(struct.pack(">BHH", 3, address, count))


def _write(address: int, *words: int) -> bytes:
    size = len(words)
    return _frame(struct.pack(f">BHHB{size}H", 16, address, size, 2 * size, *words))


def requests() -> bytes:
    """Time first, then reads of everything, then the record that was made meanwhile."""
    now_s = START_S + 890
    frames = [_write(WINDOW + 100, now_s >> 16, now_s & 0xFFFF, 0, 1)]
    frames += [_write(WINDOW + 6, 0, 17)]
    frames += [_read(SUNSPEC, 125), _read(WINDOW, 125), _read(WINDOW + 125, 120)] * ROUNDS
    frames += [_write(WINDOW + 6, RECORDS >> 16, RECORDS & 0xFFFF), _read(WINDOW, 88)]
    return b"".join([*frames, _read(WINDOW + 128, 120), _read(WINDOW + 248, 8)])


def _answers(data: bytes) -> Iterator[bytes]:
    """The registers of each answer to a read; raises Refused on an exception."""
    at = 0
    while at < len(data):
        function = data[at + 1]
        if function == 3:
            size = data[at + 2]
            yield data[at + 3 : at + 3 + size]
            at += size + 5
        elif function == 16:
            at += 8
        else:
            raise Refused(f"the meter answered with exception {data[at + 2]}")


def check(data: bytes) -> None:
    """Hold what the meter answered; raises Refused."""
    *asked, window, first, rest = _answers(data)
    if len(asked) != 3 * ROUNDS:
        raise Refused(f"{len(asked)} answers, not {3 * ROUNDS}")
    (size,) = struct.unpack_from(">H", window, 20)
    x = window[112:176]
    signed = SignedReading.open((first + rest)[:size])
    signed.verify(PublicKey(ES256, x))
    if signed.reading.sequence != RECORDS:
        raise Refused(f"record {signed.reading.sequence}, not {RECORDS}")


class Desk:
    """A meter's flash after a year, and the requests to it."""

    def __init__(self, folder: Path) -> None:
        """Compile and fill; `folder` is for files that may go afterwards."""
        self._modules = folder / "modules"
        self._image, self._run = folder / "flash.img", folder / "run.img"
        self._frames, self._answers = folder / "frames", folder / "answers"
        bench_process.compile_all(self._modules)
        for path, content in bundle.make("rp2040", bench_process.FIRMWARE).files.items():
            file = folder / "board" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        self._frames.write_bytes(requests())
        self._image.write_bytes(b"\xff" * (4096 * 2816))
        idle = "import gc\ngc.collect()\nprint(gc.mem_alloc())"
        self._empty = int(bench_process.micropython(idle, self._modules))
        self._start("512k", "year", self._image, folder / "board", self._modules)

    def _start(self, heap: str, name: str, *arguments: Path) -> str:
        given = ["", *map(str, arguments)]
        program = f"import sys\nsys.argv[:] = {given!r}\nimport bench.{name}"
        return bench_process.micropython(program, self._modules, heap)

    def runs_in(self, heap_kb: int) -> Heap:
        """Run it once; raises Unavailable when it ran out of memory, Refused on a wrong answer."""
        shutil.copyfile(self._image, self._run)
        said = self._start(
            f"{heap_kb}k", "whole", self._run, self._modules, self._frames, self._answers
        )
        found = {name: int(size) for name, size in re.findall(r"(bench|in use): (\d+)", said)}
        if len(found) != 2:
            raise Unavailable(f"the meter stopped: {said.strip().splitlines()[-1:]}")
        check(self._answers.read_bytes())
        own = found["bench"] - self._empty
        return Heap(heap_kb * 1024 - own, found["in use"] - own)

    def smallest(self) -> Heap:
        """Halve the distance until it is found; raises Unavailable when none does."""
        least, most = _LEAST, _MOST
        found = self.runs_in(most)
        while most - least > 1:
            middle = (least + most) // 2
            try:
                found, most = self.runs_in(middle), middle
            except Unavailable:
                least = middle
        return found
