"""A key that never leaves its chip: signing, making, locking, and a bus that goes wrong."""

import random
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.board import micropython
from meter import atecc608
from meter.keys import KeyExists
from meter.signing import SignerFailed, finish
from tests.device.scripted_atecc608 import (
    ADDRESS,
    ECC,
    SERIAL,
    Nack,
    ScriptedChip,
    StatusError,
    crc,
)
from wire.keys import ES256, PublicKey

FIRMWARE = Path(__file__).parents[2] / "device" / "firmware"
GEN_KEY, SIGN, NONCE, LOCK, WRITE = 0x40, 0x41, 0x16, 0x17, 0x12


def commissioned() -> ScriptedChip:
    """A chip as provisioning leaves it."""
    chip = ScriptedChip()
    atecc608.lock(chip, clock=chip)
    atecc608.make_key(chip, clock=chip)
    chip.commands.clear()
    return chip


def signer(chip: ScriptedChip) -> Any:
    return atecc608.AteccSigner(chip, clock=chip)


def verify(public: bytes, message: bytes, signature: bytes) -> None:
    """Raises when it is not the low-s signature of this message."""
    PublicKey(ES256, public).verify(message, signature)


def test_the_checksum_is_the_one_of_the_data_sheets_example() -> None:
    assert atecc608.crc16(b"\x04\x11") == b"\x33\x43"


@given(st.binary(max_size=160))
def test_the_checksum_is_a_division_of_polynomials(data: bytes) -> None:
    assert atecc608.crc16(data) == crc(data)


def test_the_host_verifies_what_the_chip_signs() -> None:
    chip = commissioned()
    key = signer(chip)
    assert not key.in_flash
    for i in range(8):
        message = b"a reading %d" % i
        verify(key.public, message, finish(key.sign(message)))


def test_a_high_s_leaves_the_meter_as_the_low_one() -> None:
    chip = commissioned()
    chip.high_s = True
    key = signer(chip)
    verify(key.public, b"a reading", finish(key.sign(b"a reading")))


def test_signing_pauses_while_the_chip_works() -> None:
    chip = commissioned()
    key = signer(chip)
    pauses = len(list(key.sign(b"a reading")))
    # Each pause polls once, which takes a tenth of a millisecond of the 69 that it works.
    assert pauses > 100


def test_the_chip_sleeps_when_nobody_needs_it() -> None:
    chip = commissioned()
    finish(signer(chip).sign(b"a reading"))
    with pytest.raises(Nack):
        chip.readfrom(ADDRESS, 4)


def test_the_serial_number_is_gathered_from_its_two_places() -> None:
    chip = ScriptedChip()
    assert atecc608.Chip(chip, clock=chip).serial() == SERIAL


def test_a_key_is_not_made_before_the_configuration_is_locked() -> None:
    chip = ScriptedChip()
    with pytest.raises(SignerFailed, match=r"atecc608\.lock\(i2c\) once, which cannot be undone"):
        atecc608.make_key(chip, clock=chip)
    assert chip.keys == {}
    assert chip.zone[87] == 0x55


def test_locking_gives_the_slot_to_a_key_that_only_signs() -> None:
    chip = ScriptedChip()
    before = bytes(chip.zone)
    atecc608.lock(chip, clock=chip)
    assert chip.zone[20:22] == b"\x81\x20"
    assert chip.zone[96:98] == b"\x33\x00"
    assert (chip.zone[86], chip.zone[87]) == (0, 0)
    untouched = [*range(20), *range(22, 86), *range(88, 96), *range(98, 128)]
    assert all(before[i] == chip.zone[i] for i in untouched)


@pytest.mark.parametrize("slot", [0, 1, 7, 15])
def test_any_slot_may_hold_the_key(slot: int) -> None:
    chip = ScriptedChip()
    atecc608.lock(chip, slot, clock=chip)
    public = atecc608.make_key(chip, slot, clock=chip)
    assert public == chip.public(slot)
    assert not chip.slot_open(slot)
    key = atecc608.AteccSigner(chip, slot, clock=chip)
    verify(public, b"a reading", finish(key.sign(b"a reading")))


def test_a_chip_keeps_its_key() -> None:
    chip = commissioned()
    public = chip.public(0)
    with pytest.raises(KeyExists, match="slot 0"):
        atecc608.make_key(chip, clock=chip)
    with pytest.raises(SignerFailed, match="execution error"):
        finish(atecc608.Chip(chip, clock=chip).run((GEN_KEY, 4, 0, b"", 64)))
    assert chip.public(0) == public


