"""An ATECC608 on an I2C bus, from its data sheet: strict, and as unfriendly as it is told to be.

Knows nothing of the firmware: its CRC is a polynomial division, its P-256 is OpenSSL's. Time is the
bus's own; whoever polls or sleeps makes it pass.
"""

from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ADDRESS = 0x60
SERIAL = bytes.fromhex("0123a1b2c3d4e5f6ee")
WATCHDOG_MS = 1300.0
BYTE_MS = 0.09
PARSE, ECC, EXECUTION, COMMUNICATION = 0x03, 0x05, 0x0F, 0xFF
EXECUTION_MS = {0x02: 1.0, 0x12: 26.0, 0x17: 32.0, 0x16: 7.0, 0x40: 115.0, 0x41: 62.0}


def crc(data: bytes) -> bytes:
    """Divide the bits, each byte's lowest first, by x^16 + x^15 + x^2 + 1."""
    bits = int("".join(f"{byte:08b}"[::-1] for byte in data) or "0", 2) << 16
    while bits.bit_length() > 16:
        bits ^= 0x18005 << bits.bit_length() - 17
    return bits.to_bytes(2, "little")


class Nack(OSError):
    """Nobody acknowledged the address."""


class StatusError(Exception):
    """What the chip answers instead of data."""

    def __init__(self, status: int) -> None:
        self.status = status


def factory_configuration() -> bytearray:
    """As Microchip ships it: unlocked, with slots for everything."""
    zone = bytearray(128)
    zone[0:4], zone[8:13] = SERIAL[:4], SERIAL[4:]
    zone[4:8] = b"\x00\x00\x60\x02"
    zone[13:20] = b"\x01\x01\x55\xc0\x00\x00\x00"
    zone[20:52] = bytes.fromhex("8320872087208f20c48f8f8f9f8f8f8f00000000000000000000000000000000")
    zone[52:68] = b"\xff\xff\xff\xff\x00\x00\x00\x00" * 2
    zone[86:90] = b"\x55\x55\xff\xff"
    zone[96:128] = bytes.fromhex("33003300330033001c001c001c001c00") + b"\x3c\x00" * 8
    return zone


