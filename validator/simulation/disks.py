"""A disk that power cuts tear: an append-only log whose last record may be there in part.

What `write` has returned from is durable. What was being written when the power went may be absent,
torn, or whole though nobody was told; `read` keeps what is whole and cuts the rest off, as
write-ahead logs do.
"""

import zlib

_HEAD = 8


class Disk:
    """One validator's disk."""

    def __init__(self) -> None:
        """Start empty."""
        self._log = bytearray()

    def write(self, record: bytes) -> None:
        """Append a record; it is durable."""
        head = len(record).to_bytes(4, "big") + zlib.crc32(record).to_bytes(4, "big")
        self._log += head + record

    def tear(self, record: bytes, permille: int) -> None:
        """The power goes while a record is written: so much of it is on the disk."""
        before = len(self._log)
        self.write(record)
        written = len(self._log) - before
        del self._log[before + written * permille // 1000 :]

    def read(self) -> list[bytes]:
        """All whole records; a torn tail is cut off, so that what follows is not behind it."""
        records, at = [], 0
        while at + _HEAD <= len(self._log):
            size = int.from_bytes(self._log[at : at + 4], "big")
            record = bytes(self._log[at + _HEAD : at + _HEAD + size])
            checksum = zlib.crc32(record).to_bytes(4, "big")
            if len(record) < size or checksum != self._log[at + 4 : at + _HEAD]:
                break
            records.append(record)
            at += _HEAD + size
        del self._log[at:]
        return records

    def wipe(self) -> None:
        """Lose everything: what a Byzantine validator does to forget."""
        self._log.clear()
