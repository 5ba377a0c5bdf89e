"""COSE_Sign1 (RFC 9052 §4.2), the one envelope of everything that is signed by one key.

Decides the shape: tag 18, a protected header that is canonical CBOR, an empty unprotected header, a
payload that is present, empty external data. What the header and the payload must say is decided by
the format that uses it.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from wire import cbor
from wire.errors import Malformed
from wire.keys import SIGNATURE_SIZE, PublicKey, Signer

TAG_SIGN1 = 18
HEADER_ALG = 1
HEADER_CONTENT_TYPE = 3
HEADER_KID = 4

# Heads of the array that is signed: ["Signature1", protected, h'', payload].
_SIGNED_HEAD = cbor.encode(["Signature1", b"", b"", b""])[:12]


def sig_structure(protected: bytes, payload: bytes) -> bytes:
    """The bytes that are signed: `["Signature1", protected, h'', payload]` (RFC 9052 §4.4)."""
    return _SIGNED_HEAD + cbor.encode(protected) + b"\x40" + cbor.encode(payload)


@dataclass(frozen=True)
class Sign1:
    """A COSE_Sign1 as it stood on the wire."""

    protected: bytes
    """The protected header, encoded."""

    payload: bytes
    """The signed content."""

    signature: bytes
    """Raw signature, 64 bytes."""

    @cached_property
    def headers(self) -> dict[Any, Any]:
        """The protected header as a map; raises Malformed when it is none."""
        headers = cbor.decode(self.protected)
        if not isinstance(headers, dict):
            raise Malformed("the protected header is not a map")
        return headers

    @cached_property
    def sig_structure(self) -> bytes:
        """The bytes that the signature covers."""
        return sig_structure(self.protected, self.payload)

    @cached_property
    def sig_hash(self) -> bytes:
        """SHA-256 of the signed bytes, 32 bytes.

        Names the content, whatever the signature looks like.
        """
        return hashlib.sha256(self.sig_structure).digest()

    @property
    def alg(self) -> int:
        """COSE algorithm number claimed by the header."""
        alg = self.headers.get(HEADER_ALG)
        if type(alg) is not int:
            raise Malformed("the protected header names no algorithm")
        return alg

    @property
    def kid(self) -> bytes:
        """Key hint claimed by the header, 8 bytes."""
        kid = self.headers.get(HEADER_KID)
        if not isinstance(kid, bytes) or len(kid) != 8:
            raise Malformed("the protected header names no key of 8 bytes")
        return kid

    @property
    def encoded(self) -> bytes:
        """The tagged message as it travels."""
        return cbor.encode(cbor.Tag(TAG_SIGN1, [self.protected, {}, self.payload, self.signature]))

    def verify(self, public: PublicKey) -> None:
        """Check the signature.

        Raises BadSignature, also when the header names another algorithm than the key's.
        """
        if self.alg != public.alg:
            raise Malformed(f"the header says algorithm {self.alg}, the key is of {public.alg}")
        public.verify(self.sig_structure, self.signature)


def open_sign1(data: bytes) -> Sign1:
    """Decode a COSE_Sign1; raises Malformed. The signature is not checked here."""
    match cbor.decode(data):
        case cbor.Tag(
            tag=18, value=[bytes(protected), {**unprotected}, bytes(payload), bytes(signature)]
        ):
            if unprotected:
                raise Malformed("an unprotected header that is not empty")
            if len(signature) != SIGNATURE_SIZE:
                raise Malformed(f"a signature of {len(signature)} bytes, not 64")
            return Sign1(protected, payload, signature)
    raise Malformed("not a COSE_Sign1 with tag 18")


def sign1(headers: dict[Any, Any], payload: bytes, signer: Signer) -> bytes:
    """Sign `payload` under `headers` and return the encoded COSE_Sign1."""
    protected = cbor.encode(headers)
    return Sign1(protected, payload, signer.sign(sig_structure(protected, payload))).encoded
