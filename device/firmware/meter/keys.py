"""The meter's key before it signs: made, read and tested; forgotten once the meter runs.

Decides that a key never leaves the board: it is made here and read here, and nothing prints it. The
public half is reckoned anew at each start.
"""

import os

from meter import NotConfigured, p256
from meter.signing import SoftSigner, finish, sha256, sign

_PATH = "/key.bin"


class KeyExists(Exception):
    """A key is already there: the meter keeps the one that it was registered with."""


class SelfTestFailed(Exception):
    """The curve's known answer came out wrong: nothing may be signed on this board."""


def public_key(secret):
    """Both coordinates of the public key, 64 bytes."""
    x, y = finish(p256.multiply(secret))
    return x.to_bytes(32, "big") + y.to_bytes(32, "big")


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


def make_key(path=_PATH):
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


def load_key(path=_PATH):
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
