"""Who may read a household's readings: the holder by a link, an authority by a signed request.

A holder's link carries a random secret behind its `#`, which a browser never sends by itself; a
program sends it as `Authorization: Bearer`. The registry knows its SHA-256 only. An authority signs
each request, for one validator and one minute: COSE_Sign1 over
`[network, validator, method, target, time]`, sent as `Authorization: GridWitness`. Decides forms
and sizes; whose key may ask, and whether the time is right, is decided by who is asked.
"""

import base64
import binascii
import hashlib
import secrets
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from wire import cbor, fields
from wire.cose import HEADER_ALG, HEADER_CONTENT_TYPE, HEADER_KID, Sign1, open_sign1, sign1
from wire.errors import Malformed
from wire.keys import PublicKey, Signer

CONTENT_TYPE = "application/x-gridwitness-request"
BEARER, SIGNED = "Bearer", "GridWitness"
SECRET_SIZE = 32
VALID_S = 60
"""A signed request is good for so long before and after its time."""

_MOST_TEXT = 4 * 1024


def _decoded(text: str) -> bytes:
    """Read base64url without padding; raises Malformed on any second form of the same bytes."""
    try:
        data = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (UnicodeEncodeError, binascii.Error, ValueError):
        raise Malformed("not base64url") from None
    if _encoded(data) != text:
        raise Malformed("not base64url as this project writes it")
    return data


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


@dataclass(frozen=True, slots=True, repr=False)
class HolderSecret:
    """What a holder's link lets its holder read with; never printed by accident."""

    value: bytes
    """Random, 32 bytes."""

    def __repr__(self) -> str:
        return "HolderSecret(…)"

    @classmethod
    def make(cls) -> Self:
        """A new one."""
        return cls(secrets.token_bytes(SECRET_SIZE))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read the secret alone, or out of a link; raises Malformed."""
        _, _, fragment = text.rpartition("#")
        found = _decoded(fragment.rpartition("/")[2].rpartition("=")[2])
        if len(found) != SECRET_SIZE:
            raise Malformed("not a holder's link: it ends with 43 letters and digits")
        return cls(found)

    @property
    def text(self) -> str:
        """43 letters and digits."""
        return _encoded(self.value)

    @property
    def digest(self) -> bytes:
        """What the registry knows, 32 bytes."""
        return hashlib.sha256(self.value).digest()

    def link(self, explorer: str, meter: str) -> str:
        """The link to print: the part behind `#` stays in the browser."""
        return f"{explorer.rstrip('/')}/#/meter/{meter}/{self.text}"

    @property
    def header(self) -> str:
        """As sent in `Authorization`."""
        return f"{BEARER} {self.text}"


def link_parts(link: str) -> tuple[str, str, HolderSecret]:
    """The validator's address, the meter and the secret of a holder's link; raises Malformed."""
    parts = urlsplit(link)
    match parts.fragment.split("/"):
        case ["", "meter", meter, secret] if parts.scheme in ("http", "https"):
            address = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
            name = fields.identifier(meter, "meter", most=20)
            return address, name, HolderSecret.from_text(secret)
    raise Malformed("not a holder's link: https://HOST/#/meter/METER/SECRET is one")


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """An authority's signed question."""

    network: bytes
    """Network id, 32 bytes."""

    validator: str
    """Validator that is asked; no other one can use the signature."""

    method: str
    """HTTP method."""

    target: str
    """Path and query, as they stand in the request line."""

    time_s: int
    """When it was signed, Unix seconds of real time."""

    def signed(self, signer: Signer) -> str:
        """As sent in `Authorization`; raises Unavailable when the key is away."""
        headers = {
            HEADER_ALG: signer.public.alg,
            HEADER_CONTENT_TYPE: CONTENT_TYPE,
            HEADER_KID: signer.public.kid,
        }
        content = [self.network, self.validator, self.method, self.target, self.time_s]
        return f"{SIGNED} {_encoded(sign1(headers, cbor.encode(content), signer))}"


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A signed question as it arrived; `verify` before believing it."""

    request: AccessRequest
    """What is asked."""

    cose: Sign1
    """The envelope."""

    @classmethod
    def open(cls, text: str) -> Self:
        """Read what stands behind the scheme; raises Malformed."""
        if len(text) > _MOST_TEXT:
            raise Malformed(f"a signed request has at most {_MOST_TEXT} letters")
        cose = open_sign1(_decoded(text))
        if cose.headers.get(HEADER_CONTENT_TYPE) != CONTENT_TYPE:
            raise Malformed(f"a signed request's content type is {CONTENT_TYPE}")
        content = fields.items(cbor.decode(cose.payload), "signed request", 5)
        network, validator, method, target, time_s = content
        if not isinstance(method, str) or not isinstance(target, str):
            raise Malformed("a signed request's method and target are text")
        request = AccessRequest(
            fields.octets(network, "network", 32),
            fields.identifier(validator, "validator"),
            method,
            target,
            fields.uint(time_s, "time"),
        )
        return cls(request, cose)

    def verify(self, public: PublicKey) -> None:
        """Raises BadSignature when this key has not signed it."""
        self.cose.verify(public)
