"""The meter's log: every signed record by its sequence, a ring of files on the board's filesystem.

Decides how records are kept: in slots of one size, a day of records to a file, the oldest file
removed when there are too many. A tail torn by a power cut is cut off, and its record made again
from the same bytes, which `state` has; a damaged record further back is not shown. Leaves to `app`
that a record is never made twice with different bytes.
"""

import os
import struct
from binascii import crc32

from meter.record import LONGEST

_HEAD = "<IHH"  # CRC-32 of the rest, length of the record, zero.
_HEAD_SIZE = 8
SLOT = _HEAD_SIZE + LONGEST
PER_FILE = 96
FILES = 36  # More than the 35 days within which a reading may still be brought in.


class Log:
    """Signed records from `tail` up to, not including, `head`."""

    def __init__(self, folder, files=FILES, per_file=PER_FILE):
        """Open the log in `folder`, made when missing; finds head and tail from the files."""
        self._folder = folder
        self._files = files
        self._per_file = per_file
        try:
            os.mkdir(folder)
        except OSError:
            pass  # It is there.
        numbers = sorted([int(name) for name in os.listdir(folder)])
        self.tail = numbers[0] * per_file if numbers else 0
        self.head = self.tail
        if numbers:
            self.head = self._end_of(numbers[-1])

    def _path(self, number):
        return self._folder + "/" + str(number)

    def _end_of(self, number):
        """The sequence after the file's last whole slot; what is torn behind it is cut off."""
        path = self._path(number)
        with open(path, "rb") as f:
            size = f.seek(0, 2)
            count = size // SLOT
            while count and not _is_whole(_slot(f, count - 1)):
                count -= 1
            if size != count * SLOT:
                f.seek(0)
                with open(self._folder + ".new", "wb") as kept:
                    for _ in range(count):
                        kept.write(f.read(SLOT))
        if size != count * SLOT:
            os.rename(self._folder + ".new", path)
        return number * self._per_file + count

    def append(self, sequence, record):
        """Keep a record; its sequence must be the head."""
        if sequence != self.head or len(record) > LONGEST:
            raise ValueError("record out of order, or too long")
        rest = struct.pack("<HH", len(record), 0) + record + bytes(LONGEST - len(record))
        number = sequence // self._per_file
        with open(self._path(number), "ab") as f:
            f.write(struct.pack("<I", crc32(rest)) + rest)
        self.head = sequence + 1
        oldest = self.tail // self._per_file
        if number - oldest >= self._files:
            os.remove(self._path(oldest))
            self.tail = (oldest + 1) * self._per_file

    def read(self, sequence):
        """The record's bytes; None when the log has it no more, not yet, or not undamaged."""
        if not self.tail <= sequence < self.head:
            return None
        with open(self._path(sequence // self._per_file), "rb") as f:
            slot = _slot(f, sequence % self._per_file)
        if not _is_whole(slot):
            return None
        return slot[_HEAD_SIZE : _HEAD_SIZE + struct.unpack_from(_HEAD, slot)[1]]


def _slot(f, index):
    f.seek(index * SLOT)
    return f.read(SLOT)


def _is_whole(slot):
    return len(slot) == SLOT and crc32(slot[4:]) == struct.unpack_from(_HEAD, slot)[0]
