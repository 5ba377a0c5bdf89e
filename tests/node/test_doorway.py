"""Strangers at a validator's door: so many handshakes at once, so long each, and no more."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from gridwitness import certificates
from gridwitness.addresses import free_ports
from validator.node import doorway
from validator.node.doorway import MOST_FROM_ONE, Doorway


def trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class House:
    """A doorway, and who came in."""

    def __init__(self, folder: Path) -> None:
        certificates.self_signed("val-1").write(folder / "tls.pem", folder / "tls.key")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "tls.pem", folder / "tls.key")
        self.guests = 0
        self.door = Doorway(context, self._greet, 1024)
        self._strangers: list[asyncio.StreamWriter] = []
        [self.port] = free_ports(1)

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.guests += 1
        with contextlib.suppress(OSError, EOFError):
            writer.write(await reader.readexactly(2))
            await writer.drain()
        writer.close()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        self.door.open("127.0.0.1", self.port)
        try:
            yield
        finally:
            self.door.close()
            for writer in self._strangers:
                writer.transport.abort()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def knock(self, context: ssl.SSLContext | None = None) -> asyncio.StreamWriter:
        """Connect, and say nothing, or nothing after the handshake."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context)
        self._strangers.append(writer)
        return writer

    async def is_greeted(self) -> bool:
        """Whether a handshake is let through."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=trusting())
            self._strangers.append(writer)
            writer.write(b"hi")
            return await reader.read() == b"hi"
        except OSError:
            return False


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await test()

    asyncio.run(bounded())


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.005)


def test_a_handshake_is_let_through_and_heard_from_its_first_byte(house: House) -> None:
    async def talk() -> None:
        async with house.open():
            assert [await house.is_greeted() for _ in range(3 * MOST_FROM_ONE)] == [True] * 24

    run(talk)


def test_one_address_has_so_many_handshakes_under_way(house: House) -> None:
    async def talk() -> None:
        async with house.open():
            silent = [await house.knock() for _ in range(MOST_FROM_ONE)]
            await until(lambda: house.door.under_way == MOST_FROM_ONE)
            assert not await house.is_greeted()
            assert house.door.turned_away == 1
            silent[0].transport.abort()
            await until(lambda: house.door.under_way < MOST_FROM_ONE)
            assert await house.is_greeted()

    run(talk)


def test_a_handshake_that_goes_on_for_ever_is_ended(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorway, "HANDSHAKE_S", 0.2)

    async def talk() -> None:
        async with house.open():
            (await house.knock()).write(b"\x16\x03\x01")
            await until(lambda: house.door.under_way == 1)
            await until(lambda: house.door.under_way == 0)
            assert await house.is_greeted()

    run(talk)


def test_strangers_from_everywhere_do_not_keep_a_validator_out(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of strangers so many are let in altogether; whose address is a validator's is none."""
    monkeypatch.setattr(doorway, "MOST_STRANGERS", 3)

    async def talk() -> None:
        async with house.open():
            for _ in range(3):
                await house.knock()
            await until(lambda: house.door.under_way == 3)
            assert not await house.is_greeted()
            house.door.known = {"127.0.0.1"}
            assert await house.is_greeted()

    run(talk)


def test_who_is_let_in_counts_no_more_as_one_who_knocks(house: House) -> None:
    async def talk() -> None:
        async with house.open():
            for _ in range(MOST_FROM_ONE + 2):
                await house.knock(trusting())
            await until(lambda: house.guests == MOST_FROM_ONE + 2)

    run(talk)
