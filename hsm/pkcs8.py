"""A private key as EncryptedPrivateKeyInfo (RFC 5958) by scrypt and AES-256-CBC (RFC 7914 §7).

`cryptography` reads this form but writes PBKDF2 with 2,048 rounds only, which costs a guesser
little. `openssl pkey` reads it too, which is why the costs stay within OpenSSL's own limit.
"""

import os

from asn1crypto import core, pem
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

_PBES2 = "1.2.840.113549.1.5.13"
_SCRYPT = "1.3.6.1.4.1.11591.4.11"
_AES256_CBC = "2.16.840.1.101.3.4.1.42"
_COST, _BLOCK_SIZE, _PARALLEL, _KEY_SIZE = 2**14, 8, 1, 32
_AES_BLOCK = 16


class _Algorithm(core.Sequence):  # type: ignore[misc]
    _fields = [("algorithm", core.ObjectIdentifier), ("parameters", core.Any)]  # noqa: RUF012


class _ScryptParameters(core.Sequence):  # type: ignore[misc]
    _fields = [  # noqa: RUF012
        ("salt", core.OctetString),
        ("cost", core.Integer),
        ("block_size", core.Integer),
        ("parallel", core.Integer),
        ("key_size", core.Integer),
    ]


class _Pbes2Parameters(core.Sequence):  # type: ignore[misc]
    _fields = [("derivation", _Algorithm), ("encryption", _Algorithm)]  # noqa: RUF012


class _Encrypted(core.Sequence):  # type: ignore[misc]
    _fields = [("algorithm", _Algorithm), ("data", core.OctetString)]  # noqa: RUF012


def encrypt(private_key_info: bytes, passphrase: bytes) -> bytes:
    """The DER of a PrivateKeyInfo, encrypted, as PEM."""
    salt, start = os.urandom(_AES_BLOCK), os.urandom(_AES_BLOCK)
    key = Scrypt(salt, _KEY_SIZE, _COST, _BLOCK_SIZE, _PARALLEL).derive(passphrase)
    padder = padding.PKCS7(8 * _AES_BLOCK).padder()
    padded = padder.update(private_key_info) + padder.finalize()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(start)).encryptor()
    derivation = _ScryptParameters(
        {
            "salt": salt,
            "cost": _COST,
            "block_size": _BLOCK_SIZE,
            "parallel": _PARALLEL,
            "key_size": _KEY_SIZE,
        }
    )
    scheme = _Pbes2Parameters(
        {
            "derivation": {"algorithm": _SCRYPT, "parameters": derivation},
            "encryption": {"algorithm": _AES256_CBC, "parameters": core.OctetString(start)},
        }
    )
    whole = _Encrypted(
        {
            "algorithm": {"algorithm": _PBES2, "parameters": scheme},
            "data": encryptor.update(padded) + encryptor.finalize(),
        }
    )
    return bytes(pem.armor("ENCRYPTED PRIVATE KEY", whole.dump()))
