"""A validator whose key lies in a token votes as one with a file does, and is guarded as it is."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hsm.refusals import PinRefused
from hsm.signer import TokenSigner
from hsm.signstate import DoubleSign, Guard, Guarded, SignState
from tests.hsm.tokens import Token, token_of
from tests.node.test_validator_config import content, load
from validator.consensus.effects import Speak
from validator.consensus.messages import Prepare
from validator.key import open_keys
from validator.node.fence import RESTORED, Fence, FencedSigner
from validator.node.voice import Voice
from wire.block import ValidatorSet
from wire.errors import Unavailable
from wire.keys import EDDSA, PublicKey

NETWORK = bytes(32)


@pytest.fixture
def token(tmp_path: Path) -> Iterator[Token]:
    with token_of("softhsm", tmp_path / "token") as made:
        yield made


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> None:
    (tmp_path / "token").mkdir()


class Seat:
    """A validator alone, whose key lies in a token."""

    def __init__(self, folder: Path, token: Token) -> None:
        public: PublicKey = token.make("vote", EDDSA)
        uri = token.text("vote").replace("file:pin", f"file:{token.pin_file}")
        settings = content() | {"key": uri, "softhsm2_conf": str(token.conf)}
        [key] = open_keys(load(folder, settings), public)
        assert isinstance(key, TokenSigner)
        token.signers.append(key)
        self.key = key
        self.state = SignState(folder / "signstate.sqlite")
        self.members = ValidatorSet((("val-1", public),))
        self.start()

    def start(self) -> None:
        members = self.members
        fence = Fence("val-1", self.state, lambda _: members, lambda: 6, tuple)
        signer = FencedSigner(self.key, self.state, fence)
        self.voice = Voice("val-1", [signer], lambda _: members, NETWORK)

    def says(self, digest: bytes = bytes(32), height: int = 7) -> bool:
        signed = self.voice.signed(Speak(Prepare(height, 0, "val-1", digest)))
        if signed is not None:
            public = self.members.key("val-1")
            assert public is not None
            public.verify(signed.signed_bytes(NETWORK), signed.signature)
        return signed is not None


@pytest.fixture
def seat(tmp_path: Path, token: Token) -> Iterator[Seat]:
    seat = Seat(tmp_path, token)
    with closing(seat.state):
        yield seat


def test_it_votes_and_never_twice(seat: Seat) -> None:
    assert seat.says()
    assert seat.says(), "the same again is the same vote"
    assert not seat.says(bytes(31) + b"\x01")
    assert "other content" in seat.voice.silent


def test_a_restored_one_is_guarded_whatever_the_token_would_sign(seat: Seat) -> None:
    seat.state.set_guard(Guard(RESTORED, fenced=False, above=None))
    seat.start()
    assert not seat.says()
    assert "operator's word" in seat.voice.silent
    seat.state.set_guard(Guard(RESTORED, fenced=True, above=None))
    seat.start()
    assert not seat.says(height=8)
    assert seat.says(height=9), "a validator alone has nobody to wait for"
    assert issubclass(Guarded, DoubleSign)


def test_a_token_that_is_away_is_tried_again_and_a_refused_pin_is_not(
    seat: Seat, token: Token
) -> None:
    tokens = token.folder / "tokens"
    tokens.rename(token.folder / "away")
    with pytest.raises(Unavailable):
        seat.says()
    assert seat.voice.silent
    (token.folder / "away").rename(tokens)
    token.pin_file.write_text("4711")
    seat.key.close()
    with pytest.raises((PinRefused, Unavailable)):
        seat.says()
