"""Connections of the API: how many there may be, and how long a request may take to arrive.

uvicorn waits for ever for a request's head, and for a client that reads nothing; here both end, so
that a few slow strangers keep nobody else out.
"""

import asyncio
import socket
from collections import Counter
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from validator.api.guard import client_name

REQUEST_S = 15.0
"""For a request to arrive whole."""

STUCK_S = 30.0
"""A client that takes nothing of its answer for so long is cut off."""

MOST_CONNECTIONS = 512
MOST_OF_A_CLIENT = 64


class Door(H11Protocol):
    """One connection, with time limits."""

    inside: ClassVar[Counter[str]] = Counter()
    """Connections by client."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._arriving: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None
        self._name = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let in, or not."""
        super().connection_made(transport)
        self._name = client_name({"client": self.client})
        self.inside[self._name] += 1
        if self.inside[self._name] > MOST_OF_A_CLIENT or self.inside.total() > MOST_CONNECTIONS:
            transport.abort()
            return
        # A listener of the socket module's names no protocol, so asyncio leaves Nagle's delay on:
        # an answer of two packets would wait 40 ms for an acknowledgement.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._arriving = self.loop.call_later(REQUEST_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        for timer in (self._arriving, self._stuck):
            if timer is not None:
                timer.cancel()
        self.inside[self._name] -= 1
        if self.inside[self._name] <= 0:
            del self.inside[self._name]
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
