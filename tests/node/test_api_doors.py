"""Strangers at the API's doors: too many, too much, too slow, malformed; TLS beyond loopback."""

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gridwitness import certificates
from tests.node.office import PLENTY, Bureau, ask, served
from tests.node.town import wait_for
from validator.api import doors, guard
from validator.api.guard import Guard, Limits, client_name
from validator.api.server import Certificate, ServingThread
from validator.config import Address
from validator.node.frames import Rate
from wire.errors import Unavailable


@pytest.fixture(scope="module")
def bureau(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bureau]:
    bureau = Bureau(tmp_path_factory.mktemp("doors"))
    bureau.grow(2)
    yield bureau
    bureau.close()


@pytest.fixture(scope="module")
def door(bureau: Bureau) -> Iterator[Address]:
    with served(bureau) as address:
        yield address


def talk(door: Address, sent: bytes, *, waits: bool = False) -> bytes:
    """All that comes back; one who waits says nothing more, and the server ends the connection."""
    told = b""
    address = (door.host, door.port)
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=10) as connection:
        connection.sendall(sent)
        if not waits:
            connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(65_536):
            told += part
    return told


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\xff" * 5_000 + b"\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
        b"POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /rpc HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\nzz",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),
    ],
)
def test_what_is_no_request_is_turned_away(door: Address, sent: bytes) -> None:
    told = talk(door, sent)
    assert not told.startswith(b"HTTP/1.1 5")
    assert httpx.get(f"http://{door}/healthz", trust_env=False).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..\\..\\etc\\passwd",
        "//etc/passwd",
        "/libraries/../../config.py",
        "/api/v1/blocks/../../../etc/passwd",
    ],
)
def test_no_path_leads_out_of_the_explorers_folder(door: Address, path: str) -> None:
    sent = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    told = talk(door, sent, waits=True)
    assert told.startswith(b"HTTP/1.1 404")
    assert b"root:" not in told


def test_a_request_that_never_ends_is_cut_off(
    door: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "REQUEST_S", 0.2)
    for sent in (b"", b"GET / HTTP/1.1\r\nX:", b"POST /rpc HTTP/1.1\r\nContent-Length: 9\r\n\r\n1"):
        talk(door, sent, waits=True)  # It comes back only because the server ends it.


def test_one_address_has_so_many_connections_and_others_still_come_in(
    door: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "MOST_OF_A_CLIENT", 3)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(socket.create_connection((door.host, door.port)))
        wait_for("three are inside", lambda: doors.Guest.inside["127.0.0.1"] == 3)
        assert talk(door, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", waits=True) == b""
        assert doors.Guest.inside["127.0.0.1"] == 3
    wait_for("all have left", lambda: not doors.Guest.inside)
    assert httpx.get(f"http://{door}/healthz", trust_env=False).status_code == 200


def test_a_client_that_reads_nothing_is_cut_off(
    door: Address, bureau: Bureau, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "STUCK_S", 0.2)
    with socket.create_connection((door.host, door.port), timeout=10) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        question = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
        with contextlib.suppress(OSError):
            for _ in range(2_000):
                connection.sendall(question)
        wait_for("it is out", lambda: not doors.Guest.inside)


BODIES = {
    "huge": b"[" + b"1," * 200_000 + b"1]",
    "deep": b"[" * 100_000,
    "deep and closed": b"[" * 50_000 + b"]" * 50_000,
    "bad UTF-8": b'{"jsonrpc": "2.0", "method": "\xff\xfe", "id": 1}',
    "long number": b'{"jsonrpc": "2.0", "id": ' + b"9" * 10_000 + b"}",
    "no number": b'{"jsonrpc": "2.0", "method": "health", "id": NaN}',
    "lone surrogate": b'{"jsonrpc": "2.0", "method": "health", "id": "\\ud800"}',
    "many": json.dumps([{"jsonrpc": "2.0", "method": "health", "id": 1}] * 51).encode(),
}


@pytest.mark.parametrize("name", BODIES)
def test_hostile_bodies_are_answered_and_cost_little(bureau: Bureau, name: str) -> None:
    answer = ask(bureau, "/rpc", "POST", content=BODIES[name])
    assert answer.status_code == (413 if name == "huge" else 200)
    for path in ("/api/v1/transactions",):
        kind = {"Content-Type": "application/cbor"}
        answer = ask(bureau, path, "POST", content=BODIES[name], headers=kind)
        assert answer.status_code in (413, 422)


def test_who_asks_too_often_is_told_when_to_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "_PER_S", 0)
    limits = Limits(requests=Rate(0.001, 5), posts=Rate(0.001, 2))
    bureau = Bureau(tmp_path, limits)
    codes = [ask(bureau, "/healthz").status_code for _ in range(6)]
    assert codes == [200] * 5 + [429]
    answer = ask(bureau, "/healthz")
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["remedy"]
    assert answer.headers["content-security-policy"]
    bureau.close()


