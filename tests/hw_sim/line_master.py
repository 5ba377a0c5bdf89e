"""A master for a simulated line: asks, and says what came back and when."""

import struct

from hwsim.modbus_device import with_check_sum
from hwsim.rs485 import Wire


def read_frame(unit: int, address: int, count: int, function: int = 4) -> bytes:
    return with_check_sum(struct.pack(">BBHH", unit, function, address, count))


def listen(wire: Wire, until_s: float) -> list[tuple[float, bytes]]:
    """What arrives, each lump with its time."""
    heard = []
    while (at_s := wire.next_s()) is not None and at_s <= until_s:
        octets = wire.receive(at_s)
        if octets:
            heard.append((at_s, octets))
    wire.receive(until_s)
    return heard


def ask(wire: Wire, now_s: float, request: bytes, wait_s: float = 1.0) -> bytes:
    """What comes back within a time from the begin of the request."""
    wire.send(now_s, request)
    return b"".join(octets for _, octets in listen(wire, now_s + wait_s))


def words_of(reply: bytes) -> list[int]:
    """The registers of a sound reply."""
    assert with_check_sum(reply[:-2]) == reply
    assert not reply[1] & 0x80, f"exception {reply[2]}"
    assert reply[2] == len(reply) - 5
    return list(struct.unpack(f">{reply[2] // 2}H", reply[3:-2]))
