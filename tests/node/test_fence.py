"""When a key may vote after a start, and when one whose past is not known may."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hsm.signstate import DoubleSign, Guard, Guarded, SignState
from tests.app.village import signer
from tests.node.chain import Chain
from validator.node.fence import FORGOTTEN, RESTORED, Fence, FencedSigner, Held
from validator.node.stored import StoredBlock
from wire.block import ValidatorSet

NAMES = tuple(f"val-{number}" for number in range(1, 8))


class Place:
    """One validator of n, and what it hears."""

    def __init__(self, folder: Path, count: int = 4, tip: int = 10) -> None:
        self.state = SignState(folder / "signstate.sqlite")
        self.members = ValidatorSet(
            tuple((name, signer(name).public) for name in NAMES[:count]),
        )
        self.tip = tip
        self.connected = set(NAMES[1:count])
        self.start()

    def start(self) -> None:
        self.fence = Fence(
            "val-1", self.state, lambda _: self.members, lambda: self.tip, lambda: self.connected
        )
        self.key = FencedSigner(signer("val-1"), self.state, self.fence)

    def hear(self, **heights: int) -> None:
        for name, height in heights.items():
            self.fence.told(name.replace("_", "-"), height)

    def votes(self, height: int) -> bool:
        """Whether the key signs at a height."""
        try:
            self.key.sign(height, 0, "prepare", b"content of %d" % height)
        except (Held, Guarded):
            return False
        return True


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.state.close()


def test_after_a_start_nothing_is_signed_before_a_quorum_was_heard(place: Place) -> None:
    assert not place.votes(11)
    place.hear(val_2=10)
    assert not place.votes(11)
    place.hear(val_3=10)
    assert place.votes(11)
    assert place.fence.words == ""


def test_who_is_behind_draws_level_before_it_votes(place: Place) -> None:
    place.hear(val_2=14, val_3=14, val_4=13)
    assert not place.votes(11)
    place.tip = 13
    place.hear(val_2=14, val_3=13)
    assert place.votes(14), "one liar of four may tell what it likes"


def test_a_validator_alone_waits_for_nobody(tmp_path: Path) -> None:
    place = Place(tmp_path, count=1, tip=0)
    assert place.votes(1)


def test_a_restored_key_does_not_vote_without_the_operators_word(place: Place) -> None:
    place.state.set_guard(Guard(RESTORED, fenced=False, above=None))
    place.start()
    place.hear(val_2=10, val_3=10, val_4=10)
    assert not place.votes(11)
    assert not place.votes(999)
    assert "--old-instance-is-destroyed" in place.fence.words


def test_with_the_word_it_votes_above_what_a_quorum_of_others_reports(place: Place) -> None:
    place.state.set_guard(Guard(RESTORED, fenced=True, above=None))
    place.start()
    place.hear(val_2=12, val_3=12)
    assert not place.votes(11)
    assert "level with a quorum" in place.fence.words
    place.tip = 12
    assert not place.votes(13), "two of three others are no quorum of four"
    place.hear(val_4=11)
    assert [place.votes(height) for height in (13, 14, 15)] == [False, False, True]
    assert place.state.guard() == Guard(RESTORED, True, 14)
    place.start()
    place.hear(val_2=12, val_3=12)
    assert not place.votes(14), "a restart forgets nothing"
    place.tip = 14
    assert place.fence.words == ""


def test_heights_of_who_is_no_more_connected_do_not_count(place: Place) -> None:
    place.state.set_guard(Guard(RESTORED, fenced=True, above=None))
    place.start()
    place.hear(val_2=10, val_3=10, val_4=10)
    place.connected = {"val-2", "val-3"}
    assert not place.votes(13)
    place.connected.add("val-4")
    assert place.votes(13)


def test_a_liar_among_seven_cannot_keep_it_from_voting(tmp_path: Path) -> None:
    place = Place(tmp_path, count=7)
    place.state.set_guard(Guard(RESTORED, fenced=True, above=None))
    place.start()
    place.hear(val_2=2**62, **{f"val_{number}": 10 for number in range(3, 8)})
    assert place.votes(13)


class Seals:
    """A ledger whose only validator is the village's, and its fence."""

    def __init__(self, folder: Path) -> None:
        self.chain = Chain(folder)
        self.state = SignState(folder / "signstate.sqlite")
        for slot in range(3):
            self.chain.append([], slot)
        members = self.chain.genesis.validators
        self.fence = Fence(self.chain.me, self.state, lambda _: members, lambda: 3, lambda: ())

    def block(self, height: int) -> StoredBlock:
        found = self.chain.store.block(height)
        assert found is not None
        return found

    def sign(self, height: int) -> None:
        FencedSigner(signer("val"), self.state, self.fence).sign(height, 0, "commit", b"it")


@pytest.fixture
def seals(tmp_path: Path) -> Iterator[Seals]:
    made = Seals(tmp_path)
    yield made
    made.chain.store.close()
    made.state.close()


def test_a_sign_state_that_knows_ones_seals_is_trusted(seals: Seals) -> None:
    seals.sign(3)
    seals.fence.final([seals.block(height) for height in (1, 2, 3)])
    assert seals.state.guard() is None


def test_seals_that_the_sign_state_does_not_know_silence_the_key(seals: Seals) -> None:
    """An old copy of the data folder; or its sign-state is lost, or somebody else has the key."""
    seals.sign(2)
    seals.fence.final([seals.block(3)])
    assert seals.state.guard() == Guard(FORGOTTEN, fenced=False, above=None)
    with pytest.raises(DoubleSign, match="operator's word"):
        seals.sign(4)


def test_seals_below_the_height_of_the_word_are_the_old_instances(seals: Seals) -> None:
    seals.state.set_guard(Guard(RESTORED, fenced=True, above=3))
    members = seals.chain.genesis.validators
    fence = Fence(seals.chain.me, seals.state, lambda _: members, lambda: 3, tuple)
    fence.final([seals.block(height) for height in (1, 2, 3)])
    assert seals.state.guard() == Guard(RESTORED, True, 3)
    seals.chain.append([], 3)
    fence.final([seals.block(4)])
    assert seals.state.guard() == Guard(FORGOTTEN, fenced=False, above=None)