def test_a_batch_costs_what_its_calls_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else fifty thousand blocks are read for the price of one page."""
    monkeypatch.setattr(guard, "_PER_S", 0)
    bureau = Bureau(tmp_path, Limits(requests=Rate(0.5, 60), posts=PLENTY.posts))
    batch = [{"jsonrpc": "2.0", "method": "health", "id": number} for number in range(50)]
    answers = [ask(bureau, "/rpc", "POST", json=batch) for _ in range(3)]
    assert [each.status_code for each in answers] == [200, 200, 429]
    assert 60 <= int(answers[-1].headers["retry-after"]) <= 80
    bureau.close()


def test_what_takes_long_is_paid_for_by_who_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "_SHORT_S", -1.0)
    bureau = Bureau(tmp_path, Limits(requests=Rate(0.5, 60), posts=PLENTY.posts))
    assert [ask(bureau, "/healthz").status_code for _ in range(2)] == [200, 429]
    bureau.close()


def test_one_subscribers_addresses_are_one_client() -> None:
    def name(host: str) -> str:
        return client_name({"client": (host, 1)})

    assert name("2001:db8::1") == name("2001:db8::ffff:2") != name("2001:db8:0:1::1")
    assert name("::ffff:192.0.2.1") == name("192.0.2.1") != name("192.0.2.2")
    assert name("fe80::1%eth0") == name("fe80::2")


def test_a_body_that_dribbles_in_is_given_up(bureau: Bureau) -> None:
    limits = Limits(PLENTY.requests, PLENTY.posts, body_s=0.05)
    guard = Guard(bureau.pages.app, limits)
    told: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def send(message: dict[str, object]) -> None:
        told.append(message)

    scope = {"type": "http", "method": "POST", "path": "/rpc", "headers": [], "query_string": b""}
    asyncio.run(guard(scope | {"raw_path": b"/rpc"}, receive, send))  # type: ignore[arg-type]
    assert told[0]["status"] == 408


def shown(folder: Path) -> Certificate:
    ca = certificates.make_ca("the operators")
    issued = certificates.issue(ca, "127.0.0.1", certificates.SERVER)
    ca.write(folder / "ca.pem", folder / "ca.key")
    issued.write(folder / "api.pem", folder / "api.key")
    return Certificate(folder / "api.pem", folder / "api.key")


def test_over_tls_the_same_pages_are_served(bureau: Bureau, tmp_path: Path) -> None:
    with served(bureau, shown(tmp_path)) as address:
        trusted = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        answer = httpx.get(f"https://{address}/healthz", verify=trusted, trust_env=False)
        assert answer.headers["strict-transport-security"]
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://{address}/healthz", trust_env=False)


def test_who_begins_no_tls_handshake_is_counted_and_given_up(
    bureau: Bureau, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who only connects sends no request, and takes a file descriptor all the same."""
    monkeypatch.setattr(doors, "MOST_OF_A_CLIENT", 3)
    with served(bureau, shown(tmp_path)) as address, contextlib.ExitStack() as stack:
        idle = [socket.create_connection((address.host, address.port), 10) for _ in range(3)]
        for each in idle:
            stack.enter_context(each)
        wait_for("three are counted", lambda: doors.Guest.inside["127.0.0.1"] == 3)
        assert talk(address, b"", waits=True) == b""
        assert doors.Guest.inside["127.0.0.1"] == 3
        idle[0].close()
        wait_for("one has left", lambda: len(doors.Guest.knocking) == 2)
        monkeypatch.setattr(doors, "REQUEST_S", 0.2)
        assert talk(address, b"", waits=True) == b""
    wait_for("all have left", lambda: not doors.Guest.knocking)


@pytest.mark.parametrize("held_back", [1, 0])
def test_a_tls_handshake_that_never_ends_is_given_up_and_told(
    bureau: Bureau, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held_back: int
) -> None:
    """A client's first words, whole or without their end, and then nothing."""
    monkeypatch.setattr(doors, "REQUEST_S", 0.2)
    first_words, before = ssl.MemoryBIO(), doors.Guest.ended["given up"]
    with pytest.raises(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(
            ssl.MemoryBIO(), first_words, server_hostname="it"
        ).do_handshake()
    sent = first_words.read()
    with served(bureau, shown(tmp_path)) as address:
        talk(address, sent[: len(sent) - held_back], waits=True)
        assert doors.Guest.ended["given up"] == before + 1
    wait_for("it has left", lambda: not doors.Guest.inside)


def test_who_comes_again_from_the_same_port_has_its_own_time_for_the_handshake() -> None:
    async def twice() -> None:
        here, there = socket.socketpair(), socket.socketpair()
        first, again = (doors.Guest(each[0], ("192.0.2.1", 9)) for each in (here, there))
        first.knock()
        again.knock()
        first.close()
        assert list(doors.Guest.knocking.values()) == [again]
        for each in (again, here[1], there[1]):
            each.close()
        assert not doors.Guest.knocking

    asyncio.run(twice())


def test_a_taken_port_is_told_at_once(door: Address, bureau: Bureau) -> None:
    with pytest.raises(Unavailable, match="cannot listen"):
        ServingThread(bureau.pages.guarded, door, "the API")
