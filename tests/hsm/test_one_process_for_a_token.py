"""Keys of one token share its process: half the memory, one login; trouble of one is told to it."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from hsm.signer import open_signer
from hsm.uri import KeyUri
from tests.hsm.tokens import Token, token_of
from wire.errors import Unavailable
from wire.keys import EDDSA, ES256


def test_two_keys_of_a_token_sign_in_one_process_until_the_last_one_leaves(token: Token) -> None:
    keys = [token.make("w", ES256), token.make("r", EDDSA)]
    witness, reader = token.open("w", keys[0]), token.open("r", keys[1])
    for message in (b"one", b"two"):
        keys[0].verify(message, witness.sign(message))
        keys[1].verify(message, reader.sign(message))
    assert witness.pid == reader.pid is not None
    pid = witness.pid
    witness.close()
    keys[1].verify(b"alone", reader.sign(b"alone"))
    assert reader.pid == pid
    keys[0].verify(b"back", witness.sign(b"back"))
    assert witness.pid == pid
    witness.close()
    reader.close()
    assert not Path(f"/proc/{pid}").exists()


def test_a_missing_key_does_not_keep_the_other_one_waiting(token: Token) -> None:
    public = token.make("w", ES256)
    witness, reader = token.open("w", public), token.open("none", public)
    for _ in range(2):
        public.verify(b"m", witness.sign(b"m"))
        with pytest.raises(Unavailable):
            reader.sign(b"m")
    public.verify(b"m", witness.sign(b"m"))


def test_a_process_that_dies_is_started_once_for_both_keys(
    token: Token, patient: Callable[[], None]
) -> None:
    keys = [token.make("w", ES256), token.make("r", ES256)]
    witness, reader = token.open("w", keys[0]), token.open("r", keys[1])
    witness.sign(b"m")
    reader.sign(b"m")
    assert witness.pid is not None
    os.kill(witness.pid, signal.SIGKILL)
    with pytest.raises(Unavailable, match="ended"):
        witness.sign(b"m")
    keys[1].verify(b"m", reader.sign(b"m"))
    patient()
    keys[0].verify(b"m", witness.sign(b"m"))
    assert witness.pid == reader.pid


def test_another_pin_file_or_another_token_has_a_process_of_its_own(
    token: Token, tmp_path: Path
) -> None:
    public = token.make("w", ES256)
    other = tmp_path / "other-pin"
    other.write_text(token.pin_file.read_text())
    first = token.open("w", public)
    text = token.text("w").replace("file:pin", "file:other-pin")
    second = open_signer(KeyUri.parse(text, token.folder), token.conf, public)
    token.signers.append(second)
    (tmp_path / "more").mkdir()
    with token_of("softhsm", tmp_path / "more") as another:
        key = another.make("w", ES256)
        third = another.open("w", key)
        key.verify(b"m", third.sign(b"m"))
        public.verify(b"m", first.sign(b"m"))
        public.verify(b"m", second.sign(b"m"))
        assert len({first.pid, second.pid, third.pid}) == 3