def test_a_key_whose_slot_was_not_locked_in_time_is_kept_and_locked() -> None:
    chip = ScriptedChip()
    atecc608.lock(chip, clock=chip)
    finish(atecc608.Chip(chip, clock=chip).run((GEN_KEY, 4, 0, b"", 64)))
    public = chip.public(0)
    with pytest.raises(KeyExists):
        atecc608.make_key(chip, clock=chip)
    assert chip.public(0) == public
    assert not chip.slot_open(0)


def test_a_slot_for_something_else_is_refused() -> None:
    chip = ScriptedChip()
    atecc608.lock(chip, clock=chip)
    with pytest.raises(SignerFailed, match=r"slot 5 .* no P-256 private key"):
        atecc608.make_key(chip, 5, clock=chip)


@pytest.mark.parametrize("cut_at", range(12))
def test_locking_that_was_cut_short_is_completed_by_doing_it_again(cut_at: int) -> None:
    chip = ScriptedChip()

    def cut(opcode: int) -> None:
        if len(chip.commands) >= cut_at:
            chip.there = False

    chip.before_command = cut
    with pytest.raises(SignerFailed):
        atecc608.lock(chip, clock=chip)
    chip.there, chip.before_command = True, lambda opcode: None
    atecc608.lock(chip, clock=chip)
    assert atecc608.make_key(chip, clock=chip) == chip.public(0)


def test_a_lock_whose_answers_were_lost_is_a_lock() -> None:
    chip = ScriptedChip()
    lost: list[int] = []

    def lose(data: bytes) -> bytes:
        return bytes(len(data)) if lost and lost.pop() else data

    chip.before_command = lambda opcode: lost.extend([1, 1, 1] if opcode == LOCK else [])
    chip.on_read = lose
    atecc608.lock(chip, clock=chip)
    assert (chip.zone[86], chip.zone[87]) == (0, 0)
    assert chip.commands.count(LOCK) > 2


def test_a_configuration_that_did_not_take_is_not_locked() -> None:
    chip = ScriptedChip()

    def spoil(opcode: int) -> None:
        if opcode == WRITE:
            chip.zone[30] = 0

    chip.before_command = spoil
    with pytest.raises(SignerFailed, match="does not hold the configuration"):
        atecc608.lock(chip, clock=chip)
    assert chip.zone[87] == 0x55


def test_a_chip_that_is_not_there_is_named_with_its_address() -> None:
    chip = ScriptedChip()
    chip.there = False
    with pytest.raises(SignerFailed, match="no ATECC608 at I2C address 0x60"):
        signer(chip)


def test_a_damaged_answer_is_read_again_and_nothing_is_done_twice() -> None:
    chip = commissioned()
    key = signer(chip)
    chip.commands.clear()
    damaged = iter([True, True])

    def damage(data: bytes) -> bytes:
        if len(data) > 60 and next(damaged, False):
            return data[:20] + bytes((data[20] ^ 4,)) + data[21:]
        return data

    chip.on_read = damage
    verify(key.public, b"a reading", finish(key.sign(b"a reading")))
    assert chip.commands == [NONCE, SIGN]


def test_a_damaged_command_is_sent_again() -> None:
    chip = commissioned()
    key = signer(chip)
    damaged = iter([True])

    def damage(data: bytes) -> bytes:
        if len(data) > 30 and next(damaged, False):
            return data[:9] + bytes((data[9] ^ 0x80,)) + data[10:]
        return data

    chip.on_write = damage
    verify(key.public, b"a reading", finish(key.sign(b"a reading")))


def test_a_chip_that_falls_asleep_between_digest_and_signature_gets_both_again() -> None:
    chip = commissioned()
    key = signer(chip)
    steps = key.sign(b"a reading")
    for _ in range(20):
        next(steps)
    chip.now_ms += 2000  # The board was busy with something else: the watchdog has come.
    verify(key.public, b"a reading", finish(steps))
    assert chip.commands.count(NONCE) >= 2


def test_a_chip_that_always_falls_asleep_ends_in_words_and_not_in_a_hang() -> None:
    chip = commissioned()
    key = signer(chip)
    begun_ms = chip.now_ms
    chip.before_command = lambda opcode: chip.fall_asleep() if opcode == SIGN else None
    with pytest.raises(SignerFailed):
        finish(key.sign(b"a reading"))
    assert chip.now_ms - begun_ms < 5000


