"""A TPM really locks: wrong PINs and power cuts count, and nothing here makes it worse."""

import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hsm.refusals import PinLocked, PinRefused, mark_of
from hsm.tpm import exchange, lock_out
from tests.hsm.tokens import Token, doctor, token_of
from wire.errors import Unavailable
from wire.keys import ES256


@pytest.fixture
def tpm(tmp_path: Path) -> Iterator[Token]:
    """A fresh TPM."""
    with token_of("tpm", tmp_path) as made:
        yield made


def clear_lock_out(token: Token) -> None:
    """What an operator does by `tpm2_dictionarylockout --clear-lockout`."""
    password = struct.pack(">IIHBH", 9, 0x40000009, 0, 0, 0)
    command = struct.pack(">HIII", 0x8002, 27, 0x139, 0x4000000A) + password
    with socket.socket(socket.AF_UNIX) as channel:
        channel.connect(str(token.folder / "tpm.sock"))
        exchange(channel.fileno(), command)


def test_power_cuts_lock_a_tpm_and_it_heals_without_a_pin_tried_in_vain(
    tpm: Token, patient: Callable[[], None]
) -> None:
    public = tpm.make("w", ES256)
    signer = tpm.open("w", public)
    assert tpm.server is not None
    cuts = 0
    while True:
        try:
            signer.sign(b"m")
        except Unavailable:
            patient()
            continue
        except PinLocked:
            break
        tpm.server.kill()
        tpm.server.start()
        cuts += 1
    assert cuts == 3
    signer.close()
    assert lock_out().failures == 3
    assert doctor(tpm).startswith("BAD lock-out: locked: 3 of 3")
    assert not mark_of(tpm.pin_file).exists()
    clear_lock_out(tpm)
    patient()
    public.verify(b"m", signer.sign(b"m"))
    signer.close()
    assert lock_out().failures == 0
    assert doctor(tpm, public).startswith("ok signature")


def test_a_tpm_counts_one_wrong_pin_however_often_programs_start(
    tpm: Token, patient: Callable[[], None]
) -> None:
    public = tpm.make("w", ES256)
    right = tpm.pin_file.read_text()
    tpm.pin_file.write_text("00000000")
    for _ in range(2):  # Each a new program.
        signer = tpm.open("w", public)
        for _ in range(2):
            with pytest.raises(PinRefused):
                signer.sign(b"m")
            patient()
    with pytest.raises(PinRefused):
        tpm.make("more", ES256)
    assert lock_out().failures == 1
    assert "BAD pin: refused before, not tried again" in doctor(tpm)
    assert lock_out().failures == 1
    tpm.pin_file.write_text(right)
    public.verify(b"m", tpm.open("w", public).sign(b"m"))
