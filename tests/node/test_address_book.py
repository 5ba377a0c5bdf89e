"""Address records and who hands them out: worth their signature, newest wins, bounded."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from gridwitness import certificates
from tests.app.village import Village, signer
from tests.node.square import found
from validator import bootnode
from validator.node.finding import Bootnode, Finder
from validator.node.peers import RENEW_S, VALID_S, AddressBook, Peer, load_peers, open_record
from wire.errors import BadSignature, Malformed, Unavailable
from wire.genesis import Genesis
from wire.peer import peer_message

NOW_S = int(time.time())
NAMES = ("val-1", "val-2", "val-3", "val-4")
CERTIFICATES = {name: certificates.self_signed(name).pem.decode() for name in NAMES}

Record = dict[str, Any]


@pytest.fixture(scope="module")
def genesis() -> Genesis:
    return Village(found).genesis


@pytest.fixture
def book(tmp_path: Path, genesis: Genesis) -> AddressBook:
    return AddressBook(genesis, tmp_path / "kept.json")


def record(
    genesis: Genesis, name: str, port: int = 1, valid_s: int = 1_000, shown: str = ""
) -> Record:
    address, expires_s = f"host:{port}", NOW_S + valid_s
    pem = CERTIFICATES[shown or name]
    der = certificates.der(pem.encode())
    message = peer_message(genesis.network, name, address, der, expires_s)
    told = {"id": name, "address": address, "certificate": pem}
    return told | {"expires_s": expires_s, "signature": signer(name).sign(message).hex()}


def test_of_two_records_the_one_that_expires_later_counts(
    book: AddressBook, genesis: Genesis
) -> None:
    assert book.take(record(genesis, "val-1", 1), NOW_S)
    assert book.take(record(genesis, "val-1", 2, 2_000), NOW_S)
    for older in (record(genesis, "val-1", 3, 1_500), record(genesis, "val-1", 3, 2_000)):
        assert not book.take(older, NOW_S)
    assert (book.peers["val-1"].host, book.peers["val-1"].port) == ("host", 2)


def test_nobody_shows_anothers_certificate_as_his_own(book: AddressBook, genesis: Genesis) -> None:
    """Who comes with that certificate would be taken for the liar, and never be heard."""
    with pytest.raises(Malformed, match="subject is not its id"):
        book.take(record(genesis, "val-1", shown="val-2"), NOW_S)


def test_what_was_taken_is_there_after_a_restart(
    book: AddressBook, genesis: Genesis, tmp_path: Path
) -> None:
    for name in NAMES[:2]:
        book.take(record(genesis, name), NOW_S)
    again = AddressBook(genesis, tmp_path / "kept.json")
    again.recall(NOW_S)
    assert again.peers == book.peers
    assert load_peers(tmp_path / "kept.json", genesis, NOW_S) == book.peers


@pytest.mark.parametrize("content", ["", "{}", "[1]", "[" * 50_000, '[{"id": "val-1"}]'])
def test_a_damaged_file_of_kept_records_costs_nothing_else(
    genesis: Genesis, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "kept.json"
    path.write_text(content)
    book = AddressBook(genesis, path)
    book.recall(NOW_S)
    assert book.peers == {}
    assert book.take(record(genesis, "val-1"), NOW_S)


def test_an_expired_record_of_one_keeps_nobody_else_from_starting(
    book: AddressBook, genesis: Genesis, tmp_path: Path
) -> None:
    path = tmp_path / "peers.json"
    path.write_text(json.dumps([record(genesis, "val-1", 1, -1), record(genesis, "val-2")]))
    book.read(path, NOW_S)
    assert list(book.peers) == ["val-2"]


def test_the_own_record_is_signed_anew_when_something_changes_or_it_ends_soon(
    book: AddressBook, genesis: Genesis
) -> None:
    key, pem = signer("val-1"), CERTIFICATES["val-1"]
    another = certificates.self_signed("val-1").pem.decode()
    first = book.own("val-1", "here:1", pem, key, NOW_S)
    assert first["expires_s"] == NOW_S + VALID_S
    assert book.take(first, NOW_S)
    assert book.own("val-1", "here:1", pem, key, NOW_S + 1) == first
    for moved in (
        book.own("val-1", "there:1", pem, key, NOW_S - 9_000),
        book.own("val-1", "here:1", another, key, NOW_S),
        book.own("val-1", "here:1", pem, key, NOW_S + VALID_S - RENEW_S),
    ):
        assert moved["expires_s"] > first["expires_s"]
        assert open_record(moved, genesis, NOW_S).id == "val-1"


# The bootnode's pages.


class Pages:
    """A bootnode's pages without a socket."""

    def __init__(self, genesis: Genesis, book: AddressBook, kept: Path) -> None:
        self.registered = bootnode.Registered(genesis, kept)
        self._app = bootnode.application(genesis, self.registered, book)

    def ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        async def talk() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://it") as client:
                return await client.request(method, path, **content)

        return asyncio.run(talk())

    def put(self, **content: Any) -> int:
        return self.ask("PUT", "/records", **content).status_code

    def get(self, path: str = "/records") -> Any:
        return self.ask("GET", path).json()


