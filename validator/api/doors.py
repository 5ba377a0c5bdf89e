"""Connections of the API: how many there may be, and how long a request may take to arrive.

uvicorn waits for ever for a request's head, and for a client that reads nothing; here both end, so
that a few slow strangers keep nobody else out. Connections are counted where they are accepted:
who only begins a TLS handshake takes a file descriptor too, and the ledger needs some.
"""

import asyncio
import contextlib
import socket
from collections import Counter
from typing import Any, ClassVar, Self

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from validator.api.guard import client_name

REQUEST_S = 15.0
"""For a request to arrive whole."""

STUCK_S = 30.0
"""A client that takes nothing of its answer for so long is cut off."""

MOST_CONNECTIONS = 512
MOST_OF_A_CLIENT = 64


class Guest(socket.socket):
    """One accepted connection; counted until it is closed."""

    inside: ClassVar[Counter[str]] = Counter()
    """Connections by client."""

    knocking: ClassVar[dict[tuple[str, int], "Guest"]] = {}
    """Whose handshake has not ended, by the client's address and port."""

    ended: ClassVar[Counter[str]] = Counter()
    """How many were turned away, and how many given up in their handshake, since the start."""

    def __init__(self, connection: socket.socket, address: tuple[Any, ...]) -> None:
        """Take over an accepted socket."""
        super().__init__(fileno=connection.detach())
        self._name, self._place = client_name({"client": address}), address[:2]
        self._patience: asyncio.TimerHandle | None = None
        self.inside[self._name] += 1

    @property
    def is_welcome(self) -> bool:
        """Whether there is room for it."""
        room = self.inside.total() <= MOST_CONNECTIONS
        return room and self.inside[self._name] <= MOST_OF_A_CLIENT

    def knock(self) -> None:
        """Its handshake begins."""
        loop = asyncio.get_running_loop()
        self._patience = loop.call_later(REQUEST_S, self._give_up)
        self.knocking[self._place] = self

    def _give_up(self) -> None:
        self.ended["given up"] += 1
        with contextlib.suppress(OSError):  # It has gone.
            self.shutdown(socket.SHUT_RDWR)

    @classmethod
    def enter(cls, place: tuple[str, int] | None) -> None:
        """The handshake of who comes from there has ended."""
        guest = None if place is None else cls.knocking.get(place)
        if guest is not None:
            guest._stay()

    def _stay(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
        # Who went and came again from the same port knocks for itself.
        if self.knocking.get(self._place) is self:
            del self.knocking[self._place]

    def close(self) -> None:
        """Close it, and count it no more."""
        if self.fileno() >= 0:
            self._stay()
            self.inside[self._name] -= 1
            if self.inside[self._name] <= 0:
                del self.inside[self._name]
        super().close()


class Listener(socket.socket):
    """Lets so many connections in, and gives each so long for its TLS handshake."""

    @classmethod
    def of(cls, listening: socket.socket) -> Self:
        """Take over a listening socket."""
        return cls(fileno=listening.detach())

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection; BlockingIOError when nobody waits, or is turned away."""
        connection, address = super().accept()
        guest = Guest(connection, address)
        if not guest.is_welcome:
            Guest.ended["turned away"] += 1
            guest.close()
            raise BlockingIOError
        guest.knock()
        return guest, address


class Door(H11Protocol):
    """One connection, with time limits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._arriving: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The handshake, if any, has ended."""
        super().connection_made(transport)
        Guest.enter(self.client)
        # A listener of the socket module's names no protocol, so asyncio leaves Nagle's delay on:
        # an answer of two packets would wait 40 ms for an acknowledgement.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._arriving = self.loop.call_later(REQUEST_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        for timer in (self._arriving, self._stuck):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in what arrives; the clock runs from a request's first byte to its last."""
        super().data_received(data)
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            if self._arriving is None:
                self._arriving = self.loop.call_later(REQUEST_S, self.transport.abort)
        elif self._arriving is not None:
            self._arriving.cancel()
            self._arriving = None

    def pause_writing(self) -> None:
        """The client reads slowly."""
        self.flow.pause_writing()
        self._stuck = self.loop.call_later(STUCK_S, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads again."""
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
        self.flow.resume_writing()
