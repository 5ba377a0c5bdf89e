"""What a bus can do to a meter, and what the meter says to it: told once, for both Pythons."""

import random
import struct
from dataclasses import dataclass

from meter import modbus

UNIT = 5
WINDOW = 0xF000
WANTED, TIME = WINDOW + 6, WINDOW + 100
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3


def with_crc(body: bytes) -> bytes:
    """A frame as it goes on the wire."""
    frame: bytes = modbus.with_crc(body)
    return frame


MAGIC = with_crc(bytes((UNIT, 3, 2)) + b"EW")


def read(address: int, count: int, unit: int = UNIT, function: int = 3) -> bytes:
    return with_crc(struct.pack(">BBHH", unit, function, address, count))


def write_one(address: int, value: int, unit: int = UNIT) -> bytes:
    return with_crc(struct.pack(">BBHH", unit, 6, address, value))


def write(address: int, *words: int, unit: int = UNIT) -> bytes:
    return raw_write(
        address, len(words), 2 * len(words), struct.pack(f">{len(words)}H", *words), unit
    )


def raw_write(address: int, count: int, size: int, data: bytes, unit: int = UNIT) -> bytes:
    return with_crc(struct.pack(">BBHHB", unit, 16, address, count, size) + data)


def want(sequence: int, unit: int = UNIT) -> bytes:
    return write(WANTED, sequence >> 16, sequence & 0xFFFF, unit=unit)


def refusal(function: int, code: int) -> bytes:
    return with_crc(bytes((UNIT, function | 0x80, code)))


def done(address: int, count: int) -> bytes:
    return with_crc(struct.pack(">BBHH", UNIT, 16, address, count))


FENCE = read(WINDOW, 1)


@dataclass(frozen=True, slots=True)
class Case:
    """Bytes on the line, and all that the meter says to them."""

    name: str
    """What the master or the line did."""

    said: bytes
    """What came to the meter, silence behind it."""

    answer: bytes = b""
    """What it answers; nothing, mostly."""


def _limits() -> list[Case]:
    long = bytes(246)
    cases = [
        Case("124 registers written", raw_write(WANTED, 124, 246, long), refusal(16, 3)),
        Case("123 registers written", raw_write(WANTED, 123, 246, long), refusal(16, 2)),
        Case("no register written", raw_write(WANTED, 0, 0, b""), refusal(16, 3)),
        Case("more bytes than registers", raw_write(WANTED, 1, 4, b"abcd"), refusal(16, 3)),
        Case("fewer bytes than registers", raw_write(WANTED, 2, 2, b"ab"), refusal(16, 3)),
        Case("an odd number of bytes", raw_write(WANTED, 1, 3, b"abc"), refusal(16, 3)),
        Case("a write over the end", write(0xFFFF, 1, 2), refusal(16, 2)),
        Case("a write to what is read", write(WANTED, 0, 0, 0), refusal(16, 2)),
        Case("FC 06 to the magic", write_one(WINDOW, 1), refusal(6, 2)),
    ]
    for function in (3, 4):
        cases += [
            Case(
                f"FC {function}: {what}",
                read(address, count, UNIT, function),
                refusal(function, code),
            )
            for what, address, count, code in (
                ("126 registers", WINDOW, 126, 3),
                ("65535 registers", WINDOW, 0xFFFF, 3),
                ("no register", WINDOW, 0, 3),
                ("before the first", 39_999, 1, 2),
                ("behind the window", WINDOW + 256, 1, 2),
                ("over the window's end", WINDOW + 255, 2, 2),
                ("over the end of all", 0xFFFF, 2, 2),
                ("125 over the end of all", 0xFFFF, 125, 2),
            )
        ]
    return cases


def _functions() -> list[Case]:
    chance = random.Random(1)
    cases = []
    for function in (each for each in range(128) if each not in (3, 4, 6, 16)):
        size = {1: 4, 2: 4, 5: 4, 15: 5}.get(function, chance.randint(0, 60))
        data = chance.randbytes(size)
        if function == 15:
            data = struct.pack(">HHB", WANTED, 8, 1) + b"\1"
        frame = with_crc(bytes((UNIT, function)) + data)
        cases.append(Case(f"function {function}", frame, refusal(function, ILLEGAL_FUNCTION)))
    cases += [
        Case(f"an answer, {function:#x}", with_crc(bytes((UNIT, function, 2))))
        for function in (0x80, 0x83, 0x90, 0xFF)
    ]
    return cases


def _others() -> list[Case]:
    inner = want(1)
    answer = with_crc(bytes((UNIT + 1, 3, len(inner) + 1)) + inner + b"\0")
    cases = [
        Case(f"unit {unit} is asked", read(WINDOW, 1, unit)) for unit in (1, 4, 6, 247, 248, 255)
    ]
    return [
        *cases,
        Case("unit 6 is written", want(1, UNIT + 1)),
        Case("everybody is asked", read(WINDOW, 1, 0)),
        Case("everybody is asked of input registers", read(WINDOW, 1, 0, 4)),
        Case("everybody is told an unknown function", with_crc(b"\x00\x2b\x0e\x01\x00")),
        Case("a request for us inside another's answer", answer),
        Case("a read of us inside another's answer", with_crc(b"\6\3\x0a" + FENCE + b"\0\0")),
        Case(
            "a request for us inside another's write", raw_write(0, 7, 14, inner + b"\0", UNIT + 1)
        ),
        Case("the same behind another's refusal", with_crc(b"\6\x83\2") + answer),
        Case("another's question and answer", read(WINDOW, 2, 6) + with_crc(b"\6\3\4\5\3\0\7")),
    ]


def _damage() -> list[Case]:
    whole = want(1)
    long = with_crc(bytes((UNIT, 16)) + struct.pack(">HHB", WANTED, 145, 34) + bytes(290))
    return [
        *(Case(f"a write cut at {cut}", whole[:cut]) for cut in range(1, len(whole))),
        *(Case(f"a read cut at {cut}", FENCE[:cut]) for cut in range(1, len(FENCE))),
        *(Case(f"byte {i} wrong", _wrong(whole, i)) for i in range(len(whole))),
        Case("an address and a CRC", with_crc(bytes((UNIT,)))),
        Case("a read with a byte too many", with_crc(FENCE[:-2] + b"\0")),
        Case("300 bytes with a good CRC", long),
        Case("124 registers in 257 bytes", raw_write(WANTED, 124, 248, bytes(248))),
        Case("a function of 300 bytes", with_crc(bytes((UNIT, 0x2B)) + bytes(300))),
        Case("HTTP", b"GET / HTTP/1.1\r\nHost: meter\r\n\r\n"),
        Case("zeros", bytes(255)),
        Case("ones", b"\xff" * 255),
        Case("our address again and again", bytes((UNIT,)) * 255),
        Case("endless writes begun", bytes((UNIT, 16, 0, 0, 0, 0, 0xF6)) * 40),
        Case("endless reads of another begun", bytes((6, 3, 0xF0)) * 90),
    ]


def _wrong(frame: bytes, at: int) -> bytes:
    return frame[:at] + bytes((frame[at] ^ 0x40,)) + frame[at + 1 :]


REFUSED = _limits() + _functions()
IGNORED = _others() + _damage()
