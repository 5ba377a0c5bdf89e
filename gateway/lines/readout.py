"""IEC 62056-21: the telegrams of a readout, and the words that ask for one. Pure.

Decides what is a whole telegram and whether its check character, or the CRC of a DSMR telegram, is
right; what a sign-on and an acknowledgement look like; which rate a meter offers. Which lines are
energies is for `meters.obis`, the line's rhythm for `lines.readout_line`.

Sources: IEC 62056-21:2002, sections 6.3 (messages), 6.4.3 (mode C), A.1 (block check character);
DSMR P1 companion standard 5.0.2, section 6.2 (CRC).
"""

import re
from dataclasses import dataclass
from functools import reduce
from operator import xor

from gateway.lines.frames import Garbled

_STX, _ETX = 0x02, 0x03
_ACK = b"\x06"
_RATES = {"0": 300, "1": 600, "2": 1_200, "3": 2_400, "4": 4_800, "5": 9_600, "6": 19_200}
_IDENTIFICATION = re.compile(
    rb"/(?P<maker>[A-Za-z]{3})(?P<rate>[^\r\n])(?P<name>[^\r\n]{0,64})\r?\n"
)
_PUSHED = re.compile(rb"/[A-Za-z]{3}[^/]*?\n!(?P<crc>[0-9A-Fa-f]{4})?\r?\n")
_CRC_16_ARC = 0xA001


@dataclass(frozen=True, slots=True)
class Identification:
    """Who answers a sign-on."""

    text: str
    """Maker, rate and name, as sent."""

    rate: str
    """The character of the highest rate that it offers; a digit in mode C."""

    @property
    def baudrate(self) -> int | None:
        """That rate in bits per second; None in other modes, which do not switch like this."""
        return _RATES.get(self.rate)


@dataclass(frozen=True, slots=True)
class Telegram:
    """A whole readout."""

    data: bytes
    """Its lines."""

    checked: bool
    """Whether a check character or a CRC stood behind it, and was right."""


def sign_on(address: str) -> bytes:
    """The request that wakes a meter, or the one with that address (section 6.3.1)."""
    return f"/?{address}!\r\n".encode("ascii")


def acknowledgement(rate: str) -> bytes:
    """Chooses a rate, and the readout (section 6.3.3: protocol 0, mode 0)."""
    return _ACK + f"0{rate}0\r\n".encode("ascii")


def identification_in(received: bytes) -> tuple[Identification, bytes] | None:
    """The identification in what came in, and what follows it; None when more must come.

    Echoes of a sign-on, which two-wire heads give, are passed over.
    """
    match = _IDENTIFICATION.search(received)
    if match is None:
        return None
    rate = match["rate"].decode("ascii", "replace")
    text = match[0].strip().decode("ascii", "replace")
    return Identification(text, rate), received[match.end() :]


def block_in(received: bytes) -> Telegram | None:
    """The data block of a readout after its identification; None when more must come.

    Raises:
        Garbled: its check character is wrong.
    """
    begin = received.find(_STX)
    if begin < 0:
        # Mode A without a frame: lines up to the "!" that stands alone.
        end = re.search(rb"(?:^|\n)!\r?\n", received)
        return Telegram(received[: end.start() + 1], False) if end else None
    end_at = received.find(_ETX, begin)
    if end_at < 0 or len(received) < end_at + 2:
        return None
    body = received[begin + 1 : end_at + 1]
    if reduce(xor, body, 0) != received[end_at + 1]:
        raise Garbled("a readout with a wrong check character")
    return Telegram(body[:-1], True)


def pushed_in(received: bytes) -> tuple[Telegram, int] | None:
    """The first whole pushed telegram and where it ends; None when more must come.

    Raises:
        Garbled: its CRC is wrong.
    """
    match = _PUSHED.search(received)
    if match is None:
        return None
    if match["crc"] is not None:
        end = match[0].rindex(b"!") + 1
        if crc_16(match[0][:end]) != int(match["crc"], 16):
            raise Garbled("a telegram with a wrong CRC")
    return Telegram(match[0], match["crc"] is not None), match.end()


def crc_16(octets: bytes) -> int:
    """CRC-16/ARC, as DSMR telegrams have it."""
    crc = 0
    for octet in octets:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (_CRC_16_ARC if crc & 1 else 0)
    return crc


def seven_bits(octets: bytes) -> bytes:
    """Characters of 7 bits with even parity, as a line of 8 bits without parity receives them.

    A line that is set to 7E1 has taken the parity away: then no octet has an eighth bit.

    Raises:
        Garbled: a character's parity is wrong.
    """
    if any(octet & 0x80 for octet in octets) and any(octet.bit_count() & 1 for octet in octets):
        raise Garbled("a character with wrong parity")
    return bytes(octet & 0x7F for octet in octets)


def with_parity(octets: bytes) -> bytes:
    """Characters of 7 bits as a line of 8 bits sends them, with even parity."""
    return bytes(octet | (octet.bit_count() & 1) << 7 for octet in octets)
