"""Private keys in files: PKCS#8 PEM, encrypted at rest, readable by their owner only.

For validators and technicians without a token. The passphrase (scrypt and AES-256 stand between it
and the key) comes from a file, a systemd credential or the terminal, and is never stored here.
"""

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from hsm.durable import write_new
from hsm.pkcs8 import encrypt
from wire.errors import Refused, Unavailable, WrongUsage
from wire.keys import ES256, PublicKey, SoftSigner


class NoKeyFile(WrongUsage):
    """What is named is not there, or no private key."""

    code = "no-key-file"


class WrongPassphrase(Refused):
    """The passphrase does not open the key file, or its key is of a kind that is not used here."""

    code = "wrong-passphrase"


def create(path: Path, alg: int, passphrase: bytes) -> PublicKey:
    """Make a key and write it encrypted, mode 0600; raises FileExistsError if one is there."""
    if not passphrase:
        raise WrongPassphrase("a key file is never written without a passphrase")
    private = (
        ec.generate_private_key(ec.SECP256R1())
        if alg == ES256
        else ed25519.Ed25519PrivateKey.generate()
    )
    plain = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    write_new(path, encrypt(plain, passphrase))
    return SoftSigner(private).public


def check(path: Path) -> bytes:
    """The content of a key file, before anybody is asked for its passphrase.

    Raises:
        NoKeyFile: it is not there, or is something else.
        Unavailable: it cannot be read now.
    """
    try:
        pem = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise NoKeyFile(f"there is no key file {path}") from None
    except IsADirectoryError:
        raise NoKeyFile(f"{path} is a folder: name the key file in it") from None
    except OSError as reason:
        raise Unavailable(f"the key file {path}: {os.strerror(reason.errno or 0)}") from None
    if _PRIVATE in pem:
        return pem
    what = next((words for mark, words in _OTHERS.items() if mark in pem), "no private key")
    raise NoKeyFile(f"{path} is {what}: name the file of the private key (PEM)")


_PRIVATE = b"PRIVATE KEY-----"
_OTHERS = {
    b"BEGIN CERTIFICATE REQUEST": "a certificate request",
    b"BEGIN CERTIFICATE": "a certificate",
    b"BEGIN PUBLIC KEY": "a public key",
}


def load(path: Path, passphrase: bytes) -> SoftSigner:
    """Open a key file.

    Raises:
        NoKeyFile: it is not there, or no private key.
        Unavailable: it cannot be read now.
        WrongPassphrase: the passphrase does not open it.
    """
    pem = check(path)
    try:
        private = load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError):
        raise WrongPassphrase(f"{path}: the passphrase does not open this key file") from None
    if not isinstance(private, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise WrongPassphrase(f"{path}: neither a P-256 nor an Ed25519 key")
    return SoftSigner(private)
