"""P-256 by plain double-and-add, what the firmware's multiplication is compared with.

The textbook's way (Hankerson, Menezes, Vanstone, "Guide to Elliptic Curve Cryptography", 2004,
algorithms 3.21, 3.22 and 3.27): Jacobian coordinates, from the top bit down, an addition for each
bit that is set, one inversion at the end. Numbers, inverse, nonces and the rest of a signature are
the firmware's own, so that only the multiplication differs. Never on a meter: its time tells the
scalar. It runs on MicroPython, where `bench` puts it in the place of `meter.p256.multiply`.
"""

from meter.p256 import P, inverse

GX = 0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296
GY = 0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5


def _double(x, y, z):
    delta = z * z % P
    gamma = y * y % P
    beta = x * gamma % P
    alpha = 3 * (x - delta) * (x + delta) % P
    x3 = (alpha * alpha - 8 * beta) % P
    return x3, (alpha * (4 * beta - x3) - 8 * gamma * gamma) % P, 2 * y * z % P


def _add(x, y, z):
    """Add the base point."""
    zz = z * z % P
    h = (GX * zz - x) % P
    r = (GY * zz * z - y) % P
    hh = h * h % P
    hhh = h * hh % P
    v = x * hh % P
    x3 = (r * r - hhh - 2 * v) % P
    return x3, (r * (v - x3) - y * hhh) % P, z * h % P


def multiply(scalar):
    """Generate scalar * G: yields after each bit, returns (x, y)."""
    bit = 1
    while bit << 1 <= scalar:
        bit <<= 1
    x, y, z = GX, GY, 1
    while bit > 1:
        bit >>= 1
        x, y, z = _double(x, y, z)
        if scalar & bit:
            x, y, z = _add(x, y, z)
        yield
    z = inverse(z, P)
    zz = z * z % P
    return x * zz % P, y * zz * z % P
