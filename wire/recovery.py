"""Which keys an ES256 signature may be from (SEC 1 version 2, §4.1.6).

A signature and what was signed leave two keys, seldom more. So a label that prints a key's hash
and not the key is enough to check a record: of the few keys, the hash tells which. Decides
candidates only; that one of them is right is decided by who knows its hash. Slow and not in
constant time: nothing here is secret.
"""

import hashlib

from wire.errors import Refused
from wire.keys import ES256, SIGNATURE_SIZE, PublicKey

# P-256 (FIPS 186-4 D.1.2.3): the field, the curve's b, its order and its base point.
_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)

_Point = tuple[int, int] | None


def candidates(message: bytes, signature: bytes) -> list[PublicKey]:
    """Keys under which this is an ES256 signature of the message, each verified; at most four."""
    if len(signature) != SIGNATURE_SIZE:
        return []
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if not (0 < r < _N and 0 < s < _N):
        return []
    digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
    inverse = pow(r, -1, _N)
    found = []
    for x in range(r, _P, _N):
        y = pow(x**3 - 3 * x + _B, (_P + 1) // 4, _P)
        if (y * y - x**3 + 3 * x - _B) % _P:
            continue
        for point in ((x, y), (x, _P - y)):
            key = _both(-digest * inverse % _N, s * inverse % _N, point)
            found += _standing(key, message, signature)
    return found


def _standing(point: _Point, message: bytes, signature: bytes) -> list[PublicKey]:
    if point is None:
        return []
    try:
        public = PublicKey(ES256, b"".join(part.to_bytes(32, "big") for part in point))
    except Refused:
        return []
    return [public] if public.stands(message, signature) else []


def _both(of_base: int, of_point: int, point: _Point) -> _Point:
    """`of_base` times the base point and `of_point` times the point, together (Shamir)."""
    table = (None, _G, point, _sum(_G, point))
    total: _Point = None
    for bit in reversed(range(256)):
        total = _sum(total, total)
        total = _sum(total, table[(of_base >> bit & 1) + 2 * (of_point >> bit & 1)])
    return total


def _sum(one: _Point, other: _Point) -> _Point:
    if one is None or other is None:
        return one or other
    if one[0] == other[0]:
        if (one[1] + other[1]) % _P == 0:
            return None
        slope = (3 * one[0] * one[0] - 3) * pow(2 * one[1], -1, _P)
    else:
        slope = (other[1] - one[1]) * pow(other[0] - one[0], -1, _P)
    x = (slope * slope - one[0] - other[0]) % _P
    return x, (slope * (one[0] - x) - one[1]) % _P
