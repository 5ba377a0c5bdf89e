"""One slot, one content: whatever the program above has forgotten, and wherever it was killed."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hsm.signstate import DamagedState, DoubleSign, SignState, VoteSigner, WitnessSigner
from wire.errors import Unavailable
from wire.keys import EDDSA, PublicKey, SoftSigner

KILLED = """
import os, signal, sys
from pathlib import Path
from hsm.signstate import SignState, VoteSigner
from wire.keys import EDDSA, SoftSigner
left = int(sys.argv[2])
def before_each_statement(_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
state = SignState(Path(sys.argv[1]))
state._database.set_trace_callback(before_each_statement)
key = SoftSigner.from_private(EDDSA, bytes(31) + bytes([5]))
class Told:
    def sign(self, message):
        print(key.sign(message).hex(), flush=True)
        return key.sign(message)
VoteSigner(Told(), state).sign(5, 0, "commit", b"content")
"""
KEY = SoftSigner.from_private(EDDSA, bytes(31) + b"\x05")


class Flaky:
    """A key that is away when told so, and counts what it was asked to sign."""

    def __init__(self) -> None:
        self.away = False
        self.asked: list[bytes] = []

    @property
    def public(self) -> PublicKey:
        return KEY.public

    def sign(self, message: bytes) -> bytes:
        if self.away:
            raise Unavailable("away")
        self.asked.append(message)
        return KEY.sign(message)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "signstate.sqlite"


@pytest.fixture
def state(path: Path) -> Iterator[SignState]:
    made = SignState(path)
    yield made
    made.close()


def test_the_same_bytes_get_the_stored_signature(state: SignState) -> None:
    key = Flaky()
    votes = VoteSigner(key, state)
    first = votes.sign(5, 0, "prepare", b"content")
    assert votes.sign(5, 0, "prepare", b"content") == first
    assert key.asked == [b"content"]
    votes.public.verify(b"content", first)


def test_other_bytes_for_a_slot_are_never_signed(state: SignState) -> None:
    key = Flaky()
    votes = VoteSigner(key, state)
    votes.sign(5, 0, "prepare", b"content")
    with pytest.raises(DoubleSign, match="prepare at 5/0"):
        votes.sign(5, 0, "prepare", b"other")
    votes.sign(5, 0, "commit", b"other kind")
    votes.sign(5, 1, "prepare", b"other round")
    assert b"other" not in key.asked


def test_nothing_is_signed_below_the_highest_height(state: SignState) -> None:
    votes = VoteSigner(Flaky(), state)
    votes.sign(7, 0, "prepare", b"content")
    with pytest.raises(DoubleSign, match="has voted at 7"):
        votes.sign(6, 0, "prepare", b"earlier")


def test_a_restart_remembers_slots_and_what_belongs_to_them(path: Path, state: SignState) -> None:
    first = VoteSigner(Flaky(), state).sign(5, 2, "commit", b"content", b"certificate")
    state.close()
    again = SignState(path)
    votes = VoteSigner(Flaky(), again)
    (slot,) = votes.slots(5)
    assert (slot.round, slot.kind, slot.message, slot.attachment, slot.signature) == (
        2,
        "commit",
        b"content",
        b"certificate",
        first,
    )
    assert votes.last() == slot
    with pytest.raises(DoubleSign):
        votes.sign(5, 2, "commit", b"other")
    again.close()


def test_a_slot_claimed_before_a_crash_is_signed_for_its_bytes_only(
    path: Path, state: SignState
) -> None:
    key = Flaky()
    key.away = True  # The program dies between making the slot durable and the signature.
    with pytest.raises(Unavailable):
        VoteSigner(key, state).sign(5, 0, "proposal", b"content")
    state.close()
    again = SignState(path)
    votes = VoteSigner(Flaky(), again)
    assert votes.slots(5)[0].signature == b""
    with pytest.raises(DoubleSign):
        votes.sign(5, 0, "proposal", b"other")
    votes.public.verify(b"content", votes.sign(5, 0, "proposal", b"content"))
    again.close()


def test_a_kill_before_any_statement_leaves_a_slot_of_one_content(tmp_path: Path) -> None:
    claimed, step, killed = False, 0, True
    while killed:
        step += 1
        path = tmp_path / f"{step}.sqlite"
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(path), str(step)],
            stdout=subprocess.PIPE,
            timeout=60,
            check=False,
        )
        killed = done.returncode == -signal.SIGKILL
        assert killed or done.returncode == 0
        state = SignState(path)
        votes = VoteSigner(Flaky(), state)
        # Once a step has made the slot durable, every later one has.
        assert bool(votes.slots(5)) >= claimed
        claimed = bool(votes.slots(5))
        assert claimed or done.stdout == b""
        if claimed:
            with pytest.raises(DoubleSign):
                votes.sign(5, 0, "commit", b"other")
            again = votes.sign(5, 0, "commit", b"content")
            assert done.stdout in (b"", again.hex().encode() + b"\n")
        state.close()
    assert claimed
    assert step > 6


def test_old_heights_are_forgotten_and_stay_refused(state: SignState) -> None:
    votes = VoteSigner(Flaky(), state)
    for height in range(1, 50):
        votes.sign(height, 0, "prepare", str(height).encode())
    assert votes.slots(1) == []
    assert len(votes.slots(49)) == 1
    with pytest.raises(DoubleSign):
        votes.sign(1, 0, "prepare", b"1")


def test_a_witness_signs_each_sequence_once(path: Path, state: SignState) -> None:
    witness = WitnessSigner(Flaky(), state)
    first = witness.sign(3, b"statement")
    assert witness.sign(3, b"statement") == first
    with pytest.raises(DoubleSign, match="batch 3"):
        witness.sign(3, b"another statement")
    state.close()
    again = SignState(path)
    key = Flaky()
    assert WitnessSigner(key, again).sign(3, b"statement") == first
    assert key.asked == []
    again.close()


def test_the_file_is_the_owners_only(path: Path, state: SignState) -> None:
    assert path.stat().st_mode & 0o077 == 0


def test_two_programs_on_one_file_sign_no_slot_twice(path: Path, state: SignState) -> None:
    other = SignState(path)
    VoteSigner(Flaky(), state).sign(5, 0, "prepare", b"content")
    with pytest.raises(DoubleSign):
        VoteSigner(Flaky(), other).sign(5, 0, "prepare", b"other")
    VoteSigner(Flaky(), other).sign(6, 0, "prepare", b"content")
    with pytest.raises(DoubleSign):
        VoteSigner(Flaky(), state).sign(5, 1, "prepare", b"late")
    other.close()


def test_nothing_is_signed_while_the_disk_takes_no_slot(path: Path, state: SignState) -> None:
    key = Flaky()
    votes = VoteSigner(key, state)
    votes.sign(5, 0, "prepare", b"content")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    state._database.execute("PRAGMA busy_timeout = 0")
    with pytest.raises(Unavailable, match="locked"):
        votes.sign(5, 1, "prepare", b"more")
    holder.execute("ROLLBACK")
    holder.close()
    pages = state._database.execute("PRAGMA page_count").fetchone()[0]
    state._database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Unavailable, match="full"):
        votes.sign(5, 1, "prepare", b"more", bytes(100_000))
    assert key.asked == [b"content"]
    votes.sign(5, 1, "prepare", b"something else")


def test_a_damaged_file_is_said_and_never_begun_anew(path: Path) -> None:
    made = SignState(path)
    VoteSigner(Flaky(), made).sign(5, 0, "prepare", bytes(5_000))
    made.close()
    whole = path.read_bytes()
    for damaged in (b"not a database" * 100, whole[:4096] + bytes(len(whole) - 4096)):
        path.write_bytes(damaged)
        with pytest.raises(DamagedState, match="must not sign without it"):
            SignState(path)
        assert path.read_bytes() == damaged


def test_a_folder_that_is_not_there_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="No such file"):
        SignState(tmp_path / "none" / "signstate.sqlite")


def test_a_signature_costs_one_transaction_and_is_there_after_an_orderly_end(path: Path) -> None:
    state = SignState(path)
    voter = VoteSigner(KEY, state)
    signatures = [voter.sign(7, 0, kind, kind.encode()) for kind in ("prepare", "commit")]
    with closing(sqlite3.connect(path)) as file:
        rows = file.execute("SELECT signature FROM votes ORDER BY rowid").fetchall()
    assert rows == [(signatures[0],), (None,)], "the newest one goes with the next slot"
    state.close()
    again = SignState(path)
    assert [slot.signature for slot in again.votes(7)] == signatures
    again.close()


def test_a_signature_that_was_lost_is_made_again_of_the_same_bytes_only(path: Path) -> None:
    state = SignState(path)
    voter = VoteSigner(KEY, state)
    voter.sign(7, 0, "commit", b"this")
    crashed = path.with_name("copy")
    crashed.write_bytes(path.read_bytes())
    state.close()
    again = SignState(crashed)
    voter = VoteSigner(KEY, again)
    with pytest.raises(DoubleSign):
        voter.sign(7, 0, "commit", b"that")
    voter.public.verify(b"this", voter.sign(7, 0, "commit", b"this"))
    again.close()
