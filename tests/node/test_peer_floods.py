"""An authorised validator turns against the three others: whatever it sends, they go on.

val-1 is down and its key and certificate are the attacker's. Three of four are exactly a quorum, so
every block that is made while it floods shows that none of them has become deaf or slow.
"""

import contextlib
import itertools
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from hsm import filekey
from tests.app.enrolments import retire
from tests.node.town import Town, wait_for
from validator.consensus.evidence import Evidence
from validator.consensus.messages import (
    Commit,
    Message,
    Prepare,
    Proposal,
    RoundChange,
    encode_message,
)
from validator.node.frames import MAX_FRAME
from wire import cbor

OTHERS = ("val-2", "val-3", "val-4")
BLOCKS = 6
"""So many blocks have to be made under each flood."""

HASH = bytes(32)

Frames = Iterator[bytes]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    town = Town(tmp_path_factory.mktemp("floods"), 4, empty_block_interval_ms=100)
    try:
        town.broker.start()
        town.start(*OTHERS)
        wait_for("blocks", lambda: min(town.heights()) >= 3)
        yield town
    finally:
        town.close()


class Attacker:
    """One connection to each of the three, filled as fast as they take it."""

    def __init__(self, town: Town, frames: Callable[[], Frames]) -> None:
        home = town.home("val-1")
        self._town = town
        self._frames = frames
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE
        self._tls.load_cert_chain(home / "tls.pem", home / "tls.key")
        self._ended = threading.Event()
        self.sent = dict.fromkeys(OTHERS, 0)
        self._threads = [threading.Thread(target=self._flood, args=(name,)) for name in OTHERS]

    def __enter__(self) -> "Attacker":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _flood(self, name: str) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(OSError):
                self._fill(name)
            self._ended.wait(0.05)

    def _fill(self, name: str) -> None:
        """Send until cut off; what comes back is read only when the other would wait for it."""
        with (
            socket.create_connection(("127.0.0.1", self._town.peer_ports[name]), 1) as plain,
            self._tls.wrap_socket(plain) as connection,
        ):
            connection.settimeout(0.2)
            for each in self._frames():
                data = len(each).to_bytes(4, "big") + each
                while data and not self._ended.is_set():
                    with contextlib.suppress(TimeoutError):
                        data = data[connection.send(data) :]
                if self._ended.is_set():
                    return
                self.sent[name] += 1


def again(*frames: list[Any]) -> Frames:
    return itertools.cycle([cbor.encode(frame) for frame in frames])


def in_turn(*floods: Frames) -> Frames:
    while True:
        yield from map(next, floods)


class Liar:
    """val-1's key: signs what it likes, for a height that moves on."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._key = filekey.load(town.home("val-1") / "key.pem", b"for the test")
        self.height = max(town.heights())

    def signed(self, message: Message) -> Message:
        said = message.signed_bytes(self._town.genesis.network)
        return replace(message, signature=self._key.sign(said))

    def say(self, message: Message) -> bytes:
        return cbor.encode(["consensus", encode_message(self.signed(message))])

    def votes(self) -> Frames:
        """Good signatures over ever new votes and round changes, and one vote again and again."""
        old = self.say(Commit(self.height + 1, 0, "val-1", HASH))
        for number in itertools.count():
            height, digest = self.height + number // 50, number.to_bytes(32, "big")
            yield self.say(Prepare(height, 0, "val-1", digest))
            yield self.say(RoundChange(height, number, "val-1", None, None))
            yield from [old] * 5

    def proposals(self) -> Frames:
        block = cbor.encode([0] * 1_000_000)
        for number in itertools.count():
            digest, height = number.to_bytes(32, "big"), self.height + number // 4
            yield self.say(Proposal(height, number % 7, "val-1", digest, block))

    def evidence(self) -> Frames:
        """True evidence against itself, without end."""
        for number in itertools.count():
            pair = [Prepare(self.height, number, "val-1", bytes([each]) * 32) for each in (1, 2)]
            first, second = map(self.signed, pair)
            yield cbor.encode(["evidence", Evidence(first, second).encoded])


def transactions(town: Town) -> Frames:
    """Well formed ones, none of them fit for a block."""
    for number in itertools.count():
        transaction = retire(town.genesis, "c1", 2 + number, "nobody")
        yield cbor.encode(["transaction", transaction.encoded])


def questions(town: Town) -> Frames:
    digest = bytes.fromhex(town.status("val-2")["digest"])
    return again(["get-batch", HASH], ["get-block", digest], ["get-final", 1, 2**40])


def answers(_: Town) -> Frames:
    bomb = cbor.encode([0] * 500_000)
    return again(["final", 1, bytes(MAX_FRAME - 20)], ["batch", HASH, bomb], ["block", HASH, bomb])


# In this order: who was cut off from all but votes is not read when it asks or has news.
FLOODS: dict[str, Callable[[Town], Frames]] = {
    "news": lambda town: in_turn(Liar(town).evidence(), transactions(town)),
    "questions": questions,
    "answers that nobody asked for": answers,
    "heights that nobody has": lambda _: again(["status", 2**60]),
    "votes": lambda town: Liar(town).votes(),
    "proposals": lambda town: Liar(town).proposals(),
    "nonsense": lambda _: again(["nonsense"]),
}


def no_door_is_shut(town: Town) -> bool:
    rows = [row for name in OTHERS for row in town.status(name)["cut"]]
    return all(row["from"] != "everything" for row in rows)


@pytest.mark.parametrize("flood", FLOODS)
def test_blocks_go_on_under_a_flood_of(town: Town, flood: str) -> None:
    before = town.heights()
    with Attacker(town, lambda: FLOODS[flood](town)) as attacker:
        wait_for("the flood arrives", lambda: min(attacker.sent.values()) >= 3)
        wait_for(
            f"blocks under a flood of {flood}",
            lambda: min(town.heights()) >= max(before) + BLOCKS,
        )
    assert [town.status(name)["halted"] for name in OTHERS] == [""] * 3
    for name in OTHERS:
        assert "Traceback" not in town.log(name)
        assert "frame not handled" not in town.log(name)


def told_of_with_the_reason(town: Town, name: str) -> bool:
    rows = town.status(name)["cut"]
    assert all(row["peer"] == "val-1" and row["why"] for row in rows)
    return bool(rows)


def test_who_floods_is_told_of_with_the_reason_and_nobody_else(town: Town) -> None:
    with Attacker(town, lambda: FLOODS["nonsense"](town)):
        for name in OTHERS:
            wait_for(f"{name} tells of it", partial(told_of_with_the_reason, town, name))
    for name in OTHERS:
        page = town.get(name, "/metrics")[1].decode()
        assert re.search(r'p2p_peer_unread_frames_total\{peer_id="val-1",\S+\} [1-9]', page)
        assert not re.search(r'p2p_peer_unread_frames_total\{peer_id="val-[2-4]"', page)


def test_the_flooded_agree_and_the_flooder_comes_back(town: Town) -> None:
    wait_for("the last pause is over", lambda: no_door_is_shut(town))
    town.start("val-1")
    wait_for("val-1 is level", lambda: len(set(town.heights())) == 1)
    assert len(town.ledgers(min(town.heights()))) == 1