def test_a_chip_that_never_gets_done_ends_in_words_within_seconds() -> None:
    chip = commissioned()
    key = signer(chip)
    begun_ms = chip.now_ms
    chip.slow_by = 1e9
    with pytest.raises(SignerFailed, match=r"no answer in time|no ATECC608"):
        finish(key.sign(b"a reading"))
    assert chip.now_ms - begun_ms < 5000


@pytest.mark.parametrize("slow_by", [1.9, 5.7])
def test_the_slow_clock_dividers_are_waited_for(slow_by: float) -> None:
    chip = commissioned()
    chip.slow_by = slow_by
    key = signer(chip)
    verify(key.public, b"a reading", finish(key.sign(b"a reading")))


def failing(chip: ScriptedChip, status: int, times: int) -> None:
    """Let the chip's signatures fail with a status for some times."""
    left = iter(range(times))
    sign = chip._sign

    def fail(mode: int, slot: int, data: bytes) -> bytes:
        if next(left, None) is not None:
            raise StatusError(status)
        return sign(mode, slot, data)

    chip._sign = fail  # type: ignore[method-assign]


def test_an_ecc_fault_that_passes_is_not_seen() -> None:
    chip = commissioned()
    key = signer(chip)
    failing(chip, ECC, 2)
    verify(key.public, b"a reading", finish(key.sign(b"a reading")))


@pytest.mark.parametrize(
    ("status", "words", "tries"),
    [
        (0x03, "does not understand", 1),
        (0x05, "ECC fault", 3),
        (0x07, "self test failed", 1),
        (0x08, "random number generator failed", 1),
        (0x0F, "execution error", 3),
        (0x42, "status 0x42", 3),
    ],
)
def test_each_status_has_words_and_what_cannot_pass_is_not_tried_again(
    status: int, words: str, tries: int
) -> None:
    chip = commissioned()
    key = signer(chip)
    chip.commands.clear()
    failing(chip, status, 99)
    with pytest.raises(SignerFailed, match=words):
        finish(key.sign(b"a reading"))
    assert chip.commands.count(SIGN) == tries


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32), st.integers(1, 30))
def test_whatever_the_bus_does_a_signature_is_right_or_not_there(seed: int, rarely: int) -> None:
    chip = commissioned()
    key = signer(chip)
    chance = random.Random(seed)

    def disturb(data: bytes) -> bytes:
        if chance.randrange(rarely):
            return data
        at = chance.randrange(len(data))
        return data[:at] + bytes((data[at] ^ 1 << chance.randrange(8),)) + data[at + 1 :]

    def lose(data: bytes) -> bytes | None:
        return None if chance.randrange(4 * rarely) == 0 else disturb(data)

    def sleep(opcode: int) -> None:
        if chance.randrange(4 * rarely) == 0:
            chip.fall_asleep()

    chip.on_read, chip.on_write, chip.before_command = disturb, lose, sleep
    try:
        signature = finish(key.sign(b"a reading"))
    except SignerFailed:
        return
    verify(key.public, b"a reading", signature)


REPLAY = """
from meter import atecc608
from meter.signing import finish
class Bus:
    now = 0
    def __init__(self, script):
        self.script = script
    def writeto(self, address, data):
        kind, at, expected = self.script.pop(0)
        assert kind in ("write", "nack") and (at, expected) == (address, data), (at, expected, data)
        if kind == "nack":
            raise OSError(19)
    def readfrom(self, address, size):
        kind, at, data = self.script.pop(0)
        assert kind in ("read", "busy") and (at, len(data)) == (address, size)
        if kind == "busy":
            raise OSError(19)
        return data
    def ticks_ms(self):
        return 0
    def ticks_diff(self, a, b):
        return a - b
    def sleep_ms(self, ms):
        pass
bus = Bus(%r)
signer = atecc608.AteccSigner(bus, clock=bus)
print(signer.public.hex(), finish(signer.sign(b"a reading")).hex(), len(bus.script))
"""


def test_micropython_says_the_same_on_the_bus() -> None:
    chip = commissioned()
    chip.transcript.clear()
    key = signer(chip)
    signature = finish(key.sign(b"a reading"))
    script = [entry for i, entry in enumerate(chip.transcript) if entry[0] != "busy" or i % 50 == 0]
    done = subprocess.run(
        [micropython(), "-X", "heapsize=256k", "-c", REPLAY % script],
        env={"MICROPYPATH": f"{FIRMWARE}:.frozen"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [key.public.hex(), signature.hex(), "0"], done.stderr
