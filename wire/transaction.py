"""Transactions that change a running network: one envelope, and a body by kind.

A COSE_Sign (RFC 9052 §4.1) whose payload is `[network, nonce, expiry height, body]`, where the body
is `[kind, …]` of one of BODIES. The transaction's id is the SHA-256 of its payload, so that it has
one name from the first signature to the last. Decides shape and size; whose signatures are needed,
and whether the change fits the registry, is decided by the validators.
"""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, Self

from wire import cbor, fields
from wire.cose import HEADER_CONTENT_TYPE, Sign, open_sign
from wire.errors import Malformed
from wire.governance import ChangeAuthorities, ChangeParameters, ChangeValidators
from wire.keys import PublicKey, Signer
from wire.resolution import ResolveCase
from wire.transaction_bodies import (
    RETIRES,
    TABLE_OF,
    ChangeHolder,
    CommissionedMeter,
    CompromiseKey,
    EnrolMeter,
    Entry,
    ReplaceMeter,
    ResiteMeter,
    Retirement,
    RotateKey,
    Withdraw,
)

CONTENT_TYPE = "application/x-gridwitness-transaction"
PROTECTED = cbor.encode({HEADER_CONTENT_TYPE: CONTENT_TYPE})
"""The body's protected header, which every signature covers."""

MOST_BYTES = 64 * 1024
"""A zone's lines are the longest: some five hundred of them."""

NONCE_SIZE = 16

_HEAD = bytes.fromhex("d862")  # Tag 98; no other transaction of a block begins with it.


class Body(Protocol):
    """What a transaction says."""

    @property
    def kind(self) -> str:
        """Its name; the first of its items."""

    def items(self) -> list[Any]:
        """As encoded, the kind first."""


class BodyType(Protocol):
    """How a kind of body is read."""

    def of_items(self, value: Any, /) -> Body:
        """Read a decoded body; raises Malformed or BadKey."""


_METERS_AND_KEYS = (EnrolMeter, ResiteMeter, ReplaceMeter, RotateKey, CompromiseKey)
_LINKS_AND_WITHDRAWALS = (ChangeHolder, Withdraw)
_GOVERNANCE = (ChangeValidators, ChangeAuthorities, ChangeParameters)
BODIES: dict[str, BodyType] = {
    **{each.kind: each for each in (*_METERS_AND_KEYS, *_LINKS_AND_WITHDRAWALS, *_GOVERNANCE)},
    ResolveCase.kind: ResolveCase,
    **dict.fromkeys(TABLE_OF, Entry),
    **dict.fromkeys(RETIRES, Retirement),
}
"""Every kind that a transaction may be of."""


def is_registry_transaction(transaction: bytes) -> bool:
    """Tell a transaction of this format from a witness statement by its tag."""
    return transaction.startswith(_HEAD)


def payload_of(network: bytes, nonce: bytes, expiry_height: int, body: Body) -> bytes:
    """What the parties sign.

    Args:
        network: network id, 32 bytes.
        nonce: 16 bytes; tells two transactions with one content apart.
        expiry_height: the last block that may carry it.
        body: what it says.
    """
    return cbor.encode([network, nonce, expiry_height, body.items()])


@dataclass(frozen=True)
class Transaction:
    """A change of the network, as far as it has been signed."""

    sign: Sign
    """The envelope: payload and signatures."""

    network: bytes = field(init=False)
    """Network id, 32 bytes."""

    nonce: bytes = field(init=False)
    """16 bytes that make it unlike any other."""

    expiry_height: int = field(init=False)
    """The last block that may carry it."""

    body: Body = field(init=False)
    """What it says: of one of BODIES."""

    def __post_init__(self) -> None:
        if self.sign.protected != PROTECTED:
            raise Malformed(f"a transaction's content type is {CONTENT_TYPE}")
        network, nonce, expiry_height, body = fields.items(
            cbor.decode(self.sign.payload), "transaction", 4
        )
        values = {
            "network": fields.octets(network, "network", 32),
            "nonce": fields.octets(nonce, "nonce", NONCE_SIZE),
            "expiry_height": fields.uint(expiry_height, "expiry height"),
            "body": _body(body),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, payload: bytes) -> Self:
        """A transaction that nobody has signed yet; raises Malformed or BadKey."""
        return cls(Sign(PROTECTED, payload))

    @classmethod
    def open(cls, data: bytes) -> Self:
        """Read a transaction that somebody has signed; raises Malformed or BadKey.

        Signatures are not checked here.
        """
        if len(data) > MOST_BYTES:
            raise Malformed(f"a transaction of {len(data)} bytes; {MOST_BYTES} are allowed")
        return cls(open_sign(data))

    @property
    def kind(self) -> str:
        """What it changes: a key of BODIES."""
        return self.body.kind

    @property
    def from_s(self) -> int:
        """Start of the first interval for which it holds, Unix seconds; 0 where none is named."""
        return int(getattr(self.body, "from_s", 0))

    @property
    def encoded(self) -> bytes:
        """As it travels and stands in a block; raises Malformed while nobody has signed."""
        return self.sign.encoded

    @cached_property
    def id(self) -> bytes:
        """SHA-256 of the payload, 32 bytes: the same whoever has signed so far."""
        return hashlib.sha256(self.sign.payload).digest()

    def to_sign(self, public: PublicKey) -> bytes:
        """What the holder of this key signs, on a meter or anywhere."""
        return self.sign.to_sign(public)

    def with_signature(self, signer: Signer) -> Self:
        """The same with a signature made here; raises Unavailable when it cannot be made now."""
        return type(self)(self.sign.signed_by(signer))

    def with_signature_of(self, public: PublicKey, signature: bytes) -> Self:
        """The same with a signature made elsewhere over `to_sign(public)`.

        Raises BadSignature when it is not the key's.
        """
        return type(self)(self.sign.with_signature(public, signature))

    def is_signed_by(self, public: PublicKey) -> bool:
        """Tell whether there is a signature under this key's hint; it may still be a wrong one."""
        return self.sign.signature_of(public) is not None


def enrolment_of(transaction: Transaction) -> CommissionedMeter:
    """The meter that a transaction enrols, new, elsewhere or for an old one.

    Raises Malformed when it does something else.
    """
    if not isinstance(transaction.body, CommissionedMeter):
        raise Malformed(f"it enrols no meter: it is a transaction of kind {transaction.kind}")
    return transaction.body


def _body(value: Any) -> Body:
    items = fields.items(value, "transaction body")
    kind = items[0] if items else None
    if not isinstance(kind, str) or kind not in BODIES:
        raise Malformed(f"a transaction of no kind that is known: {kind!r:.40}")
    return BODIES[kind].of_items(items)
