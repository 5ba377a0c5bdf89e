"""Who may connect to a validator, and what ends a connection."""

import asyncio
import contextlib
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gridwitness import certificates
from hsm import filekey
from tests.node.town import WAIT_S, Town
from validator.node.frames import MAX_FRAME
from validator.node.mesh import Mesh
from validator.node.peers import load_peers, open_record
from wire import cbor
from wire.errors import BadSignature, Malformed, Refused
from wire.peer import peer_message

CUT_OFF = b"\x00"
LARGEST_LENGTH = (2**32 - 1).to_bytes(4, "big")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    return Town(tmp_path_factory.mktemp("mesh"), 2)


class Ear:
    """A validator's side of the mesh that writes down what it hears."""

    def __init__(self, town: Town, name: str) -> None:
        peers = load_peers(town.folder / "peers.json", town.genesis, int(time.time()))
        home = town.home(name)
        self.heard: asyncio.Queue[tuple[str, list[Any]]] = asyncio.Queue()
        self.mesh = Mesh(name, peers, home / "tls.pem", home / "tls.key", self._hear)
        self.port = town.peer_ports[name]

    def _hear(self, peer: str, frame: list[Any]) -> None:
        if frame[0] == "nonsense":
            raise Malformed("nonsense")
        self.heard.put_nowait((peer, frame))


@contextlib.asynccontextmanager
async def listening(town: Town, *names: str) -> AsyncIterator[list[Ear]]:
    ears = [Ear(town, name) for name in names]
    for ear in ears:
        await ear.mesh.start("127.0.0.1", ear.port)
    try:
        yield ears
    finally:
        for ear in ears:
            await ear.mesh.stop()


def test_two_validators_hear_each_other(town: Town) -> None:
    async def talk() -> None:
        async with listening(town, "val-1", "val-2") as (one, other), asyncio.timeout(WAIT_S):
            connected = asyncio.Event()
            other.mesh.on_connect = lambda _: connected.set()
            await connected.wait()
            other.mesh.broadcast(["status", 7])
            assert await one.heard.get() == ("val-2", ["status", 7])

    asyncio.run(talk())