class ScriptedChip:
    """Bus, clock and chip in one: `writeto`, `readfrom`, `ticks_ms`, `ticks_diff`, `sleep_ms`."""

    def __init__(self) -> None:
        self.now_ms = 0.0
        self.zone = factory_configuration()
        self.keys: dict[int, ec.EllipticCurvePrivateKey] = {}
        self.there = True
        self.high_s = False
        self.slow_by = 1.0
        """Execution times are multiplied with this."""
        self.on_write: Callable[[bytes], bytes | None] = lambda data: data
        """What arrives at the chip of bytes sent to it; None when nothing does."""
        self.on_read: Callable[[bytes], bytes] = lambda data: data
        """What arrives at the host."""
        self.before_command: Callable[[int], None] = lambda opcode: None
        self.commands: list[int] = []
        """Opcodes that were carried out or refused, in order."""
        self.transcript: list[tuple[str, int, bytes]] = []
        self._awake_since: float | None = None
        self._temp_key: bytes | None = None
        self._busy_until = 0.0
        self._output = b""
        self._pointer = 0

    # The clock.

    def ticks_ms(self) -> int:
        return int(self.now_ms)

    def ticks_diff(self, a: int, b: int) -> int:
        return a - b

    def sleep_ms(self, ms: int) -> None:
        self.now_ms += ms

    # The bus.

    def writeto(self, address: int, data: bytes) -> None:
        try:
            self._written(address, bytes(data))
        except Nack:
            self.transcript.append(("nack", address, bytes(data)))
            raise
        self.transcript.append(("write", address, bytes(data)))

    def readfrom(self, address: int, size: int) -> bytes:
        self.now_ms += BYTE_MS
        if address != ADDRESS or not self._listens():
            self.transcript.append(("busy", address, bytes(size)))
            raise Nack
        self.now_ms += BYTE_MS * size
        found = self._output[self._pointer :][:size]
        self._pointer += len(found)
        found = self.on_read(found + b"\xff" * (size - len(found)))
        self.transcript.append(("read", address, found))
        return found

    def _written(self, address: int, data: bytes) -> None:
        self.now_ms += BYTE_MS
        if address == 0:
            self._woken()
            raise Nack
        if address != ADDRESS or not self._listens():
            raise Nack
        self.now_ms += BYTE_MS * len(data)
        arrived = self.on_write(data)
        if arrived is None:
            raise Nack
        if arrived[0] == 0:
            self._pointer = 0
        elif arrived[0] == 1:
            self.fall_asleep()
        elif arrived[0] == 3:
            self._command(arrived[1:])

    def _woken(self) -> None:
        if self.there and self._awake_since is None:
            self._awake_since = self.now_ms
            self._busy_until = self.now_ms + 1.5
            self._output, self._pointer = b"\x04\x11" + crc(b"\x04\x11"), 0

    def fall_asleep(self) -> None:
        """Forget everything that is not in EEPROM."""
        self._awake_since = None
        self._temp_key = None
        self._output = b""

    def _listens(self) -> bool:
        if self._awake_since is not None and self.now_ms - self._awake_since > WATCHDOG_MS:
            self.fall_asleep()
        return self.there and self._awake_since is not None and self.now_ms >= self._busy_until

    # The chip.

    def _command(self, packet: bytes) -> None:
        self._pointer = 0
        opcode = packet[1] if len(packet) > 1 else 0
        self.before_command(opcode)
        try:
            if len(packet) < 7 or packet[0] != len(packet) or crc(packet[:-2]) != packet[-2:]:
                raise StatusError(COMMUNICATION)
            self.commands.append(opcode)
            answer = self._perform(opcode, packet[2], packet[3] | packet[4] << 8, packet[5:-2])
        except StatusError as error:
            answer = bytes((error.status,))
        self._busy_until = self.now_ms + EXECUTION_MS.get(opcode, 0.5) * self.slow_by
        framed = bytes((len(answer) + 3,)) + answer
        if self._awake_since is not None:
            self._output = framed + crc(framed)

    def _perform(self, opcode: int, param1: int, param2: int, data: bytes) -> bytes:
        performers = {
            0x02: self._read,
            0x12: self._write,
            0x16: self._nonce,
            0x17: self._lock,
            0x40: self._gen_key,
            0x41: self._sign,
        }
        if opcode not in performers:
            raise StatusError(PARSE)
        return performers[opcode](param1, param2, data)

    def _read(self, zone: int, address: int, data: bytes) -> bytes:
        if zone != 0x80 or data or address % 8 or address >= 32:
            raise StatusError(PARSE)
        return bytes(self.zone[4 * address : 4 * address + 32])

    def _write(self, zone: int, address: int, data: bytes) -> bytes:
        if zone != 0 or len(data) != 4 or address >= 32:
            raise StatusError(PARSE)
        if not self.zone[87] or address < 4 or address in (21, 22):
            raise StatusError(EXECUTION)
        self.zone[4 * address : 4 * address + 4] = data
        return b"\x00"

    def _lock(self, mode: int, checksum: int, data: bytes) -> bytes:
        zone = mode & 3
        if data or zone == 3 or mode & 0x40:
            raise StatusError(PARSE)
        if zone == 2:
            return self._lock_slot(mode >> 2 & 15)
        if mode & 0x3C:
            raise StatusError(PARSE)
        at = 87 - zone
        if not self.zone[at] or (zone == 1 and self.zone[87]):
            raise StatusError(EXECUTION)
        if not mode & 0x80 and crc(bytes(self.zone)) != checksum.to_bytes(2, "little"):
            raise StatusError(EXECUTION)
        self.zone[at] = 0
        return b"\x00"

    def _lock_slot(self, slot: int) -> bytes:
        lockable = self.zone[96 + 2 * slot] & 0x20
        if self.zone[87] or not lockable or not self.slot_open(slot):
            raise StatusError(EXECUTION)
        self.zone[88 + slot // 8] &= ~(1 << slot % 8)
        return b"\x00"

    def slot_open(self, slot: int) -> bool:
        """Whether the slot is not locked by itself."""
        return bool(self.zone[88 + slot // 8] >> slot % 8 & 1)

    def _nonce(self, mode: int, zero: int, data: bytes) -> bytes:
        if mode != 3 or zero or len(data) != 32:
            raise StatusError(PARSE)
        self._temp_key = data
        return b"\x00"

    def _gen_key(self, mode: int, slot: int, data: bytes) -> bytes:
        if mode not in (0, 4) or slot > 15 or data:
            raise StatusError(PARSE)
        # Private, P-256, public half may be told; and the configuration in force.
        if self.zone[96 + 2 * slot] & 0x1F != 0x13 or self.zone[87]:
            raise StatusError(EXECUTION)
        if mode == 4:
            if not self.zone[21 + 2 * slot] & 0x20 or not self.slot_open(slot):
                raise StatusError(EXECUTION)
            self.keys[slot] = ec.generate_private_key(ec.SECP256R1())
        if slot not in self.keys:
            raise StatusError(EXECUTION)
        return self.public(slot)

    def public(self, slot: int) -> bytes:
        """Both coordinates."""
        numbers = self.keys[slot].public_key().public_numbers()
        return numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")

    def _sign(self, mode: int, slot: int, data: bytes) -> bytes:
        if mode != 0x80 or slot > 15 or data:
            raise StatusError(PARSE)
        digest, self._temp_key = self._temp_key, None
        allowed = not self.zone[86] and not self.zone[87] and self.zone[20 + 2 * slot] & 1
        if not allowed or digest is None or slot not in self.keys:
            raise StatusError(EXECUTION)
        r, s = decode_dss_signature(self.keys[slot].sign(digest, ec.ECDSA(Prehashed(SHA256()))))
        if self.high_s:
            s = max(s, ORDER - s)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
