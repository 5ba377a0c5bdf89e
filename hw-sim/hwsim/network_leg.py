"""A program in a network namespace of its own, whose one leg is a packet switch's.

`python -m hwsim.network_leg SOCKET ADDRESS COMMAND…` makes the namespace, gives it a loopback and a
TUN device of that address, hands the device to the switch that waits at the socket, and becomes the
command. `enter` makes a user namespace first, where the caller is no root: in it, it may do so.
"""

import ctypes
import fcntl
import os
import socket
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

from wire.errors import Unavailable

PREFIX = 24
MTU = 1_400

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCSIFMTU = 0x8914, 0x8916, 0x891C, 0x8922
_UP_RUNNING = 0x41
_NAME = b"leg0"


def enter() -> None:
    """Move this process into a network namespace, and a user namespace in which it may make more.

    Raises:
        Unavailable: the machine does not allow it.
    """
    uid, gid = os.geteuid(), os.getegid()
    _unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    except OSError as reason:
        raise Unavailable(f"user namespaces are not allowed here: {reason.strerror}") from None
    _set_up(b"lo", None)


def attach(desk: str, address: str) -> None:
    """Give this process's namespace a device of that address, and the switch its other end.

    Raises:
        Unavailable: TUN devices are not allowed here, or no switch answers.
    """
    try:
        leg = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(leg, _TUNSETIFF, struct.pack("16sH22x", _NAME, _IFF_TUN | _IFF_NO_PI))
        _set_up(_NAME, address)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            channel.connect(desk)
            socket.send_fds(channel, [address.encode()], [leg])
            channel.recv(1)
        os.close(leg)
    except OSError as reason:
        raise Unavailable(f"no TUN device here: {reason.strerror}") from None


def _set_up(name: bytes, address: str | None) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        if address is not None:
            mask = socket.inet_ntoa(struct.pack(">I", (1 << 32) - (1 << (32 - PREFIX))))
            for request, value in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, mask)):
                place = struct.pack(
                    "16sH2s4s8x", name, socket.AF_INET, b"", socket.inet_aton(value)
                )
                fcntl.ioctl(channel, request, place)
            fcntl.ioctl(channel, _SIOCSIFMTU, struct.pack("16si12x", name, MTU))
        fcntl.ioctl(channel, _SIOCSIFFLAGS, struct.pack("16sH14x", name, _UP_RUNNING))


def _unshare(flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags):
        words = os.strerror(ctypes.get_errno())
        raise Unavailable(f"network namespaces are not allowed here: {words}")


def main(arguments: Sequence[str]) -> None:
    """Become a command in a namespace of its own."""
    desk, address, *command = arguments
    try:
        _unshare(_CLONE_NEWNET)
        _set_up(b"lo", None)
        attach(desk, address)
    except Unavailable as reason:
        sys.exit(f"network leg: {reason}")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
