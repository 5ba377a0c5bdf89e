"""The sign-state stays small for ever, and no power cut while it forgets lets a slot be reused."""

import os
import random
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsm import signstate
from hsm.signstate import DoubleSign, SignState, VoteSigner, WitnessSigner
from tests.hsm.cut_disk import CutDisk, Files
from wire.keys import EDDSA, SoftSigner

KEY = SoftSigner.from_private(EDDSA, bytes(31) + b"\x06")
KEPT = 4


@pytest.fixture
def after(tmp_path: Path) -> Iterator[Path]:
    """A folder for what is left after a cut, where syncing costs nothing when there is one."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        memory = tmp_path
    with tempfile.TemporaryDirectory(dir=memory) as name:
        yield Path(name)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep few slots, so that forgetting happens soon; shrink whatever can be shrunk."""
    monkeypatch.setattr(signstate, "KEPT_STATEMENTS", KEPT)
    monkeypatch.setattr(signstate, "KEPT_HEIGHTS", KEPT)
    monkeypatch.setattr(signstate, "_WORTH_SHRINKING", 4)


def test_what_was_forgotten_is_refused_for_ever(tmp_path: Path, few: None) -> None:
    path = tmp_path / "state.sqlite"
    state = SignState(path)
    witness = WitnessSigner(KEY, state)
    first = {number: witness.sign(number, b"%d" % number) for number in range(10)}
    state.close()
    again = SignState(path)
    witness = WitnessSigner(KEY, again)
    for number in range(10):
        if number >= 10 - KEPT:
            assert witness.sign(number, b"%d" % number) == first[number]
        for content in (b"%d" % number, b"other")[number >= 10 - KEPT :]:
            with pytest.raises(DoubleSign):
                witness.sign(number, content)
    again.close()


def test_a_million_batches_take_no_more_room_than_a_thousand(after: Path) -> None:
    path = after / "state.sqlite"
    SignState(path).close()
    with sqlite3.connect(path) as old:  # A file from before anything was forgotten.
        old.execute(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999999)"
            " INSERT INTO statements SELECT i, zeroblob(40), zeroblob(64) FROM n"
        )
    old.close()
    assert path.stat().st_size > 100_000_000
    state = SignState(path)
    small = path.stat().st_size
    assert small < 1_000_000
    witness = WitnessSigner(KEY, state)
    with pytest.raises(DoubleSign, match="forgotten"):
        witness.sign(5, b"other")
    for number in range(1_000_000, 1_000_000 + 2 * signstate.KEPT_STATEMENTS):
        witness.sign(number, bytes(40))
    assert path.stat().st_size < 1.25 * small
    state.close()


def cuts(disk: CutDisk, first: int, seed: int) -> list[tuple[int, Files]]:
    """(steps asked for, the files then) for a cut before each step, in every manner."""
    chance = random.Random(seed)
    found = []
    for step in range(first, len(disk.steps) + 1):
        found.append((step, disk.after_cut(step, None, persisted=True)))
        found.append((step, disk.after_cut(step, None, persisted=False)))
        found.append((step, disk.after_cut(step, chance, persisted=False)))
    return found


def put(files: Files, folder: Path) -> Path:
    for old in folder.iterdir():
        old.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder / "state.sqlite"


def test_no_cut_at_any_write_lets_a_batch_be_signed_twice(
    tmp_path: Path, after: Path, few: None
) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    disk, spoken = CutDisk(), []
    with disk.in_use():
        state = SignState(folder / "state.sqlite")
        first = len(disk.steps)
        for number in range(2 * KEPT + 2):
            state.claim_statement(number, b"said")
            spoken.append(len(disk.steps))
        state.close()
    for step, files in cuts(disk, first, seed=1):
        again = SignState(put(files, after))
        for number, said_at in enumerate(spoken):
            if said_at <= step:
                with pytest.raises(DoubleSign):
                    again.claim_statement(number, b"other")
        again.claim_statement(100, b"next")
        again.close()


def test_no_cut_while_an_old_file_is_made_small_forgets_what_was_signed(
    tmp_path: Path, after: Path, few: None
) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    disk = CutDisk()
    path = folder / "state.sqlite"
    with disk.in_use():
        SignState(path).close()
        old = sqlite3.connect(path)
        old.executemany(
            "INSERT INTO statements VALUES (?, ?, NULL)",
            [(number, bytes(3000)) for number in range(30)],
        )
        old.commit()
        old.close()
        first, size = len(disk.steps), path.stat().st_size
        SignState(path).close()
        assert path.stat().st_size < size // 2
    for _, files in cuts(disk, first, seed=2):
        again = SignState(put(files, after))
        for number in (0, 25, 26, 29):
            with pytest.raises(DoubleSign):
                again.claim_statement(number, b"other")
        again.close()


def test_no_cut_at_any_write_lets_a_vote_be_changed(tmp_path: Path, after: Path, few: None) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    disk, spoken = CutDisk(), []
    with disk.in_use():
        state = SignState(folder / "state.sqlite")
        first = len(disk.steps)
        votes = VoteSigner(KEY, state)
        for height in range(KEPT + 3):
            votes.sign(height, 0, "prepare", b"said")
            spoken.append(len(disk.steps))
        state.close()
    for step, files in cuts(disk, first, seed=3):
        again = SignState(put(files, after))
        for height, said_at in enumerate(spoken):
            if said_at <= step:
                with pytest.raises(DoubleSign):
                    VoteSigner(KEY, again).sign(height, 0, "prepare", b"other")
        again.close()
