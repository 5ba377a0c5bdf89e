"""A key in an ATECC608 over I2C: made in the chip, used in the chip, never outside of it.

Source: Microchip, ATECC608A/B and ATECC508A data sheets (I/O, commands, configuration zone);
opcodes and status codes as in CryptoAuthLib. The bus runs at 100 kHz, so that address 0 holds SDA
low for longer than the 60 us that wake the chip.

Decides that commands which belong together run in one waking, as TempKey does not outlive a sleep,
and all of them again when one failed for a reason that may pass: the chip's watchdog puts it to
sleep 0.7 to 1.7 s after it woke, whatever it is doing. Every answer's CRC is checked; a damaged one
is read again before anything is repeated. The chip's own nonces are random, and of s and N - s it
gives either: the low one goes out. Leaves to provisioning when a chip is locked for good.
"""

import time

from meter import p256, signing
from meter.signing import SignerFailed, finish

ADDRESS = 0x60
RESET_POINTER, SLEEP, COMMAND = b"\x00", b"\x01", b"\x03"  # Word addresses.
AWAKE = b"\x04\x11\x33\x43"
READ, WRITE, LOCK, NONCE, GEN_KEY, SIGN = 0x02, 0x12, 0x17, 0x16, 0x40, 0x41
PASS_THROUGH, EXTERNAL, CREATE = 3, 0x80, 4  # Modes of Nonce, Sign, GenKey.
WORD, BLOCK = 0, 0x80  # Of the configuration zone: 4 bytes or 32.
LOCK_DATA, LOCK_SLOT = 0x81, 2
SLOT_CONFIG, KEY_CONFIG, LOCK_VALUE, LOCK_CONFIG, SLOT_LOCKED = 20, 96, 86, 87, 88
SIGNS_ONLY = b"\x81\x20"  # Secret; signs messages from outside; GenKey may make it.
P256_PRIVATE = b"\x33\x00"  # Private, public half readable, P-256, lockable.
TRIES = 3
LONGEST_MS = {GEN_KEY: 700, SIGN: 700}  # With the slowest clock divider; the rest are done in 100.
MEANINGS = {
    0x03: "does not understand the command",
    0x05: "ECC fault",
    0x07: "self test failed",
    0x08: "random number generator failed",
    0x0F: "execution error: slot empty, locked or not configured for this",
    0x11: "fell asleep in between",
    0xEE: "its watchdog is about to expire",
    0xFF: "received a damaged command",
}
HOPELESS = (0x03, 0x07, 0x08)


class Refused(SignerFailed):
    """The chip answered with an error; `status` is its code."""

    def __init__(self, status):
        """Put the status into words."""
        super().__init__("ATECC608: " + MEANINGS.get(status, "status 0x%02x" % status))
        self.status = status


def crc16(data):
    """Polynomial 0x8005 from zero, each byte's lowest bit first; sent low byte first."""
    crc = 0
    for byte in data:
        for i in range(8):
            mixed = crc >> 15 ^ byte >> i & 1
            crc = crc << 1 & 0xFFFF ^ (0x8005 if mixed else 0)
    return bytes((crc & 0xFF, crc >> 8))


class Chip:
    """The chip on its bus; `run` is a generator that yields while the chip works."""

    def __init__(self, i2c, address=ADDRESS, clock=time):
        """`clock` has the ticks of MicroPython's `time`."""
        self._i2c, self._address, self._clock = i2c, address, clock

    def run(self, *commands):
        """Generate the last command's answer; each is (opcode, param1, param2, data, answer size).

        Raises SignerFailed.
        """
        failure = None
        for _ in range(TRIES):
            try:
                self._wake()
                for command in commands:
                    answer = yield from self._execute(*command)
                return answer
            except SignerFailed as error:
                failure = error
                if getattr(error, "status", None) in HOPELESS:
                    break
            finally:
                self._write(SLEEP)
        raise failure

    def configuration(self):
        """The 128 bytes of the configuration zone."""
        return b"".join([finish(self.run((READ, BLOCK, i * 8, b"", 32))) for i in range(4)])

    def serial(self):
        """The chip's number, 9 bytes."""
        block = finish(self.run((READ, BLOCK, 0, b"", 32)))
        return block[:4] + block[8:13]

    def _write(self, data):
        try:
            self._i2c.writeto(self._address, data)
            return True
        except OSError:  # Asleep, busy or not there.
            return False

    def _read(self, size):
        try:
            return self._i2c.readfrom(self._address, size)
        except OSError:
            return b""

    def _wake(self):
        for _ in range(TRIES):
            try:
                self._i2c.writeto(0, SLEEP)
            except OSError:
                pass  # Nobody is there to acknowledge; the byte is for those who would.
            self._clock.sleep_ms(2)
            if self._read(4) == AWAKE:
                return
            self._write(SLEEP)  # It may have been awake, with an old answer.
        raise SignerFailed("no ATECC608 at I2C address 0x%02x: check its wiring" % self._address)

    def _execute(self, opcode, param1, param2, data, size):
        packet = bytes((7 + len(data), opcode, param1, param2 & 0xFF, param2 >> 8)) + data
        if not self._write(COMMAND + packet + crc16(packet)):
            raise Refused(0x11)
        clock = self._clock
        started = clock.ticks_ms()
        while True:
            yield
            late = clock.ticks_diff(clock.ticks_ms(), started) > LONGEST_MS.get(opcode, 100)
            answer = self._read(size + 3)
            if answer:
                return self._checked(answer, size)
            if late:
                raise SignerFailed("ATECC608: no answer in time")

    def _checked(self, answer, size):
        """The answer's data; an answer of one byte is a status."""
        for _ in range(TRIES):
            count = answer[0] if answer else 0
            if count in (4, size + 3) and crc16(answer[: count - 2]) == answer[count - 2 : count]:
                if count == size + 3 and (size > 1 or answer[1] == 0):
                    return answer[1 : count - 2]
                raise Refused(answer[1])  # Also what was there before, if the command was lost.
            self._write(RESET_POINTER)
            answer = self._read(size + 3)
        raise SignerFailed("ATECC608: damaged answers: check the bus's length and pull-ups")


