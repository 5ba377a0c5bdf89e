"""Public keys that people name: as text, or as a file in any usual form; and one for certificates.

Decides which forms are read; whether a key may be trusted is decided by who asks.
"""

from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from wire import cbor
from wire.errors import BadKey, Refused
from wire.keys import EDDSA, ES256, PublicKey

_MOST_KEY_FILE = 4096


def read_key(argument: str) -> PublicKey:
    """A key as text (`es256:…`), or of a file: text, PEM, DER or COSE_Key.

    Raises:
        Refused: no such key, or none that may be registered.
        OSError: the file cannot be read.
    """
    if argument.startswith(("es256:", "eddsa:")):
        return PublicKey.from_text(argument.strip())
    with Path(argument).open("rb") as file:
        data = file.read(_MOST_KEY_FILE)
    if data.startswith((b"es256:", b"eddsa:")):
        return PublicKey.from_text(data.decode("ascii", "replace").strip())
    try:
        if data.startswith(b"-----BEGIN"):
            return _of_library(load_pem_public_key(data))
        if data.startswith(b"\x30"):
            return _of_library(load_der_public_key(data))
    except (ValueError, UnsupportedAlgorithm):
        raise BadKey(f"{argument}: not a public key of P-256 or Ed25519") from None
    try:
        return PublicKey.from_cose(cbor.decode(data))
    except Refused:
        raise BadKey(
            f"{argument}: no public key; give es256:… or eddsa:…, PEM, DER or COSE_Key"
        ) from None


def to_der(public: PublicKey) -> bytes:
    """The key as SubjectPublicKeyInfo (RFC 5280), as certificates and requests carry it."""
    key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
    if public.alg == ES256:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + public.raw)
    else:
        key = ed25519.Ed25519PublicKey.from_public_bytes(public.raw)
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _of_library(key: Any) -> PublicKey:
    if isinstance(key, ed25519.Ed25519PublicKey):
        return PublicKey(EDDSA, key.public_bytes(Encoding.Raw, PublicFormat.Raw))
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return PublicKey(ES256, point[1:])
    raise BadKey("a key of another kind than P-256 or Ed25519")
