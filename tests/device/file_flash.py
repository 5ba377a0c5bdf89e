# mypy: ignore-errors
# ruff: noqa: SIM115
"""Flash that is a file, for a MicroPython whose own heap is as small as a board's."""

BLOCK, BLOCKS = 4096, 2816


class FileFlash:
    """A block device outside of the heap, which counts what is done to it."""

    def __init__(self, path):
        self._file = open(path, "r+b")
        self._empty = b"\xff" * 512
        self.reads = self.read_bytes = self.erases = 0

    def readblocks(self, block, buffer, offset=0):
        self.reads += 1
        self.read_bytes += len(buffer)
        self._file.seek(block * BLOCK + offset)
        self._file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=0):
        self._file.seek(block * BLOCK + offset)
        self._file.write(buffer)

    def ioctl(self, request, argument):
        if request == 6:
            self.erases += 1
            self._file.seek(argument * BLOCK)
            for _ in range(BLOCK // 512):
                self._file.write(self._empty)
        return {4: BLOCKS, 5: BLOCK}.get(request, 0)
