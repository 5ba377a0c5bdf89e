"""Everything that a peer can put into a frame: refused or answered, and nothing is broken by it."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.node.chain import Chain
from tests.node.square import WallClock
from validator.consensus.timeouts import Pace
from validator.node.catching_up import CatchingUp
from validator.node.evidence_pool import EvidencePool
from validator.node.exchange import Ears, Exchange
from validator.node.fetching import Fetching
from validator.node.frames import HEAD, KINDS, decode, kind_of
from validator.node.hearing import Hearing
from validator.node.mempool import Mempool
from validator.node.registrar import Registrar
from validator.node.verification import Book
from wire import cbor
from wire.errors import Refused

HASH = bytes(32)
VALUES: list[Any] = [
    *(-1, 0, 1, 2**62, 2**63, 2**64 - 1, "1", b"1", None, True, [1], {1: 2}, HASH, b"\x80"),
    cbor.encode([1, HASH, []]),
]


class Links:
    """A mesh that writes down what is sent and what is blamed."""

    def __init__(self) -> None:
        self.sent: list[list[Any]] = []
        self.blamed: list[str] = []
        self.has_budget = True
        self.looks = 0
        self.connected: list[str] = []

    def send(self, peer: str, frame: list[Any]) -> None:
        self.sent.append(frame)

    def broadcast(self, frame: list[Any]) -> None:
        self.sent.append(frame)

    def blame(self, peer: str, cost: float, words: str) -> None:
        self.blamed.append(words)

    def may_answer(self, peer: str) -> bool:
        return self.has_budget

    def looked_up(self, peer: str, blocks: int) -> None:
        self.looks += blocks


class Desk:
    """An exchange over a ledger of three blocks."""

    def __init__(self, folder: Path) -> None:
        self.chain = chain = Chain(folder)
        self.batch = chain.interval(0)
        self.block = chain.append([self.batch], 0).block
        chain.append([], 1)
        self.links = links = Links()
        mempool = Mempool()
        driver = SimpleNamespace(
            tip=chain.tip,
            mempool=mempool,
            store=chain.store,
            proposed=chain.store.encoded_block,
            receive=lambda _: None,
            pace=Pace(),
        )
        check = cast(Any, None)
        genesis = chain.genesis
        self.exchange = Exchange(
            cast(Any, links),
            cast(Any, driver),
            Ears(
                Hearing(genesis.network, lambda _: genesis.validators),
                Fetching(links, check),
                CatchingUp(links, cast(Any, driver), 0),
                Registrar(chain.app, mempool, chain.store, Book(), WallClock()),
                EvidencePool(chain.blocks, mempool, chain.store),
            ),
        )

    def hear(self, frame: Any) -> None:
        """As the mesh does it."""
        data = cbor.encode(frame)
        self.exchange.handle("val-2", cast(Any, decode(data, kind_of(data[:HEAD]))))

    def answer(self, *question: Any) -> list[list[Any]]:
        self.links.sent.clear()
        self.hear(list(question))
        return self.links.sent


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    desk = Desk(tmp_path_factory.mktemp("desk"))
    yield desk
    desk.chain.store.close()


@pytest.mark.parametrize("name", [*KINDS, "consensus", "unknown", 1, None, [], {}])
def test_no_frame_does_more_than_to_be_refused(desk: Desk, name: Any) -> None:
    refused = 0
    for count in range(4):
        for values in product(VALUES, repeat=min(count, 2)):
            frames = [[name, *values, *[b""] * (count > 2)], ["consensus", cbor.encode([name])]]
            for frame in frames:
                try:
                    desk.hear(frame)
                except Refused:
                    refused += 1
    assert refused


@pytest.mark.parametrize("frame", [None, 1, "status", {}, {"status": 1}, [], [[]], [b"status", 1]])
def test_what_is_no_frame_is_refused(desk: Desk, frame: Any) -> None:
    with pytest.raises(Refused):
        desk.hear(frame)


def test_what_is_asked_for_is_answered_from_the_ledger(desk: Desk) -> None:
    assert desk.answer("get-batch", desk.batch.batch_id) == [
        ["batch", desk.batch.batch_id, desk.batch.encoded]
    ]
    digest = desk.block.digest
    assert desk.answer("get-block", digest) == [["block", digest, desk.block.encoded]]
    [[kind, first, *entries]] = desk.answer("get-final", 1, 2**20)
    assert (kind, first, len(entries)) == ("final", 1, 2)
    assert cbor.decode(entries[0])[2] == [desk.batch.encoded]


def test_what_nobody_has_is_not_answered_but_for_the_end_of_the_ledger(desk: Desk) -> None:
    assert desk.answer("get-batch", HASH) == []
    assert desk.answer("get-block", HASH) == []
    assert desk.answer("get-final", 9, 2**20) == [["final", 9]]


def test_each_look_into_the_ledger_is_charged_to_who_asked(desk: Desk) -> None:
    desk.links.looks = 0
    desk.answer("get-final", 1, 2**20)
    assert desk.links.looks == 3, "two blocks, and a look for the third"
    desk.answer("get-final", 2**62 - 1, 2**20)
    assert desk.links.looks == 4


def test_a_ping_is_answered_with_its_token_and_a_pong_nobody_waits_for_is_passed_over(
    desk: Desk,
) -> None:
    assert desk.answer("ping", bytes(range(8))) == [["pong", bytes(range(8))]]
    assert desk.answer("pong", bytes(8)) == []
    with pytest.raises(Refused):
        desk.answer("ping", bytes(9))


def test_a_peer_without_budget_is_not_answered(desk: Desk) -> None:
    desk.links.has_budget = False
    try:
        assert desk.answer("get-batch", desk.batch.batch_id) == []
        assert desk.answer("get-block", desk.block.digest) == []
        assert desk.answer("get-final", 1, 2**20) == []
    finally:
        desk.links.has_budget = True


def test_evidence_that_proves_nothing_is_blamed_and_no_reason_to_part(desk: Desk) -> None:
    desk.links.blamed.clear()
    desk.hear(["evidence", cbor.encode([b"", b""])])
    [words] = desk.links.blamed
    assert "proves nothing" in words
