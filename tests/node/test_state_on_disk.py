"""A state whose older rows are on the disk decides as one that has everything in memory."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.app.village import BOOK, INTERVAL_S, START_S
from tests.node.chain import Chain
from validator.app import paging
from validator.app.application import Application
from validator.app.records import READING, key
from validator.node.candidate import Blocks, Candidate, Tip
from validator.node.shelf import StateShelf
from validator.node.store import Store
from wire.block import Commit
from wire.results import ACCEPTED, ALREADY_ACCEPTED, LATE, ReadingResult

SLOTS = 30


class Follower:
    """A validator that checks and stores what the chain made, with most of its state on disk."""

    def __init__(self, chain: Chain, folder: Path) -> None:
        self.chain = chain
        self.path = folder / "ledger.sqlite"
        self.store = Store(self.path)
        self.tip = Tip.genesis(chain.genesis)
        self.shelf = StateShelf(self.path)
        self.restart()

    def restart(self) -> None:
        self.shelf.close()
        self.shelf = StateShelf(self.path)
        self.app = Application(self.chain.genesis)
        self.app.restore(self.store.state_rows_in_memory(), self.shelf)
        self.blocks = Blocks(self.chain.genesis, self.app, BOOK)

    def follow(self, made: Candidate, commit: Commit) -> None:
        """Raises InvalidBlock when anything comes out otherwise than on the chain."""
        found = self.blocks.check(self.tip, made.block, made.batches)
        assert found.execution.reading_results == made.execution.reading_results
        assert found.execution.seals == made.execution.seals
        assert found.execution.writes == made.execution.writes
        self.store.append(found.block, commit, found.execution, found.batches)
        self.app.commit(found.execution)
        self.tip = Tip.of(found.block, commit)

    def close(self) -> None:
        self.shelf.close()
        self.store.close()


@pytest.mark.parametrize("seed", range(4))
def test_rows_on_the_disk_decide_as_rows_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(paging, "KEPT_ROWS", 4)
    monkeypatch.setattr(paging, "KEPT_OF_A_METER", 2)
    monkeypatch.setattr(paging, "MOST_NAMES", 5)
    (tmp_path / "chain").mkdir()
    rules = {"acceptance_window_s": 5_400, "deadline_intervals": 2, "bridge_wait_s": 1_800}
    chain = Chain(tmp_path / "chain", lambda content: content["parameters"].update(rules))
    follower, dice = Follower(chain, tmp_path), random.Random(seed)
    waiting = list(chain.village.close(0).values())
    old = waiting.pop()
    codes: set[int] = set()
    for slot in range(1, SLOTS):
        waiting += chain.village.close(slot).values()
        waiting += [old] if slot == SLOTS - 1 else []
        dice.shuffle(waiting)
        keep = dice.choice([0, 3, len(waiting)]) if slot < SLOTS - 1 else 0
        sent = waiting[keep:]
        waiting = waiting[:keep] + dice.sample(sent, min(len(sent), dice.choice([0, 1])))
        batches = [chain.village.batch(sent, slot)] if sent else []
        made = chain.append(batches, slot)
        follower.follow(made, Commit.decode(chain.tip.commit))
        codes.update(
            code for names in made.execution.reading_results for code in map(code_of, names)
        )
        if dice.random() < 0.2:
            follower.restart()
    assert follower.app.state.root == chain.app.state.root
    assert follower.store.fingerprint() == chain.store.fingerprint()
    assert codes >= {ACCEPTED, ALREADY_ACCEPTED, LATE}
    _compare_shelf(follower, chain)
    follower.close()
    chain.store.close()


def _compare_shelf(follower: Follower, chain: Chain) -> None:
    """The ledger file answers what the state in memory does, wherever one asks."""
    shelf, whole = follower.shelf, chain.app.state
    rows = [row for name, row, _ in chain.store.state_rows() if name == READING]
    for row in rows:
        lane, sequence = row[:-8], int.from_bytes(row[-8:])
        assert shelf.get(READING, row) == whole.get(READING, row)
        for near in (sequence - 1, sequence, sequence + 1):
            if near >= 0:
                assert shelf.before(lane, near) == whole.index.before(lane, near)
                assert shelf.after(lane, near) == whole.index.after(lane, near)
    for meter in chain.village.meters:
        name = meter.encode() + b"\0"
        assert shelf.newest_claim_s(name) == whole.index.newest_s(name)
        for slot in range(-1, SLOTS + 1):
            start_s = START_S + slot * INTERVAL_S
            in_time, late = whole.index.claims(name, start_s), whole.index.late(name, start_s)
            assert shelf.claims(key(name, start_s), late=False) == tuple(sorted(in_time))
            assert shelf.claims(key(name, start_s), late=True) == tuple(sorted(late))


def code_of(result: bytes) -> int:
    return ReadingResult.decode(result).code


def test_a_start_reads_only_what_is_held_in_memory(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    for slot in range(3):
        chain.append([chain.interval(slot)], slot)
    held = {name for name, _, _ in chain.store.state_rows_in_memory()}
    assert held.isdisjoint(paging.PAGED)
    assert {name for name, _, _ in chain.store.state_rows()} > held
    chain.store.close()


class Interrupted(StateShelf):
    """A shelf that is slow to answer once: meanwhile something happens."""

    meanwhile: Callable[[], None] | None = None

    def _rows(self, query: str, *values: object) -> list[Any]:
        found = super()._rows(query, *values)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return found


def test_a_page_that_is_read_while_a_block_is_committed_changes_no_later_block(
    tmp_path: Path,
) -> None:
    (tmp_path / "chain").mkdir()
    chain = Chain(tmp_path / "chain")
    village = chain.village
    follower = Follower(chain, tmp_path)
    readings = village.close(0, c1=(0, 0)), village.close(1)
    last = readings[1].pop("c2")
    batches = [[*readings[0].values()], [*readings[1].values()], [last]]
    made = [
        (chain.append([village.batch(sent, 1)], slot), Commit.decode(chain.tip.commit))
        for slot, sent in enumerate(batches, 1)
    ]
    follower.follow(*made[0])
    follower.shelf.close()
    follower.shelf = shelf = Interrupted(follower.path)
    follower.app.restore(follower.store.state_rows_in_memory(), shelf)
    shelf.meanwhile = lambda: follower.follow(*made[1])
    report = follower.app.case("z1", START_S)
    assert report is not None
    assert shelf.meanwhile is None
    follower.follow(*made[2])
    assert follower.app.state.root == chain.app.state.root
    follower.close()
    chain.store.close()
