"""A validator that was long away takes hundreds of blocks, whatever liars tell it."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from hsm.signstate import SignState, VoteSigner
from tests.app.village import BOOK, signer
from tests.node.chain import Chain
from tests.node.square import WallClock
from validator.app.application import Application
from validator.consensus.timeouts import Pace
from validator.node.candidate import Blocks
from validator.node.catching_up import CatchingUp
from validator.node.driver import Driver
from validator.node.exchange import MOST_BLOCKS, Exchange
from validator.node.fetching import Fetching
from validator.node.frames import MOST_FINAL
from validator.node.ledger import Ledger
from validator.node.mempool import Mempool
from validator.node.pursuit import PATIENCE_S
from validator.node.store import Store
from wire import cbor
from wire.witness import Batch

HEIGHT = 400
BOUND_S = 60

Answer = Callable[[int, int], list[Any] | None]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """The ledger of those who were there: every fortieth block has readings."""
    chain = Chain(tmp_path_factory.mktemp("chain"))
    chain.store._database.execute("PRAGMA synchronous = OFF")
    for slot in range(HEIGHT):
        chain.append([chain.interval(slot)] if slot % 40 == 0 else [], slot)
    yield chain
    chain.store.close()


class Late:
    """The validator that was away, and what its peers do with its questions."""

    def __init__(self, folder: Path, chain: Chain) -> None:
        genesis = chain.genesis
        self.chain = chain
        self.store = Store(folder / "ledger.sqlite")
        self.store._database.execute("PRAGMA synchronous = OFF")
        self.state = SignState(folder / "signstate.sqlite")
        self.app = Application(genesis)
        ledger = Ledger(genesis, self.store, self.app, Blocks(genesis, self.app, BOOK))
        key = VoteSigner(signer("val"), self.state)
        self.driver = Driver(chain.me, ledger, Mempool(), [key], WallClock())
        self.catching_up = CatchingUp(self, self.driver, 1)
        self.peers: dict[str, Answer] = {}
        self.asked: Counter[str] = Counter()
        self.blamed: dict[str, str] = {}

    @property
    def connected(self) -> list[str]:
        return sorted(self.peers)

    def send(self, peer: str, frame: list[Any]) -> None:
        _, first, most_bytes = frame
        self.asked[peer] += first <= HEIGHT  # Beyond it only a liar is left to be asked.
        answer = self.peers[peer](first, most_bytes)
        if answer is not None:
            later = asyncio.get_running_loop().call_soon
            later(self.catching_up.answered, peer, ["final", first, *answer])

    def blame(self, peer: str, cost: float, words: str) -> None:
        self.blamed[peer] = words

    def broadcast(self, frame: list[Any]) -> None:
        """Nobody listens."""

    async def _checked(self, batches: Sequence[Batch]) -> None:
        """Signatures are checked when the rules ask."""

    def honest(self, first: int, most_bytes: int) -> list[Any]:
        """As a validator answers from its store."""
        sent: list[list[Any]] = []
        mesh = SimpleNamespace(
            may_answer=lambda _: True,
            looked_up=lambda *_: None,
            send=lambda _, frame: sent.append(frame),
            broadcast=None,
        )
        driver = SimpleNamespace(store=self.chain.store, pace=Pace())
        ears = SimpleNamespace(registrar=SimpleNamespace(), evidence=SimpleNamespace())
        exchange = Exchange(cast(Any, mesh), cast(Any, driver), cast(Any, ears))
        exchange.handle("late", ["get-final", first, most_bytes])
        return sent[0][2:]

    def catch_up(
        self,
        claims: dict[str, int],
        height: int = HEIGHT,
        bound_s: float = BOUND_S,
        blamed: int = 0,
    ) -> None:
        """Run until that height is reached, and so many are blamed."""

        async def level() -> None:
            self.driver.begin(self, Fetching(self, self._checked))
            work = asyncio.create_task(self.catching_up.run())
            try:
                async with asyncio.timeout(bound_s):
                    while self.driver.tip.height < height or len(self.blamed) < blamed:
                        for name, claim in claims.items():  # As everyone does each second.
                            self.catching_up.claimed(name, claim)
                        await asyncio.sleep(0.01)
            finally:
                work.cancel()
                self.driver.stop()

        asyncio.run(level())

    def close(self) -> None:
        self.store.close()
        self.state.close()


@pytest.fixture
def late(tmp_path: Path, chain: Chain) -> Iterator[Late]:
    late = Late(tmp_path, chain)
    yield late
    late.close()


def test_hundreds_of_blocks_come_many_at_a_time_and_are_the_same(late: Late) -> None:
    late.peers = {"b": late.honest}
    with capture_logs() as logs:
        late.catch_up({"b": HEIGHT})
    assert late.store.fingerprint() == late.chain.store.fingerprint()
    assert late.store.reading_count() == 50
    assert late.asked["b"] < HEIGHT / 40
    assert late.blamed == {}
    said = [each for each in logs if each["event"] == "catching up"]
    assert said
    assert said[0]["of"] == HEIGHT


def garbage(first: int, most_bytes: int) -> list[Any]:
    return [b"\x80", b"\xff" * 100]


def silence(first: int, most_bytes: int) -> None:
    return None


def nothing(first: int, most_bytes: int) -> list[Any]:
    return []


def bomb(first: int, most_bytes: int) -> list[Any]:
    return [cbor.encode([0] * 500_000)]


@pytest.mark.parametrize("lie", [garbage, silence, nothing, bomb])
def test_a_liar_is_asked_once_and_everything_else_from_the_others(late: Late, lie: Answer) -> None:
    late.peers = {"a": lie, "b": late.honest, "c": late.honest}
    started_s = time.monotonic()
    late.catch_up({"a": 2**60, "b": HEIGHT, "c": HEIGHT})
    assert time.monotonic() - started_s >= (PATIENCE_S if lie is silence else 0)
    assert late.asked["a"] == 1
    assert list(late.blamed) == ["a"]
    assert late.store.fingerprint() == late.chain.store.fingerprint()


def test_who_delivers_drop_by_drop_is_left_for_others(late: Late) -> None:
    def drip(first: int, most_bytes: int) -> None:
        frame = ["final", first, *late.honest(first, 1)]
        asyncio.get_running_loop().call_later(0.2, late.catching_up.answered, "a", frame)

    late.peers = {"a": drip, "b": late.honest, "c": late.honest}
    late.catch_up(dict.fromkeys("abc", HEIGHT))
    assert late.asked["a"] == 1
    assert late.blamed == {}


def test_blocks_with_other_seals_or_without_readings_are_taken_from_nobody(late: Late) -> None:
    def unsealed(first: int, most_bytes: int) -> list[Any]:
        block, commit, batches = cbor.decode(late.honest(first, 1)[0])
        round_number, digest, [[index, _]] = cbor.decode(commit)
        forged = cbor.encode([round_number, digest, [[index, bytes(64)]]])
        return [cbor.encode([block, forged, batches])]

    def unread(first: int, most_bytes: int) -> list[Any]:
        block, commit, _ = cbor.decode(late.honest(first, 1)[0])
        return [cbor.encode([block, commit, []])]

    late.peers = {"a": unsealed, "b": unread, "c": late.honest}
    late.catch_up(dict.fromkeys("abc", HEIGHT), 50)
    assert (late.asked["a"], late.asked["b"]) == (1, 1)
    assert "without its readings" in late.blamed["b"]
    assert "seal" in late.blamed["a"]


def test_the_good_blocks_before_a_bad_one_are_kept(late: Late) -> None:
    def spoiled(first: int, most_bytes: int) -> list[Any]:
        return [*late.honest(first, most_bytes)[:5], b"\x80"]

    late.peers = {"a": spoiled}
    late.catch_up({"a": HEIGHT}, 5, blamed=1)
    assert late.driver.tip.height == 5
    assert list(late.blamed) == ["a"]


def test_who_has_a_failing_disk_halts_and_blames_nobody(late: Late) -> None:
    def failing(first: int, most_bytes: int) -> list[Any]:
        late.store.close()
        return late.honest(first, most_bytes)

    late.peers = {"a": failing}
    with pytest.raises(TimeoutError):
        late.catch_up({"a": HEIGHT}, bound_s=1)
    assert "ProgrammingError" in late.driver.halted
    assert (late.asked["a"], late.blamed) == (1, {})


def test_who_is_nearly_level_is_not_said_to_be_catching_up(late: Late) -> None:
    late.catching_up.claimed("a", 2)
    assert late.catching_up.target == 0
    for name in ("a", "b"):
        late.catching_up.claimed(name, 900)
    assert late.catching_up.target == 900


def test_an_answer_has_so_many_blocks_in_so_many_bytes(late: Late) -> None:
    assert len(late.honest(1, 2**60)) == MOST_BLOCKS
    assert sum(map(len, late.honest(1, 2**60))) <= MOST_FINAL
    assert len(late.honest(1, 0)) == 1
    few = late.honest(1, 20_000)
    assert 1 < len(few) < 100
    assert sum(map(len, few)) <= 20_000
    assert late.honest(HEIGHT + 1, 2**60) == []
