"""A network between network namespaces, packet by packet: what is lost, late or cut off is chosen.

Each program that takes part runs in a network namespace of its own with one TUN device, whose file
lies here (`network_leg` makes it and hands it over). A packet that one of them sends is read here
and written to the leg that has its destination's address: at once, later, or never. TCP and TLS
above it are the kernel's and the programs' own. Needs no privilege where user namespaces are
allowed, and no kernel module: `tc netem` is missing on many kernels.
"""

import contextlib
import heapq
import itertools
import os
import random
import selectors
import socket
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

PACKET = 2_048
"""Bytes of the longest packet; the legs' MTU is less."""

_LONGEST_WAIT_S = 0.05
_SOURCE, _DESTINATION = slice(12, 16), slice(16, 20)


@dataclass(frozen=True, slots=True)
class Weather:
    """What happens to packets on their way."""

    loss_permille: int = 0
    """So many of a thousand are lost."""

    delay_ms: tuple[int, int] = (0, 0)
    """Each takes so long, at least and at most; so they overtake each other."""

    groups: tuple[Collection[str], ...] = ()
    """Addresses that hear each other; who is in none of them is heard by all. None for everyone."""

    deaf: Collection[tuple[str, str]] = ()
    """Pairs of addresses whose first is not heard by the second."""

    def passes(self, source: str, destination: str) -> bool:
        """Whether anything goes from one to the other."""
        if (source, destination) in self.deaf:
            return False
        own = [group for group in self.groups if source in group]
        theirs = [group for group in self.groups if destination in group]
        return not own or not theirs or own == theirs


class PacketSwitch:
    """Moves packets in a thread of its own."""

    def __init__(self, desk: Path, seed: int) -> None:
        """Wait for legs at a Unix socket.

        Args:
            desk: the socket that is made.
            seed: decides which packets are lost, and how late each is.
        """
        self.weather = Weather()
        self.moved = self.lost = 0
        self._chance = random.Random(seed)
        self._legs: dict[str, int] = {}
        self._late: list[tuple[float, int, str, bytes]] = []
        self._count = itertools.count()
        self._ending = False
        self._desk = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._desk.bind(str(desk))
        self._desk.listen()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._desk, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End; what is on its way is lost."""
        self._ending = True
        self._thread.join()
        for leg in self._legs.values():
            os.close(leg)
        self._desk.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._ending:
            wait_s = _LONGEST_WAIT_S
            if self._late:
                wait_s = min(wait_s, max(0.0, self._late[0][0] - time.monotonic()))
            for key, _ in self._selector.select(wait_s):
                if key.fileobj is self._desk:
                    self._welcome()
                else:
                    self._read(key.fd)
            while self._late and self._late[0][0] <= time.monotonic():
                _, _, destination, packet = heapq.heappop(self._late)
                self._write(destination, packet)

    def _welcome(self) -> None:
        """A namespace hands over its leg; one with the same address before it is gone."""
        channel, _ = self._desk.accept()
        with channel:
            channel.settimeout(1.0)
            with contextlib.suppress(OSError):
                name, [leg], _, _ = socket.recv_fds(channel, 64, 1)
                os.set_blocking(leg, False)
                self._forget(name.decode())
                self._legs[name.decode()] = leg
                self._selector.register(leg, selectors.EVENT_READ)
                channel.sendall(b"!")

    def _forget(self, name: str) -> None:
        known = self._legs.pop(name, None)
        if known is not None:
            with contextlib.suppress(KeyError):
                self._selector.unregister(known)
            os.close(known)

    def _read(self, leg: int) -> None:
        try:
            packet = os.read(leg, PACKET)
        except BlockingIOError:
            return
        except OSError:  # Its namespace has ended.
            self._selector.unregister(leg)
            return
        if len(packet) < 20 or packet[0] >> 4 != 4:
            return  # The kernel's own IPv6 chatter.
        source, destination = (str(IPv4Address(packet[at])) for at in (_SOURCE, _DESTINATION))
        self._carry(source, destination, packet)

    def _carry(self, source: str, destination: str, packet: bytes) -> None:
        weather = self.weather
        lost = self._chance.randrange(1_000) < weather.loss_permille
        if lost or not weather.passes(source, destination):
            self.lost += 1
            return
        late_ms = self._chance.randint(*weather.delay_ms)
        if late_ms:
            at_s = time.monotonic() + late_ms / 1000
            heapq.heappush(self._late, (at_s, next(self._count), destination, packet))
        else:
            self._write(destination, packet)

    def _write(self, destination: str, packet: bytes) -> None:
        leg = self._legs.get(destination)
        if leg is not None:
            with contextlib.suppress(OSError):  # A full queue or an ended namespace loses it.
                os.write(leg, packet)
                self.moved += 1
