"""COSE_Sign1 and COSE_Sign (RFC 9052 §4): the envelopes of everything that is signed.

COSE_Sign1 is for what one key signs, COSE_Sign for what several sign, each at its own time and
place. Decides the shape: tag 18 or 98, protected headers that are canonical CBOR, empty unprotected
headers, a payload that is present, empty external data; in a COSE_Sign 1 to 8 signatures, none by
the same key hint twice. What the body's header and the payload must say is decided by the format
that uses it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, Self

from wire import cbor
from wire.errors import BadSignature, Malformed
from wire.keys import SIGNATURE_SIZE, PublicKey, Signer

TAG_SIGN1 = 18
TAG_SIGN = 98
MOST_SIGNATURES = 64
HEADER_ALG = 1
HEADER_CONTENT_TYPE = 3
HEADER_KID = 4

_SHORT_HEADER = 23

# Heads of the array that is signed: ["Signature1", protected, h'', payload].
_SIGNED_HEAD = cbor.encode(["Signature1", b"", b"", b""])[:12]


def sig_structure(protected: bytes, payload: bytes) -> bytes:
    """The bytes that are signed: `["Signature1", protected, h'', payload]` (RFC 9052 §4.4)."""
    return joined(cbor.encode(protected), cbor.encode(payload))


def joined(protected: bytes, payload: bytes) -> bytes:
    """The same of parts that stand encoded, each with its length."""
    return b"%b%b\x40%b" % (_SIGNED_HEAD, protected, payload)


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
    def headers(self) -> Mapping[Any, Any]:
        """The protected header as a map; raises Malformed when it is none."""
        remembered = len(self.protected) <= _SHORT_HEADER
        return _short_headers(self.protected) if remembered else _headers(self.protected)

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
    def hint(self) -> tuple[int, bytes]:
        """Algorithm and key hint claimed by the header; raises Malformed when one is missing."""
        return self.alg, self.kid

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
        check_alg(self.alg, public)
        public.verify(self.sig_structure, self.signature)


def check_alg(alg: int, public: PublicKey) -> None:
    """Raises Malformed when a header names another algorithm than the key's."""
    if alg != public.alg:
        raise Malformed(f"the header says algorithm {alg}, the key is of {public.alg}")


def _headers(protected: bytes) -> Mapping[Any, Any]:
    """A protected header as a map; raises Malformed when it is none."""
    headers = cbor.decode(protected)
    if not isinstance(headers, dict):
        raise Malformed("the protected header is not a map")
    return MappingProxyType(headers)


_short_headers = lru_cache(maxsize=16_384)(_headers)
"""The same, remembered: a meter's key signs under one header all its life."""


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


def sign_structure(body_protected: bytes, signer_protected: bytes, payload: bytes) -> bytes:
    """What one of several signs: `["Signature", body, signer, h'', payload]` (RFC 9052 §4.4)."""
    return cbor.encode(["Signature", body_protected, signer_protected, b"", payload])


def signer_header(public: PublicKey) -> bytes:
    """The protected header of one signature of a COSE_Sign: `{1: alg, 4: kid}`, encoded."""
    return cbor.encode({HEADER_ALG: public.alg, HEADER_KID: public.kid})


@dataclass(frozen=True)
class Sign:
    """A COSE_Sign as it stood on the wire, or as far as it has been signed."""

    protected: bytes
    """The body's protected header, encoded."""

    payload: bytes
    """The signed content."""

    signatures: tuple[tuple[bytes, bytes], ...] = ()
    """(signer's protected header, raw signature of 64 bytes), in the order in which they signed."""

    @cached_property
    def headers(self) -> dict[Any, Any]:
        """The body's protected header as a map; raises Malformed when it is none."""
        headers = cbor.decode(self.protected)
        if not isinstance(headers, dict):
            raise Malformed("the body's protected header is not a map")
        return headers

    @cached_property
    def signers(self) -> tuple[tuple[int, bytes], ...]:
        """(algorithm, kid) of each signature; raises Malformed."""
        return tuple(_signer(protected) for protected, _ in self.signatures)

    @property
    def encoded(self) -> bytes:
        """The tagged message as it travels; raises Malformed while nobody has signed."""
        self._check_count()
        signatures = [[protected, {}, signature] for protected, signature in self.signatures]
        return cbor.encode(cbor.Tag(TAG_SIGN, [self.protected, {}, self.payload, signatures]))

    def _check_count(self) -> None:
        if not 1 <= len(self.signatures) <= MOST_SIGNATURES:
            raise Malformed(f"{len(self.signatures)} signatures, not 1 to {MOST_SIGNATURES}")
        if len({kid for _, kid in self.signers}) != len(self.signatures):
            raise Malformed("two signatures by one key")

    def to_sign(self, public: PublicKey) -> bytes:
        """What the holder of this key signs to add a signature."""
        return sign_structure(self.protected, signer_header(public), self.payload)

    def with_signature(self, public: PublicKey, signature: bytes) -> Self:
        """The same with one signature more, made over `to_sign(public)` anywhere.

        Raises:
            BadSignature: it is not the key's.
            Malformed: the key has signed already, or there are too many.
        """
        public.verify(self.to_sign(public), signature)
        added = (*self.signatures, (signer_header(public), signature))
        signed = type(self)(self.protected, self.payload, added)
        signed._check_count()
        return signed

    def signed_by(self, signer: Signer) -> Self:
        """The same with a signature made here; raises Unavailable when it cannot be made now."""
        return self.with_signature(signer.public, signer.sign(self.to_sign(signer.public)))

    def signature_of(self, public: PublicKey) -> tuple[bytes, bytes] | None:
        """(what was signed, signature) under this key's algorithm and hint; None when missing."""
        for signer, (protected, signature) in zip(self.signers, self.signatures, strict=True):
            if signer == (public.alg, public.kid):
                return sign_structure(self.protected, protected, self.payload), signature
        return None

    def verify(self, public: PublicKey) -> None:
        """Check that this key is among those that signed; raises BadSignature."""
        found = self.signature_of(public)
        if found is None:
            raise BadSignature(f"the key {public.kid.hex()} has not signed")
        public.verify(*found)


def _signer(protected: bytes) -> tuple[int, bytes]:
    match cbor.decode(protected):
        case {1: int(alg), 4: bytes(kid), **others} if not others and len(kid) == 8:
            return alg, kid
    raise Malformed("a signature's header names its algorithm, a kid of 8 bytes and nothing else")


def open_sign(data: bytes) -> Sign:
    """Decode a COSE_Sign; raises Malformed. The signatures are not checked here."""
    match cbor.decode(data):
        case cbor.Tag(
            tag=98, value=[bytes(protected), {**unprotected}, bytes(payload), [*signatures]]
        ):
            if unprotected:
                raise Malformed("an unprotected header that is not empty")
            message = Sign(protected, payload, tuple(map(_signature, signatures)))
            message._check_count()
            return message
    raise Malformed("not a COSE_Sign with tag 98")


def _signature(value: Any) -> tuple[bytes, bytes]:
    match value:
        case [bytes(protected), {**unprotected}, bytes(signature)] if not unprotected:
            if len(signature) != SIGNATURE_SIZE:
                raise Malformed(f"a signature of {len(signature)} bytes, not 64")
            return protected, signature
    raise Malformed("a signature is [protected header, {}, 64 bytes]")
