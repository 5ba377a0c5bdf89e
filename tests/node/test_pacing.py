"""When the next block is due: by the interval, or at once behind a crowded one (rule R2)."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.app.village import signer
from tests.node.square import NAMES, Square
from validator.consensus import effects as do
from validator.consensus.messages import COMMIT, UNSIGNED, Message
from validator.consensus.messages import Commit as CommitVote
from validator.consensus.timeouts import Timeouts
from validator.node import pacing
from validator.node.pacing import CROWD, Pacing
from validator.node.timing import Timing
from wire.block import Commit, ValidatorSet

TIMING = Timing(Timeouts(2_000, 30_000), interval_s=4.0, empty_s=60.0)
DIGEST = b"\7" * 32
MEMBERS = ValidatorSet(tuple((name, signer(name).public) for name in NAMES))
HOUR_MS = 3_600_000


def commit_of(*places: int) -> bytes:
    return Commit(0, DIGEST, tuple((place, b"\1" * 64) for place in places)).encoded


def after_a_block(readings: int, absent: Sequence[str] = ()) -> Pacing:
    """A block of so many readings is final at 100 s, sealed by the first three."""
    paced = Pacing(TIMING)
    paced.final(readings, 100.0)
    paced.begin(TIMING, commit_of(0, 1, 2), MEMBERS, absent)
    return paced


@pytest.mark.parametrize(("busy", "due_s"), [(True, 104.0), (False, 160.0)])
def test_a_block_follows_after_its_interval(busy: bool, due_s: float) -> None:
    paced = after_a_block(CROWD)
    assert paced.wait_s(101.0, busy, 0) == due_s - 101.0
    assert paced.wait_s(due_s + 1, busy, 0) == 0.0


def test_a_crowded_block_is_followed_at_once_when_all_have_sealed_it() -> None:
    paced = after_a_block(CROWD)
    assert paced.wait_s(100.0, True, CROWD) == 4.0, "one seal is on its way"
    paced.seals.add(CommitVote(7, 0, NAMES[3], DIGEST, b"\1" * 64))
    assert paced.wait_s(100.0, True, CROWD) == 0.0
    assert paced.wait_s(100.0, True, CROWD - 1) == 4.0, "little waits"
    assert paced.wait_s(100.0, True, 0) == 4.0, "another one leads"


def test_a_seal_of_another_block_does_not_count() -> None:
    paced = after_a_block(CROWD)
    paced.seals.add(CommitVote(7, 0, NAMES[3], b"\0" * 32, UNSIGNED))
    paced.seals.add(CommitVote(7, 1, NAMES[2], DIGEST, UNSIGNED))
    assert paced.wait_s(100.0, True, CROWD) == 4.0


def test_who_is_absent_by_the_ledger_is_not_waited_for() -> None:
    assert after_a_block(CROWD, NAMES[3:]).wait_s(100.0, True, CROWD) == 0.0


def test_what_no_block_takes_does_not_hurry_the_next_one() -> None:
    """Batches that must wait, of a gateway whose clock is ahead say, leave blocks empty."""
    assert after_a_block(CROWD - 1, NAMES[3:]).wait_s(100.0, True, 4 * CROWD) == 4.0


def test_nothing_is_hurried_before_the_first_block() -> None:
    paced = Pacing(TIMING)
    paced.final(CROWD, 100.0)
    paced.begin(TIMING, b"", MEMBERS, ())
    assert paced.wait_s(100.0, True, CROWD) == 4.0


def test_validators_follow_a_crowded_block_without_waiting_for_their_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "CROWD", 5)
    square = Square(tmp_path, block_interval_ms=HOUR_MS, empty_block_interval_ms=HOUR_MS)
    silent = False

    def passes(message: Message, sender: str, _: str) -> bool:
        return not (silent and message.kind == COMMIT and sender == NAMES[0])

    def heights() -> set[int]:
        return {node.driver.tip.height for node in square.nodes.values()}

    def bring(slot: int) -> None:
        batch = square.village.batch(square.village.close(slot).values(), slot)
        for node in square.nodes.values():
            node.mempool.add(batch)
            node.driver.nudge()

    async def scenario() -> None:
        nonlocal silent
        square.passes = passes
        square.start(*NAMES)
        bring(0)
        for node in square.nodes.values():
            node.driver._step(do.BlockTimer(1))
        await square.until(lambda: heights() == {1})
        bring(1)
        await square.until(lambda: heights() == {2})
        silent = True
        bring(2)
        await square.until(lambda: heights() == {3})
        bring(3)
        silent = False  # Its seal of the third block was lost: now the interval passes.
        assert min(node.driver.due_s for node in square.nodes.values()) > HOUR_MS / 2_000

    async def bounded() -> None:
        async with asyncio.timeout(30):
            await scenario()

    asyncio.run(bounded())
    square.kill(*NAMES)
