"""The meter's key and its ES256 signatures (FIPS 186-4, RFC 6979 nonces, low s).

Decides that a nonce is never left to chance (RFC 6979: the same bytes get the same signature, so a
signature repeated after a power cut is the same one), that s is the low one of its two forms, and
that a key never leaves the board: it is made here and read here, and nothing prints it. A key in
plain flash is not hidden from somebody who opens the case; every record says so (status bit 19).
"""

import hashlib
import os

from meter import NotConfigured, p256
from meter.cbor import encode

ALG_ES256 = -7
_KEY_PATH = "/key.bin"


class KeyExists(Exception):
    """A key is already there: the meter keeps the one that it was registered with."""


class SelfTestFailed(Exception):
    """The curve's known answer came out wrong: nothing may be signed on this board."""


class SignerFailed(Exception):
    """No signature now: what holds the key did not answer, or answered wrong. Try again later."""


def sha256(data):
    """The 32-byte digest."""
    return hashlib.sha256(data).digest()


def _hmac(key, data):
    """HMAC-SHA-256 with a key of 32 bytes."""
    inner = sha256(_padded(key, b"\x36" * 32) + data)
    return sha256(_padded(key, b"\x5c" * 32) + inner)


def _padded(key, pad):
    mixed = int.from_bytes(key, "big") ^ int.from_bytes(pad, "big")
    return mixed.to_bytes(32, "big") + pad


def nonce(secret, digest, passed_over=0):
    """A nonce of RFC 6979 §3.2 for a 32-byte digest: the first that fits, or one after it."""
    seed = secret.to_bytes(32, "big") + (int.from_bytes(digest, "big") % p256.N).to_bytes(32, "big")
    k, v = bytes(32), b"\x01" * 32
    for separator in (b"\x00", b"\x01"):
        k = _hmac(k, v + separator + seed)
        v = _hmac(k, v)
    while True:
        v = _hmac(k, v)
        number = int.from_bytes(v, "big")
        if 0 < number < p256.N:
            if not passed_over:
                return number
            passed_over -= 1
        k = _hmac(k, v + b"\x00")
        v = _hmac(k, v)


def sign(secret, message):
    """Generate the signature: yields often, returns r and s, 64 bytes, s in its low form."""
    digest = sha256(message)
    passed_over = 0
    while True:
        k = nonce(secret, digest, passed_over)
        x, _ = yield from p256.multiply(k)
        r = x % p256.N
        blind = p256.random_below(p256.N)
        # Both the nonce and the key are used behind a random factor that cancels out.
        number = int.from_bytes(digest, "big")
        masked = (number * blind + r * (secret * blind % p256.N)) % p256.N
        s = p256.inverse(k * blind % p256.N, p256.N) * masked % p256.N
        if r and s:
            s = min(s, p256.N - s)
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        passed_over += 1  # Never yet seen: one chance in 2**255.


class SoftSigner:
    """A key in plain flash. Every signer has these: `public`, `in_flash` and `sign`."""

    in_flash = True

    def __init__(self, secret):
        """Sign with a secret scalar."""
        self._secret = secret
        self.public = public_key(secret)

    def sign(self, message):
        """Generate the signature of a message: yields often, returns 64 bytes."""
        return sign(self._secret, message)


def finish(steps):
    """Run a generator to its end and return its value, when nobody waits meanwhile."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return end.value


def public_key(secret):
    """Both coordinates of the public key, 64 bytes."""
    x, y = finish(p256.multiply(secret))
    return x.to_bytes(32, "big") + y.to_bytes(32, "big")


def kid(public):
    """The first 8 bytes of the COSE key thumbprint (RFC 9679), the hint in a record's header."""
    return sha256(encode({1: 2, -1: 1, -2: public[:32], -3: public[32:]}))[:8]


def self_test():
    """Sign the "sample" message of RFC 6979 A.2.5; raises SelfTestFailed on a wrong answer."""
    secret = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
    try:
        made = finish(sign(secret, b"sample"))
    except ValueError:  # An inverse that there is not.
        made = b""
    # The RFC prints s = N - 0x08345...: this is the low one of the pair.
    if sha256(made)[:8].hex() != "4e6ca14f581cbd56":
        raise SelfTestFailed("P-256 known answer")


def make_key(path=_KEY_PATH):
    """Make the meter's key from the board's entropy and return the public half, 64 bytes.

    Raises KeyExists: a second key would orphan the registration of the first.
    """
    if _exists(path):
        raise KeyExists(path)
    secret = p256.random_below(p256.N)
    with open(path + ".new", "wb") as f:
        f.write(secret.to_bytes(32, "big"))
    os.rename(path + ".new", path)
    return public_key(secret)


def load_key(path=_KEY_PATH):
    """The secret scalar; raises OSError when the meter has no key yet."""
    with open(path, "rb") as f:
        return int.from_bytes(f.read(), "big")


def make(settings, board):
    """The signer with the key in flash; raises NotConfigured when there is none yet."""
    try:
        return SoftSigner(load_key())
    except OSError:
        raise NotConfigured("no key: provision this board")


def _exists(path):
    try:
        os.stat(path)
    except OSError:
        return False
    return True
