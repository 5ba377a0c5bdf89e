"""Masters on one line, each fetching records as a gateway does, one request each time."""

import random
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from gateway.lines.frames import DeviceRefused, Garbled, Request, RtuFraming, registers
from gateway.lines.line import NoAnswer
from gateway.polling import window
from gateway.registered import SigningMeter

Exchange = Callable[[bytes], bytes]
"""Puts a request on the line; returns all that was said before the line was silent again."""


def flip(frame: bytes, byte: int, bit: int) -> bytes:
    """A frame with one bit turned."""
    return frame[:byte] + bytes((frame[byte] ^ 1 << bit,)) + frame[byte + 1 :]


class Turn:
    """Lets the other master speak."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class Line:
    """A line on which bytes are lost and bits turned, before one meter."""

    def __init__(self, exchange: Exchange, chance: random.Random, damage: float) -> None:
        self._exchange, self._chance, self._damage = exchange, chance, damage

    async def ask(self, request: Request) -> tuple[int, ...]:
        await Turn()
        framing = RtuFraming()
        said = self._exchange(self._carried(framing.frame(request)))
        reply = framing.take(bytearray(self._carried(said)), request)
        if reply is None:
            raise NoAnswer("nothing came")
        return registers(reply)

    def _carried(self, data: bytes) -> bytes:
        if not data or self._chance.random() >= self._damage:
            return data
        at = self._chance.randrange(len(data))
        kind = self._chance.randrange(4)
        if kind == 0:
            return b""
        if kind == 1:
            return data[:at]
        if kind == 2:
            return data[:at] + data[at + 1 :]
        return flip(data, at, self._chance.randrange(8))


async def fetch_all(
    line: Line, meter: SigningMeter, sequences: list[int], tried: list[int]
) -> list[bytes]:
    """Fetch records as a gateway does, again after each failure."""
    fetched = []
    for sequence in sequences:
        while True:
            tried.append(sequence)
            try:
                signed = await window.fetch(line.ask, meter, sequence)
            except (NoAnswer, Garbled, DeviceRefused, window.BadRecord):
                continue
            fetched.append(signed.encoded)
            break
    return fetched


def take_turns(
    masters: list[Coroutine[Any, Any, list[bytes]]], chance: random.Random
) -> list[list[bytes]]:
    """Let masters speak in any order, one request each time, until all are done."""
    results: dict[int, list[bytes]] = {}
    while len(results) < len(masters):
        i = chance.choice([i for i in range(len(masters)) if i not in results])
        try:
            masters[i].send(None)
        except StopIteration as end:
            results[i] = end.value
    return [results[i] for i in range(len(masters))]
