"""The meter's key and its ES256 signatures (FIPS 186-4, RFC 6979 nonces, low s).

Decides that a nonce is never left to chance (RFC 6979: the same bytes get the same signature, so a
signature repeated after a power cut is the same one), that s is the low one of its two forms, and
that a key never leaves the board: it is made here and read here, and nothing prints it. A key in
plain flash is not hidden from somebody who opens the case; every record says so (status bit 19).
"""

import hashlib

from meter import p256

ALG_ES256 = -7


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
        from meter import keys

        self.public = keys.public_key(secret)

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