def _public_key(chip, slot, mode=0):
    return finish(chip.run((GEN_KEY, mode, slot, b"", 64)))


class AteccSigner:
    """The signer with its key in the chip; see `signing.SoftSigner`."""

    in_flash = False

    def __init__(self, i2c, slot=0, address=ADDRESS, clock=time):
        """Ask for the public key; raises SignerFailed."""
        self._chip = Chip(i2c, address, clock)
        self._slot = slot
        self.public = _public_key(self._chip, slot)

    def sign(self, message):
        """Generate the signature: yields often, returns r and s, 64 bytes; raises SignerFailed."""
        made = yield from self._chip.run(
            (NONCE, PASS_THROUGH, 0, signing.sha256(message), 1),
            (SIGN, EXTERNAL, self._slot, b"", 64),
        )
        s = int.from_bytes(made[32:], "big")
        return made[:32] + min(s, p256.N - s).to_bytes(32, "big")


def make_key(i2c, slot=0, address=ADDRESS, clock=time):
    """Make the meter's key in the chip, lock its slot, return the public half, 64 bytes.

    Raises keys.KeyExists when the slot has a key, and SignerFailed when the chip is not ready.
    """
    chip = Chip(i2c, address, clock)
    found = chip.configuration()
    if found[LOCK_CONFIG] or found[LOCK_VALUE]:
        raise SignerFailed(
            "the secure element is not locked and would hand its key slot to anybody: call"
            " atecc608.lock(i2c) once, which cannot be undone, then make the key again"
        )
    if found[KEY_CONFIG + 2 * slot] & 0x1D != 0x11:
        raise SignerFailed("slot %d of the secure element holds no P-256 private key" % slot)
    try:
        _public_key(chip, slot)
        made = None
    except Refused:
        made = _public_key(chip, slot, CREATE)
    if found[SLOT_LOCKED + slot // 8] >> slot % 8 & 1:
        finish(chip.run((LOCK, LOCK_SLOT | slot << 2, 0, b"", 1)))
    if made is None:
        from meter import keys  # Not for a meter that has its key.

        raise keys.KeyExists("slot %d of the secure element" % slot)
    return made


def lock(i2c, slot=0, address=ADDRESS, clock=time):
    """Give the slot to a P-256 key that only signs, then lock the chip's configuration and data.

    For provisioning, on purpose, once: it cannot be undone. What is locked already stays as it is.
    Raises SignerFailed, and may be repeated.
    """
    chip = Chip(i2c, address, clock)
    found = chip.configuration()
    if found[LOCK_CONFIG]:
        for at, value in ((SLOT_CONFIG, SIGNS_ONLY), (KEY_CONFIG, P256_PRIVATE)):
            at += 2 * slot
            found = found[:at] + value + found[at + 2 :]
            word = at // 4
            finish(chip.run((WRITE, WORD, word, found[4 * word : 4 * word + 4], 1)))
        if chip.configuration() != found:
            raise SignerFailed("the secure element does not hold the configuration written to it")
        # The checksum makes the chip lock exactly what was read here.
        _lock_once(chip, 0, int.from_bytes(crc16(found), "little"), LOCK_CONFIG)
    if found[LOCK_VALUE]:
        _lock_once(chip, LOCK_DATA, 0, LOCK_VALUE)


def _lock_once(chip, mode, checksum, at):
    """Lock a zone; an answer that was lost does not make it fail."""
    try:
        finish(chip.run((LOCK, mode, checksum, b"", 1)))
    except SignerFailed:
        if chip.configuration()[at]:
            raise


def make(settings, board):
    """The signer of the chip at the board's bus."""
    return AteccSigner(board.i2c())
