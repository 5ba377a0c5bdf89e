"""A flash that is a file: outside of the heap, when that is as small as a board's."""
# ruff: noqa: SIM115

import sys

import vfs

BLOCK, BLOCKS = 4096, 2816


class Flash:
    """A block device."""

    def __init__(self, path):
        self._file = open(path, "r+b")

    def readblocks(self, block, buffer, offset=0):
        """Read a part of a block."""
        self._file.seek(block * BLOCK + offset)
        self._file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=0):
        """Write it."""
        self._file.seek(block * BLOCK + offset)
        self._file.write(buffer)

    def ioctl(self, request, argument):
        """Count and size of blocks; the file needs no erasing."""
        return {4: BLOCKS, 5: BLOCK}.get(request, 0)


def insert(path, modules):
    """Put the flash at `/`, the host's files under `/host`, where our own modules are."""
    filesystem = vfs.VfsLfs2(Flash(path), progsize=256, readsize=256)
    vfs.umount("/")
    vfs.mount(filesystem, "/")
    vfs.mount(vfs.VfsPosix("/"), "/host")
    sys.path[:] = ["", "/host" + modules, ".frozen"]
