"""Public keys and signatures: what counts as a key, what counts as its signature.

Decides strictly, because two honest validators that disagree on one signature fork a chain: ES256
signatures are low-s (nobody can re-shape an honest one), Ed25519 refuses small-order points,
points in a second encoding and S >= L before the library is asked. Leaves where private keys live
to `hsm/`; `SoftSigner` holds one in memory for file keys and tests.
"""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, Self, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from wire import cbor
from wire.errors import BadKey, BadSignature

ES256 = -7
EDDSA = -8
SIGNATURE_SIZE = 64

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_HIGHEST_S = (P256_ORDER // 2).to_bytes(32, "big")
_ED_PRIME = 2**255 - 19
_ED_ORDER = 2**252 + 27742317777372353535851937790883648493
_ED_MASK = 2**255 - 1
# y coordinates of the eight points of small order of edwards25519: five distinct values, among them
# the two of order 8, for which x² = -y² and so d·y⁴ + 2·y² = 1 (RFC 8032 §5.1, the curve equation).
_ED_ORDER_8_Y = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_ED_SMALL_ORDER_Y = frozenset(
    {
        0,
        1,
        _ED_PRIME - 1,
        _ED_ORDER_8_Y,
        _ED_PRIME - _ED_ORDER_8_Y,
    }
)
_NAMES = {ES256: "es256", EDDSA: "eddsa"}
_SIZES = {ES256: 64, EDDSA: 32}
_ECDSA_SHA256 = ec.ECDSA(SHA256())
_ECDSA_RFC6979 = ec.ECDSA(SHA256(), deterministic_signing=True)

_LibraryKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


def _strict_y(point: bytes) -> bool:
    y = int.from_bytes(point, "little") & _ED_MASK
    return y < _ED_PRIME and y not in _ED_SMALL_ORDER_Y


def _der(r: bytes, s: bytes) -> bytes:
    """Two numbers of 32 bytes as the library takes them: Ecdsa-Sig-Value of RFC 3279, in DER."""
    r, s = r.lstrip(b"\0"), s.lstrip(b"\0")
    if not r or r[0] > 0x7F:
        r = b"\0" + r
    if not s or s[0] > 0x7F:
        s = b"\0" + s
    return b"\x30%c\x02%c%b\x02%c%b" % (len(r) + len(s) + 4, len(r), r, len(s), s)


def normalise_s(signature: bytes) -> bytes:
    """Return the low-s form of a raw 64-byte ES256 signature (r, n - s is as valid as r, s)."""
    s = int.from_bytes(signature[32:], "big")
    if s <= P256_ORDER // 2:
        return signature
    return signature[:32] + (P256_ORDER - s).to_bytes(32, "big")


@dataclass(frozen=True)
class PublicKey:
    """A key that may be registered: on its curve, canonical, of large order."""

    alg: int
    """COSE algorithm: ES256 (-7) or EDDSA (-8)."""

    raw: bytes
    """ES256: x and y, 64 bytes. EdDSA: the encoded point, 32 bytes."""

    _library: _LibraryKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_library", self._load())

    def _load(self) -> _LibraryKey:
        if len(self.raw) != _SIZES.get(self.alg):
            raise BadKey(f"a key of algorithm {self.alg} with {len(self.raw)} bytes")
        try:
            if self.alg == ES256:
                return ec.EllipticCurvePublicKey.from_encoded_point(
                    ec.SECP256R1(), b"\x04" + self.raw
                )
            if not _strict_y(self.raw):
                raise BadKey("an Ed25519 key of small order or in a second encoding")
            return ed25519.Ed25519PublicKey.from_public_bytes(self.raw)
        except ValueError:
            raise BadKey("the point is not on the curve") from None

    @classmethod
    def from_cose(cls, value: Any) -> Self:
        """Read a COSE_Key map (RFC 9052 §7); raises BadKey on anything else."""
        match value:
            case {1: 2, -1: 1, -2: bytes(x), -3: bytes(y)} if (
                len(value) == 4 and len(x) == len(y) == 32
            ):
                return cls(ES256, x + y)
            case {1: 1, -1: 6, -2: bytes(x)} if len(value) == 3:
                return cls(EDDSA, x)
        raise BadKey("not a COSE_Key of P-256 or Ed25519 with exactly the required parameters")

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read the text form used in genesis files and on labels.

        `es256:<128 hex>` or `eddsa:<64 hex>`.
        """
        name, _, digits = text.partition(":")
        for alg, known in _NAMES.items():
            if name == known:
                try:
                    return cls(alg, bytes.fromhex(digits))
                except ValueError:
                    break
        raise BadKey(f"not a key in text form (es256:… or eddsa:…): {text[:20]!r}")

    def to_cose(self) -> dict[int, Any]:
        """The COSE_Key map with the required parameters only, whose hash is the thumbprint."""
        if self.alg == ES256:
            return {1: 2, -1: 1, -2: self.raw[:32], -3: self.raw[32:]}
        return {1: 1, -1: 6, -2: self.raw}

    @property
    def text(self) -> str:
        """The text form that `from_text` reads."""
        return f"{_NAMES[self.alg]}:{self.raw.hex()}"

    @cached_property
    def thumbprint(self) -> bytes:
        """COSE key thumbprint, SHA-256, 32 bytes (RFC 9679 §3)."""
        return hashlib.sha256(cbor.encode(self.to_cose())).digest()

    @property
    def kid(self) -> bytes:
        """The first 8 bytes of the thumbprint: a hint for finding the key, never a proof of it."""
        return self.thumbprint[:8]

    @cached_property
    def hint(self) -> tuple[int, bytes]:
        """Algorithm and kid: what a header says of the key."""
        return self.alg, self.kid

    def verify(self, message: bytes, signature: bytes) -> None:
        """Check a raw 64-byte COSE signature over `message`.

        Raises:
            BadSignature: not by this key over these bytes, or in a form that is refused.
        """
        if len(signature) != SIGNATURE_SIZE:
            raise BadSignature(f"a signature of {len(signature)} bytes, not 64")
        s_bytes = signature[32:]
        try:
            if self.alg == ES256:  # An isinstance of the library's abstract classes takes 1 us.
                if s_bytes > _HIGHEST_S:
                    raise BadSignature("an ES256 signature in its high-s form")
                curve = cast("ec.EllipticCurvePublicKey", self._library)
                curve.verify(_der(signature[:32], s_bytes), message, _ECDSA_SHA256)
            else:
                if int.from_bytes(s_bytes, "little") >= _ED_ORDER or not _strict_y(signature[:32]):
                    raise BadSignature("an Ed25519 signature that strict verification refuses")
                edwards = cast("ed25519.Ed25519PublicKey", self._library)
                edwards.verify(signature, message)
        except InvalidSignature:
            raise BadSignature("the signature does not match the key and the bytes") from None

    def stands(self, message: bytes, signature: bytes) -> bool:
        """Tell what `verify` would say."""
        try:
            self.verify(message, signature)
        except BadSignature:
            return False
        return True


class Signer(Protocol):
    """Whatever can sign for one key: a token, an encrypted file, a key in memory."""

    @property
    def public(self) -> PublicKey:
        """The key that verifies what `sign` returns."""

    def sign(self, message: bytes) -> bytes:
        """Return the raw 64-byte COSE signature over `message`.

        Raises Unavailable when it cannot now.
        """


_PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


class SoftSigner:
    """A private key in memory.

    What loads it from disk, and how it is kept there, is the business of `hsm/`.
    """

    def __init__(self, private: _PrivateKey) -> None:
        self._private = private
        library = private.public_key()
        if isinstance(library, ec.EllipticCurvePublicKey):
            point = library.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            self.public = PublicKey(ES256, point[1:])
        else:
            self.public = PublicKey(EDDSA, library.public_bytes(Encoding.Raw, PublicFormat.Raw))

    @classmethod
    def generate(cls, alg: int) -> Self:
        """Make a new key of algorithm ES256 or EDDSA from the system's randomness."""
        if alg == ES256:
            return cls(ec.generate_private_key(ec.SECP256R1()))
        return cls(ed25519.Ed25519PrivateKey.generate())

    @classmethod
    def from_private(cls, alg: int, secret: bytes) -> Self:
        """Make the signer of a known 32-byte secret (test vectors)."""
        if alg == ES256:
            return cls(ec.derive_private_key(int.from_bytes(secret, "big"), ec.SECP256R1()))
        return cls(ed25519.Ed25519PrivateKey.from_private_bytes(secret))

    def sign(self, message: bytes) -> bytes:
        """Return the raw 64-byte signature; ES256 with the nonce of RFC 6979, in low-s form."""
        if isinstance(self._private, ed25519.Ed25519PrivateKey):
            return self._private.sign(message)
        r, s = decode_dss_signature(self._private.sign(message, _ECDSA_RFC6979))
        return normalise_s(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
