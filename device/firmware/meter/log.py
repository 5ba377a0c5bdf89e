"""A log of signed things by number, from 0 on: a ring of files on the board's filesystem.

Decides how records are kept: in slots of one size, a day of records to a file, the oldest file
removed when there are too many, or when the flash runs full. A damaged record is not shown, and is
no reason to stop. Leaves to `opening` where a log ends, and to `app` that a record is never made
twice with different bytes.
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
        from meter import opening  # A start forgets it.

        self._folder = folder
        self._files = files
        self._per_file = per_file
        self.degraded = False
        """True when a record was found damaged, or dropped early for want of room."""
        self.tail, self.head = opening.ends(folder, per_file)

    def _path(self, number):
        return self._folder + "/" + str(number)

    def drop_damaged_end(self):
        """Forget the newest record if it is damaged, for who can make the same bytes again."""
        if self.head > self.tail and self.read(self.head - 1) is None:
            from meter import opening

            self.head -= 1
            number, count = divmod(self.head, self._per_file)
            opening.shorten(self._folder, number, count)

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


def _free_blocks(folder):
    return os.statvfs(folder)[3]
