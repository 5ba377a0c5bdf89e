"""A log of signed things by number, from 0 on: a ring of files on the board's filesystem.

Decides how records are kept: in slots of one size, a day of records to a file, the oldest file
removed when there are too many, or when the flash runs full. A tail torn by a power cut is cut off,
and its record made again from the same bytes, which `state` has; a damaged record further back is
not shown, and is no reason to stop. Opening reads the names, and the size of one file. Leaves to
`app` that a record is never made twice with different bytes.
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
SPARE_BLOCKS = 16  # A day's file and what else is written meanwhile, on flash of 4 kB blocks.


def files_for(days, interval_s):
    """How many files keep that many days, and the one that is being filled."""
    return -(-days * 86400 // interval_s // PER_FILE) + 1


class Log:
    """Signed records from `tail` up to, not including, `head`."""

    def __init__(self, folder, files=FILES, per_file=PER_FILE):
        """Open the log in `folder`, made when missing; finds head and tail from the files."""
        self._folder = folder
        self._files = files
        self._per_file = per_file
        self.degraded = False
        """True when a record was found damaged, or dropped early for want of room."""
        try:
            os.mkdir(folder)
        except OSError:
            pass  # It is there.
        oldest, newest = _ends(folder)
        self.tail = (oldest or 0) * per_file
        self.head = self.tail if newest is None else self._end_of(newest)

    def _path(self, number):
        return self._folder + "/" + str(number)

    def _end_of(self, number):
        """The sequence after the file's last slot; part of one behind it is cut off."""
        path = self._path(number)
        with open(path, "rb") as f:
            size = f.seek(0, 2)
        count = size // SLOT
        if size != count * SLOT:
            self._shorten(path, count)
        return number * self._per_file + count

    def _shorten(self, path, count):
        with open(path, "rb") as f, open(self._folder + ".new", "wb") as kept:
            for _ in range(count):
                kept.write(f.read(SLOT))
        os.rename(self._folder + ".new", path)

    def drop_damaged_end(self):
        """Forget the newest record if it is damaged, for who can make the same bytes again."""
        if self.head > self.tail and self.read(self.head - 1) is None:
            self.head -= 1
            number, count = divmod(self.head, self._per_file)
            self._shorten(self._path(number), count)

    def append(self, sequence, record):
        """Keep a record; its sequence must be the head."""
        if sequence != self.head or len(record) > LONGEST:
            raise ValueError("record out of order, or too long")
        number, index = divmod(sequence, self._per_file)
        if not index:
            self._make_room(number)
        rest = struct.pack("<HH", len(record), 0) + record + bytes(LONGEST - len(record))
        with open(self._path(number), "ab") as f:
            f.write(struct.pack("<I", crc32(rest)) + rest)
        self.head = sequence + 1
        if number - self.tail // self._per_file >= self._files:
            self._drop_oldest()

    def _make_room(self, number):
        """Before a new file: on a flash that is full, a new record is worth more than an old."""
        while (
            self.tail // self._per_file < number - 1 and _free_blocks(self._folder) < SPARE_BLOCKS
        ):
            self._drop_oldest()
            self.degraded = True

    def _drop_oldest(self):
        oldest = self.tail // self._per_file
        try:
            os.remove(self._path(oldest))
        except OSError:
            pass  # Somebody removed it from outside.
        self.tail = (oldest + 1) * self._per_file

    def read(self, sequence):
        """The record's bytes; None when the log has it no more, not yet, or not undamaged."""
        if not self.tail <= sequence < self.head:
            return None
        number, index = divmod(sequence, self._per_file)
        try:
            with open(self._path(number), "rb") as f:
                f.seek(index * SLOT)
                slot = f.read(SLOT)
        except OSError:
            slot = b""
        if len(slot) < SLOT or crc32(slot[4:]) != struct.unpack_from(_HEAD, slot)[0]:
            self.degraded = True
            return None
        return slot[_HEAD_SIZE : _HEAD_SIZE + struct.unpack_from(_HEAD, slot)[1]]


def _ends(folder):
    """The lowest and the highest number among the files; a year of names is never held at once."""
    oldest = newest = None
    for name in _names(folder):
        if name.isdigit():
            number = int(name)
            oldest = number if oldest is None else min(oldest, number)
            newest = number if newest is None else max(newest, number)
    return oldest, newest


def _names(folder):
    if hasattr(os, "ilistdir"):
        return (entry[0] for entry in os.ilistdir(folder))
    return os.listdir(folder)


def _free_blocks(folder):
    return os.statvfs(folder)[3]
