# mypy: ignore-errors
# ruff: noqa: D102, SIM115
"""Runs first inside the unix port of MicroPython and makes its process look like a board.

Decides what the interpreter sees: a littlefs on an image file as its only flash, at `/`; the host's
files under `/host`, from where a simulated element and a simulated clock read the world; a
`machine` with a UART, a reset and an id. Then it does what a board does: boot.py, main.py. Started
by `hwsim.board`, with its settings in the environment; CPython never imports it.
"""

import gc
import io
import os
import select
import sys

import machine
import vfs

BLOCK_SIZE = 4096
IOCTL_SYNC, IOCTL_COUNT, IOCTL_SIZE, IOCTL_ERASE = 3, 4, 5, 6
STREAM_POLL, STREAM_GET_FD = 3, 10
HARD_RESET = 77
LOCKED = "\x0e"  # Tells the harness that Ctrl-C is a byte like any other from now on.
RESET = "\x0f"  # Tells the harness to end this life.
UP = "\x16"  # Tells the harness that a program runs, which Ctrl-C may interrupt from now on.


class Flash:
    """A block device (extended protocol) on an image file, written through at once."""

    def __init__(self, path, blocks):
        self._file = open(path, "r+b")
        self._blocks = blocks
        self._erased = b"\xff" * BLOCK_SIZE

    def readblocks(self, block, buffer, offset=0):
        self._file.seek(block * BLOCK_SIZE + offset)
        self._file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=0):
        self._file.seek(block * BLOCK_SIZE + offset)
        self._file.write(buffer)

    def ioctl(self, request, argument):
        if request == IOCTL_COUNT:
            return self._blocks
        if request == IOCTL_SIZE:
            return BLOCK_SIZE
        if request == IOCTL_ERASE:
            self.writeblocks(argument, self._erased)
        return 0


class Uart(io.IOBase):
    """machine.UART on the line's file; never blocks, and really sleeps in a poll."""

    file = None

    def __init__(self, number, baudrate=9600, **settings):
        self.baudrate = baudrate

    def read(self, size=256):
        return self.file.read(size)

    def write(self, data):
        return self.file.write(data)

    def ioctl(self, request, argument):
        if request == STREAM_GET_FD:
            return self.file.fileno()
        return argument & select.POLLOUT if request == STREAM_POLL else 0


class Watchdog:
    """machine.WDT: the harness resets the board when it hears nothing for too long."""

    def __init__(self, timeout):
        self._pipe = open(int(os.getenv("BOARD_WATCHDOG_FD")), "wb")
        self._timeout_ms = timeout
        self.feed()

    def feed(self):
        self._pipe.write(str(self._timeout_ms) + "\n")


class Rtc:
    """A clock that runs on over a reset: how far it is off the host's is kept by the harness."""

    def offset_s(self):
        try:
            with open("/host" + os.getenv("BOARD_RTC")) as f:
                return float(f.read())
        except (OSError, ValueError):
            return None

    def set_offset_s(self, offset_s):
        with open("/host" + os.getenv("BOARD_RTC"), "w") as f:
            f.write(str(offset_s))


class Machine:
    """What the unix port's own `machine` lacks."""

    UART = Uart
    WDT = Watchdog
    RTC = Rtc

    def __getattr__(self, name):
        return getattr(machine, name)

    def reset(self):
        print(RESET, end="")  # Leaving would end at the prompt when main.py asks for it.
        sys.exit(HARD_RESET)

    def soft_reset(self):
        sys.exit(0)

    def lock(self):
        print(LOCKED, end="")

    def pins_on(self):
        """Names in a file of the harness: cover, terminal_cover, magnet, jumper."""
        try:
            with open("/host" + os.getenv("BOARD_PINS")) as f:
                return f.read().split()
        except OSError:
            return ()

    def unique_id(self):
        return os.getenv("BOARD_ID").encode()


def mount():
    """Put the flash at `/`, made when it is blank, and the host's files at `/host`."""
    flash = Flash(os.getenv("BOARD_FLASH"), int(os.getenv("BOARD_BLOCKS")))
    try:
        filesystem = vfs.VfsLfs2(flash, progsize=256, readsize=256)
    except OSError:
        vfs.VfsLfs2.mkfs(flash, progsize=256, readsize=256)
        filesystem = vfs.VfsLfs2(flash, progsize=256, readsize=256)
    vfs.umount("/")
    vfs.mount(filesystem, "/")
    vfs.mount(vfs.VfsPosix("/"), "/host")
    os.chdir("/")
    sys.path[:] = ["", ".frozen", "/lib"]
    sys.argv[:] = []


def run(name):
    """Run a file of the flash at the top level, if it is there, and show what it raises."""
    try:
        with open(name) as f:
            source = f.read()
    except OSError:
        return
    try:
        exec(compile(source, name, "exec"), globals())
    except SystemExit:
        raise
    except BaseException as error:  # As a board's own start does: the console stays usable.
        sys.print_exception(error)


Uart.file = open(int(os.getenv("BOARD_LINE_FD")), "r+b")
mount()
sys.modules["machine"] = Machine()
gc.collect()
if os.getenv("BOARD_RAW") == "1":
    run("boot.py")
elif "main.py" in os.listdir():
    print(UP, end="")
    run("boot.py")
    run("main.py")
