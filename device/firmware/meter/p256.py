"""Arithmetic on the curve P-256 (FIPS 186-4 D.1.2.3), as far as signing needs it.

Decides how to multiply the base point: a signed comb of five teeth (Hedabou, Pinel, Beneteau,
"Countermeasures for Preventing Comb Method Against SCA Attacks", 2005), in two halves that share
their doublings (Lim, Lee, "More Flexible Exponentiation with Precomputation", 1994). Every digit of
the scalar is +1 or -1, so each of the 52 columns costs one addition and each second one a doubling,
whatever the scalar is: no column is skipped, and the bits at the top of a nonce do not show in the
time it takes. Points are (x / zz, y / zzz), which saves one reduction in each addition; reductions
are most of the work, as one costs a MicroPython two multiplications. The starting point gets a
random projective form, so two runs with one scalar share no intermediate value. Big integers
themselves are not constant-time; a secure element is what protects a key from somebody with a
probe.

Leaves nonces, hashes and what is signed to `signing`.
"""

from os import urandom

from meter.p256_table import POINTS

P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

TEETH = 5
COLUMNS = 52  # TEETH * COLUMNS bits hold every scalar below N, with room for the recoding.
HALF = COLUMNS // 2


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
        raise ValueError  # There is none.
    return x % modulus


def random_below(limit):
    """A number from 1 to limit - 1; 64 spare bits make its bias vanish."""
    return 1 + int.from_bytes(urandom(40), "big") % (limit - 1)


def _double(x, y, zz, zzz):
    """Formulas "dbl-2008-s-1" of the Explicit-Formulas Database, with a = -3."""
    u = y + y
    v = u * u % P
    w = u * v % P
    s = x * v % P
    m = 3 * (x - zz) * (x + zz) % P
    x3 = (m * m - s - s) % P
    return x3, (m * (s - x3) - w * y) % P, v * zz % P, w * zzz % P


def _add(x, y, zz, zzz, x2, y2):
    """Add an affine point ("madd-2008-s"); it equals the other by a chance of 2**-250 only."""
    h = (x2 * zz - x) % P
    r = (y2 * zzz - y) % P
    hh = h * h % P
    hhh = h * hh % P
    v = x * hh % P
    x3 = (r * r - hhh - v - v) % P
    return x3, (r * (v - x3) - y * hhh) % P, zz * hh % P, zzz * hhh % P


def _column(digits, i):
    """The affine point for column `i` of the recoded scalar, whose bits are in `digits`."""
    index = 0
    at = i + TEETH * COLUMNS
    for _ in range(TEETH):
        at -= COLUMNS
        index = index << 1 | digits[at >> 3] >> (at & 7) & 1
    top = index >> TEETH - 1
    # The table has the points with a +1 at the top: the others are their negatives.
    index = (index ^ top - 1) & 15 | i // HALF << 4
    at = 64 * index
    y = int.from_bytes(POINTS[at + 32 : at + 64], "big")
    return int.from_bytes(POINTS[at : at + 32], "big"), (P - y, y)[top]


def multiply(scalar):
    """Generate scalar * G: yields after each column, returns (x, y).

    `scalar` is from 1 to N - 1. `yield from` hands its pauses on, so that a loop can answer a bus
    between them.
    """
    odd = scalar & 1
    # A bit of `digits` stands for +1 when set, for -1 when not; only odd numbers are such sums.
    digits = ((N - scalar, scalar)[odd] + (1 << TEETH * COLUMNS) - 1) >> 1
    digits = digits.to_bytes(33, "little")
    x, y = _column(digits, COLUMNS - 1)
    z = random_below(P)
    zz = z * z % P
    zzz = z * zz % P
    x, y = x * zz % P, y * zzz % P
    for i in range(COLUMNS - 2, -1, -1):
        # Column k of the upper half, column k of the lower half, then down one by doubling.
        upper = i & 1
        if upper:
            x, y, zz, zzz = _double(x, y, zz, zzz)
        x2, y2 = _column(digits, (i >> 1) + HALF * upper)
        x, y, zz, zzz = _add(x, y, zz, zzz, x2, y2)
        yield
    z = inverse(zzz, P)  # 1 / z**3; zz * z is 1 / z.
    y = y * z % P
    z = zz * z % P
    return x * (z * z % P) % P, (P - y, y)[odd]