@pytest.fixture
def pages(book: AddressBook, genesis: Genesis, tmp_path: Path) -> Pages:
    return Pages(genesis, book, tmp_path / "changes")


def test_a_bootnode_hands_out_what_it_was_offered(pages: Pages, genesis: Genesis) -> None:
    told = record(genesis, "val-3")
    assert [pages.put(json=told) for _ in range(2)] == [200, 208]
    assert pages.get() == {"network": genesis.network.hex(), "records": [told]}
    assert pages.get("/healthz") == {"known": 1, "validators": 4}


HOSTILE: list[Any] = [
    *(None, 1, [], {}, "record", [[]]),
    *({"id": value} for value in [None, [1], {"1": 1}, 1, "val-9", "x" * 10_000]),
    *(
        {"address": each}
        for each in (None, 1, "", "host", "host:0", "host:65536", ":1", "h:\u0661")
    ),
    *({"address": "x" * 1_000 + ":1"}, {"certificate": None}, {"certificate": ""}),
    *({"certificate": CERTIFICATES["val-2"]}, {"certificate": "-----BEGIN CERTIFICATE-----"}),
    *({"expires_s": each} for each in (None, "1", True, -1, 1, 2**70, 1e300, 0.5)),
    *({"signature": each} for each in (None, 1, "", "zz", "00" * 64, "00" * 1_000)),
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_nothing_but_a_signed_record_is_taken(pages: Pages, genesis: Genesis, hostile: Any) -> None:
    body = record(genesis, "val-1") | hostile if hostile and type(hostile) is dict else hostile
    assert pages.put(json=body) == 422
    assert pages.get()["records"] == []


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 422), (b"\xff", 422), (b"[" * 10_000, 422), (b"[" * 20_000, 413)],
)
def test_bytes_that_are_no_record_are_refused_in_words(
    pages: Pages, body: bytes, status: int
) -> None:
    assert pages.put(content=body) == status


def test_a_flood_of_offers_is_not_checked_for_ever(pages: Pages) -> None:
    answers = [pages.put(json={}) for _ in range(300)]
    assert answers.count(422) < 250
    assert answers[-1] == 429


# Who asks bootnodes.


class Telling(Bootnode):
    """A bootnode in memory."""

    told: list[Any]
    offered: list[Mapping[str, Any]]
    away: bool

    @classmethod
    def of(cls, number: int, *told: Any) -> "Telling":
        made = cls("bootnode", number)
        object.__setattr__(made, "told", list(told))
        object.__setattr__(made, "offered", [])
        return made

    def records(self) -> Sequence[Mapping[str, Any]]:
        if self.told == ["away"]:
            raise Unavailable("away")
        return self.told

    def offer(self, record: Mapping[str, Any]) -> None:
        self.offered.append(record)


class Links:
    """A mesh that writes down what it learns."""

    def __init__(self) -> None:
        self.connected: list[str] = []
        self.learnt: list[Mapping[str, Peer]] = []

    async def update(self, peers: Mapping[str, Peer]) -> None:
        self.learnt.append(peers)


def look(book: AddressBook, genesis: Genesis, *bootnodes: Bootnode) -> Links:
    links, own = Links(), record(genesis, "val-1")
    finder = Finder(links, book, bootnodes, lambda _: own, lambda: 3)
    for _ in range(2):
        asyncio.run(finder.look())
    return links


def test_each_bootnode_is_asked_and_the_newest_of_all_counts(
    book: AddressBook, genesis: Genesis
) -> None:
    old, new = record(genesis, "val-2", 1), record(genesis, "val-2", 2, 2_000)
    one, other = Telling.of(1, new), Telling.of(2, old, record(genesis, "val-3"))
    links = look(book, genesis, one, other)
    [learnt] = links.learnt
    assert {name: peer.port for name, peer in learnt.items()} == {
        "val-1": 1,
        "val-2": 2,
        "val-3": 1,
    }
    assert len(one.offered) == len(other.offered) == 2


def test_a_bootnode_that_knows_this_validator_is_told_nothing(
    book: AddressBook, genesis: Genesis
) -> None:
    knowing = Telling.of(1, record(genesis, "val-1"))
    look(book, genesis, knowing)
    assert knowing.offered == []


def test_liars_and_the_absent_keep_nobody_from_the_others(
    book: AddressBook, genesis: Genesis
) -> None:
    forged = record(genesis, "val-4") | {"address": "liar:1"}
    liar = Telling.of(1, forged, {}, {"id": []})
    links = look(
        book, genesis, Telling.of(2, "away"), liar, Telling.of(3, record(genesis, "val-2"))
    )
    assert sorted(links.learnt[0]) == ["val-1", "val-2"]


def test_a_bootnode_that_is_none_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        Bootnode("127.0.0.1", 1).records()


def test_a_forged_record_is_refused_by_its_name(book: AddressBook, genesis: Genesis) -> None:
    with pytest.raises(BadSignature, match="val-4"):
        book.take(record(genesis, "val-4") | {"address": "liar:1"}, NOW_S)
    with pytest.raises(Malformed, match="no validator"):
        book.take(record(genesis, "val-4") | {"id": "val-9"}, NOW_S)
