"""Arithmetic on the curve P-256 (FIPS 186-4 D.1.2.3), as far as signing needs it.

Decides how to multiply the base point: a signed comb of five teeth (Hedabou, Pinel, Beneteau,
"Countermeasures for Preventing Comb Method Against SCA Attacks", 2005). Every digit of the scalar
is +1 or -1, so each of the 52 columns costs one doubling and one addition whatever the scalar is:
no column is skipped, and the bits at the top of a nonce do not show in the time it takes. The
starting point gets a random projective form, so two runs with one scalar share no intermediate
value. Big integers themselves are not constant-time; a secure element is what protects a key from
somebody with a probe.

Leaves nonces, hashes and what is signed to `signing`.
"""

from os import urandom

from meter.p256_table import POINTS

P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

TEETH = 5
COLUMNS = 52  # TEETH * COLUMNS bits hold every scalar below N, with room for the recoding.


def inverse(value, modulus):
    """The inverse of `value` by extended Euclid: an eighth of the cost of a power.

    Variable in time: whoever passes a secret multiplies it with something random first.
    """
    u, v = value % modulus, modulus
    x, y = 1, 0
    while u > 1:
        q = v // u
        u, v, x, y = v - q * u, u, y - q * x, x
    if u != 1:
        raise ValueError("no inverse")
    return x % modulus


def random_below(limit):
    """A number from 1 to limit - 1; 64 spare bits make its bias vanish."""
    return 1 + int.from_bytes(urandom(40), "big") % (limit - 1)


def _double(x, y, z):
    delta = z * z % P
    gamma = y * y % P
    beta = x * gamma % P
    alpha = 3 * (x - delta) * (x + delta) % P
    x3 = (alpha * alpha - 8 * beta) % P
    return x3, (alpha * (4 * beta - x3) - 8 * gamma * gamma) % P, 2 * y * z % P


def _add(x, y, z, x2, y2):
    """Jacobian plus affine; never met with equal points but with a chance of 2**-250."""
    zz = z * z % P
    h = (x2 * zz - x) % P
    r = (y2 * zz * z - y) % P
    hh = h * h % P
    hhh = h * hh % P
    v = x * hh % P
    x3 = (r * r - hhh - 2 * v) % P
    return x3, (r * (v - x3) - y * hhh) % P, z * h % P


def _column(digits, i):
    """The comb's point for column `i` of the recoded scalar, as (x, y)."""
    top = digits >> (i + (TEETH - 1) * COLUMNS) & 1
    index = 0
    for tooth in range(TEETH - 2, -1, -1):
        index = index << 1 | (digits >> (i + tooth * COLUMNS) & 1)
    if not top:
        index ^= (1 << (TEETH - 1)) - 1
    at = 64 * index
    y = int.from_bytes(POINTS[at + 32 : at + 64], "big")
    return int.from_bytes(POINTS[at : at + 32], "big"), y if top else P - y


def multiply(scalar):
    """Generate scalar * G: yields after each column, returns (x, y).

    `scalar` is from 1 to N - 1. `yield from` hands its pauses on, so that a loop can answer a bus
    between them.
    """
    odd = scalar & 1
    # A bit of `digits` stands for +1 when set, for -1 when not; only odd numbers are such sums.
    digits = ((scalar if odd else N - scalar) + (1 << TEETH * COLUMNS) - 1) >> 1
    x, y = _column(digits, COLUMNS - 1)
    z = random_below(P)
    zz = z * z % P
    x, y = x * zz % P, y * zz * z % P
    for i in range(COLUMNS - 2, -1, -1):
        x, y, z = _double(x, y, z)
        x2, y2 = _column(digits, i)
        x, y, z = _add(x, y, z, x2, y2)
        yield
    z = inverse(z, P)
    zz = z * z % P
    x, y = x * zz % P, y * zz * z % P
    return x, y if odd else P - y