def context(town: Town, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """What a stranger brings."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    found.check_hostname = False
    found.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        found.load_cert_chain(certificate, key)
    return found


async def is_shut(town: Town, tls: ssl.SSLContext | None, sent: bytes) -> bool:
    """Connect to val-2, say something, and tell whether the other side ends it unheard."""
    async with listening(town, "val-2") as (ear,), asyncio.timeout(WAIT_S):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", ear.port, ssl=tls)
            writer.write(sent)
            await reader.read()
            writer.transport.abort()
        except OSError:
            pass
        return ear.heard.empty() and ear.mesh.connected == []


def frame(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


STATUS = frame(cbor.encode(["status", 1]))


def test_a_peer_without_a_certificate_is_refused(town: Town) -> None:
    assert asyncio.run(is_shut(town, context(town, None, None), STATUS))


def test_a_peer_with_another_certificate_of_the_same_name_is_refused(town: Town) -> None:
    certificate, key = town.folder / "copy.pem", town.folder / "copy.key"
    certificates.self_signed("val-1").write(certificate, key)
    assert asyncio.run(is_shut(town, context(town, certificate, key), STATUS))


def test_a_peer_without_tls_is_refused(town: Town) -> None:
    assert asyncio.run(is_shut(town, None, b"GET / HTTP/1.1\r\n\r\n" * 100))


@pytest.mark.parametrize(
    "sent",
    [
        LARGEST_LENGTH,
        (MAX_FRAME + 1).to_bytes(4, "big"),
        frame(b"\xff\xff"),
        frame(b""),
        frame(cbor.encode({})),
        frame(cbor.encode([])),
        frame(cbor.encode(["nonsense"])),
        CUT_OFF,
    ],
)
def test_what_is_no_frame_ends_the_connection(town: Town, sent: bytes) -> None:
    home = town.home("val-1")
    tls = context(town, home / "tls.pem", home / "tls.key")

    async def cut() -> bool:
        async with listening(town, "val-2") as (ear,), asyncio.timeout(WAIT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", ear.port, ssl=tls)
            writer.write(STATUS)
            assert await ear.heard.get() == ("val-1", ["status", 1])
            writer.write(sent)
            if sent != CUT_OFF:
                await reader.read()
            writer.transport.abort()
            while ear.mesh.connected:
                await asyncio.sleep(0)
            return ear.heard.empty()

    assert asyncio.run(cut())


def test_a_port_that_stays_silent_is_no_harm(town: Town) -> None:
    async def silent() -> None:
        async with listening(town, "val-1", "val-2") as (one, other), asyncio.timeout(WAIT_S):
            with socket.create_connection(("127.0.0.1", other.port)):
                connected = asyncio.Event()
                other.mesh.on_connect = lambda _: connected.set()
                await connected.wait()
                one.mesh.broadcast(["status", 2])
                assert (await other.heard.get())[1] == ["status", 2]

    asyncio.run(silent())


Edit = Callable[[list[dict[str, Any]]], object]


@pytest.mark.parametrize(
    ("edit", "refusal"),
    [
        (lambda each: each[0].update(address="127.0.0.1:1"), BadSignature),
        (lambda each: each[0].update(certificate=each[1]["certificate"]), BadSignature),
        (lambda each: each[0].update(expires_s=1), Malformed),
        (lambda each: each[0].update(id="val-9"), Malformed),
        (lambda each: each[0].update(signature="00" * 64), BadSignature),
        (lambda each: each[0].update(signature="no hex"), Malformed),
        (lambda each: each[0].pop("address"), Malformed),
    ],
)
def test_an_address_record_is_worth_its_signature(
    town: Town, tmp_path: Path, edit: Edit, refusal: type[Refused]
) -> None:
    records = json.loads((town.folder / "peers.json").read_text())
    edit(records)
    path = tmp_path / "peers.json"
    path.write_text(json.dumps(records))
    with pytest.raises(refusal):
        load_peers(path, town.genesis, int(time.time()))


def retold(town: Town, name: str, address: str, pem: str) -> dict[str, Any]:
    """A newer record of a validator."""
    expires_s = int(time.time()) + 7_200
    der = certificates.der(pem.encode())
    message = peer_message(town.genesis.network, name, address, der, expires_s)
    signature = filekey.load(town.home(name) / "key.pem", b"for the test").sign(message)
    told = {"id": name, "address": address, "certificate": pem, "expires_s": expires_s}
    return told | {"signature": signature.hex()}


async def meet(one: Ear, other: Ear, height: int) -> None:
    """Until the other's word arrives; what is sent while a link changes is lost."""
    while one.heard.empty() or (await one.heard.get())[1] != ["status", height]:
        other.mesh.broadcast(["status", height])
        await asyncio.sleep(0.02)


def test_who_is_told_later_is_met_and_who_has_a_new_certificate_is_met_anew(
    town: Town, tmp_path: Path
) -> None:
    new = certificates.self_signed("val-2")
    new.write(tmp_path / "tls.pem", tmp_path / "tls.key")
    where = f"127.0.0.1:{town.peer_ports['val-2']}"
    record = retold(town, "val-2", where, new.pem.decode())

    async def scenario() -> None:
        one = Ear(town, "val-1")
        all_peers = load_peers(town.folder / "peers.json", town.genesis, int(time.time()))
        home = town.home("val-1")
        one.mesh = Mesh("val-1", {}, home / "tls.pem", home / "tls.key", one._hear)
        await one.mesh.start("127.0.0.1", one.port)
        async with asyncio.timeout(WAIT_S), listening(town, "val-2") as (other,):
            assert one.mesh.known == []
            await one.mesh.update(all_peers)
            await meet(one, other, 1)
        moved = {"val-2": open_record(record, town.genesis, int(time.time()))}
        renewed = Ear(town, "val-2")
        renewed.mesh = Mesh(
            "val-2", all_peers, tmp_path / "tls.pem", tmp_path / "tls.key", renewed._hear
        )
        await renewed.mesh.start("127.0.0.1", renewed.port)
        async with asyncio.timeout(WAIT_S):
            await one.mesh.update(moved)
            await meet(one, renewed, 2)
        await renewed.mesh.stop()
        await one.mesh.stop()

    asyncio.run(scenario())


def test_who_is_no_peer_any_more_is_cut_off_and_not_let_in_again(town: Town) -> None:
    async def scenario() -> None:
        async with (
            asyncio.timeout(WAIT_S),
            listening(town, "val-1") as (one,),
            listening(town, "val-2") as (other,),
        ):
            await meet(one, other, 1)
            await other.mesh.update({})
            while one.mesh.connected or other.mesh.connected:
                await asyncio.sleep(0.02)
            # It knocks again: the other's trust store does not know its certificate any more.
            with contextlib.suppress(OSError):
                reader, _ = await asyncio.open_connection(
                    "127.0.0.1", other.port, ssl=one.mesh._client_context
                )
                assert await reader.read() == b""
            assert (other.mesh.known, other.mesh.connected) == ([], [])

    asyncio.run(scenario())


def test_a_certificate_that_is_no_use_harms_nobody_else(town: Town) -> None:
    peers = load_peers(town.folder / "peers.json", town.genesis, int(time.time()))
    spoiled = replace(peers["val-2"], id="val-3", pem="-----BEGIN CERTIFICATE-----\nAA==\n")
    home = town.home("val-1")
    mesh = Mesh(
        "val-1", {"val-3": spoiled} | peers, home / "tls.pem", home / "tls.key", lambda *_: None
    )
    assert mesh.known == ["val-2", "val-3"]
