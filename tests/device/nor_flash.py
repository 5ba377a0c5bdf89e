# mypy: ignore-errors
"""Flash in memory for MicroPython's littlefs: as NOR is, recorded, dying, or torn at any write.

Decides what a cut does to cells. A byte is programmed once after an erase (`again` counts those
that were not). A program that is cut leaves a part of the page, and one byte with some of its bits;
an erase that is cut leaves a part of the block empty, and behind it cells that are half erased.
"""

BLOCK = 4096
EMPTY = b"\xff" * BLOCK
IOCTL_COUNT, IOCTL_SIZE, IOCTL_ERASE = 4, 5, 6
FAILED = -5  # EIO.


class Flash:
    """Blocks in memory; counts what is done to them."""

    def __init__(self, blocks, data=None):
        self.blocks = blocks
        self.data = bytearray(EMPTY * blocks) if data is None else data
        self.reads = self.programs = self.bytes = self.again = 0
        self.erases = [0] * blocks

    def readblocks(self, block, buffer, offset=0):
        at = block * BLOCK + offset
        self.reads += 1
        buffer[:] = memoryview(self.data)[at : at + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        at = block * BLOCK + offset
        size = len(buffer)
        self.programs += 1
        self.bytes += size
        if self.data[at : at + size] != memoryview(EMPTY)[:size]:
            self.again += 1
        self.data[at : at + size] = buffer

    def erase(self, block):
        self.erases[block] += 1
        self.data[block * BLOCK : (block + 1) * BLOCK] = EMPTY
        return 0

    def ioctl(self, request, argument):
        if request == IOCTL_ERASE:
            return self.erase(argument)
        return {IOCTL_COUNT: self.blocks, IOCTL_SIZE: BLOCK}.get(request, 0)


class RecordedFlash(Flash):
    """Remembers every program and erase as (block, offset, bytes or None, second)."""

    def __init__(self, blocks):
        super().__init__(blocks)
        self.trace = []
        self.second = lambda: 0

    def writeblocks(self, block, buffer, offset=0):
        self.trace.append((block, offset, bytes(buffer), self.second()))
        super().writeblocks(block, buffer, offset)

    def erase(self, block):
        self.trace.append((block, 0, None, self.second()))
        return super().erase(block)


class DyingFlash(Flash):
    """Takes `left` writes; the next one fails, with `part` halves of it done, and all after it."""

    def __init__(self, blocks, data, left, part):
        super().__init__(blocks, data)
        self.left, self._part = left, part

    @property
    def dead(self):
        return self.left < 0

    def writeblocks(self, block, buffer, offset=0):
        size = self._done_of(len(buffer))
        if size:
            super().writeblocks(block, memoryview(buffer)[:size], offset)
        return FAILED if self.dead else 0

    def erase(self, block):
        size = self._done_of(BLOCK)
        self.data[block * BLOCK : block * BLOCK + size] = EMPTY[:size]
        return FAILED if self.dead else 0

    def _done_of(self, size):
        if self.dead:
            return 0
        self.left -= 1
        return size * self._part // 2 if self.dead else size


class OverlaidFlash:
    """What a start does with a flash after a cut, the flash itself left as it was."""

    def __init__(self, data, blocks):
        self._under, self._blocks = data, blocks
        self._over = {}

    def readblocks(self, block, buffer, offset=0):
        over = self._over.get(block)
        if over is None:
            at = block * BLOCK + offset
            buffer[:] = memoryview(self._under)[at : at + len(buffer)]
        else:
            buffer[:] = memoryview(over)[offset : offset + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        over = self._copied(block)
        size = len(buffer)
        old = over[offset : offset + size]
        if old != memoryview(EMPTY)[:size]:  # Cells only go from 1 to 0.
            both = int.from_bytes(old, "big") & int.from_bytes(buffer, "big")
            buffer = both.to_bytes(size, "big")
        over[offset : offset + size] = buffer

    def ioctl(self, request, argument):
        if request == IOCTL_ERASE:
            self._over[argument] = bytearray(EMPTY)
        return {IOCTL_COUNT: self._blocks, IOCTL_SIZE: BLOCK}.get(request, 0)

    def tear(self, block, offset, data, luck):
        """Do a part of a recorded write."""
        over = self._copied(block)
        if data is None:
            size = luck % BLOCK
            over[:size] = EMPTY[:size]
            for i in range(size, min(size + 16, BLOCK)):
                over[i] |= 0xAA
            return
        size = luck % len(data)
        over[offset : offset + size] = data[:size]
        over[offset + size] &= data[size] | 0x55

    def _copied(self, block):
        over = self._over.get(block)
        if over is None:
            over = self._over[block] = self._under[block * BLOCK : (block + 1) * BLOCK]
        return over
