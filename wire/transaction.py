"""Registry transactions: what changes the register of a running network, and who signed it.

A COSE_Sign (RFC 9052 §4.1) whose payload is `[network, nonce, expiry height, body]`. Two bodies
exist: `["enrol-meter", entry, from, commissioning record]` and `["retire-meter", meter, from]`. The
transaction's id is the SHA-256 of its payload, so that it has one name from the first signature to
the last. Decides shape and size; whose signatures are needed, and whether the change fits the
registry, is decided by the validators (`validator.app.enrolment`).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

from wire import cbor, fields
from wire.cose import HEADER_CONTENT_TYPE, Sign, open_sign
from wire.errors import Malformed
from wire.keys import PublicKey, Signer

CONTENT_TYPE = "application/x-gridwitness-transaction"
PROTECTED = cbor.encode({HEADER_CONTENT_TYPE: CONTENT_TYPE})
"""The body's protected header, which every signature covers."""

MOST_BYTES = 8 * 1024
NONCE_SIZE = 16
ENROL_METER = "enrol-meter"
RETIRE_METER = "retire-meter"

_HEAD = bytes.fromhex("d862")  # Tag 98; no other transaction of a block begins with it.


def is_registry_transaction(transaction: bytes) -> bool:
    """Tell a registry transaction from a witness statement by its tag."""
    return transaction.startswith(_HEAD)


def enrolment_payload(
    network: bytes,
    nonce: bytes,
    expiry_height: int,
    entry: Mapping[str, Any],
    from_s: int,
    commissioning: bytes,
) -> bytes:
    """What the meter, a technician and the zone's grid operator sign to enrol a meter.

    Args:
        network: network id, 32 bytes.
        nonce: 16 random bytes; tells two transactions with one content apart.
        expiry_height: the last block that may carry it.
        entry: the meter as the genesis file writes it in `meters`.
        from_s: start of the first interval whose reading counts, Unix seconds.
        commissioning: the commissioning record (COSE_Sign) that `configuration_id` names.
    """
    body = [ENROL_METER, dict(entry), from_s, commissioning]
    return cbor.encode([network, nonce, expiry_height, body])


def retirement_payload(
    network: bytes, nonce: bytes, expiry_height: int, meter: str, from_s: int
) -> bytes:
    """What the zone's grid operator signs to retire a meter; arguments as for an enrolment."""
    return cbor.encode([network, nonce, expiry_height, [RETIRE_METER, meter, from_s]])


@dataclass(frozen=True)
class Transaction:
    """A change of the registry, as far as it has been signed."""

    sign: Sign
    """The envelope: payload and signatures."""

    network: bytes = field(init=False)
    """Network id, 32 bytes."""

    nonce: bytes = field(init=False)
    """16 bytes that make it unlike any other."""

    expiry_height: int = field(init=False)
    """The last block that may carry it."""

    kind: str = field(init=False)
    """ENROL_METER or RETIRE_METER."""

    meter: str = field(init=False)
    """Meter that is enrolled or retired."""

    from_s: int = field(init=False)
    """Start of the first interval for which the change holds, Unix seconds."""

    entry: Mapping[str, Any] = field(init=False)
    """An enrolment's meter, as the genesis file writes it in `meters`; empty otherwise."""

    commissioning: bytes = field(init=False)
    """An enrolment's commissioning record; empty otherwise."""

    def __post_init__(self) -> None:
        if self.sign.protected != PROTECTED:
            raise Malformed(f"a registry transaction's content type is {CONTENT_TYPE}")
        network, nonce, expiry_height, body = fields.items(
            cbor.decode(self.sign.payload), "transaction", 4
        )
        kind, meter, from_s, entry, commissioning = _body(body)
        values = {
            "network": fields.octets(network, "network", 32),
            "nonce": fields.octets(nonce, "nonce", NONCE_SIZE),
            "expiry_height": fields.uint(expiry_height, "expiry height"),
            "kind": kind,
            "meter": fields.identifier(meter, "meter", most=20),
            "from_s": fields.uint(from_s, "from"),
            "entry": entry,
            "commissioning": fields.blob(commissioning, "commissioning record"),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, payload: bytes) -> Self:
        """A transaction that nobody has signed yet; raises Malformed."""
        return cls(Sign(PROTECTED, payload))

    @classmethod
    def open(cls, data: bytes) -> Self:
        """Read a transaction that somebody has signed; raises Malformed.

        Signatures are not checked here.
        """
        if len(data) > MOST_BYTES:
            raise Malformed(f"a transaction of {len(data)} bytes; {MOST_BYTES} are allowed")
        return cls(open_sign(data))

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


def _body(body: Any) -> tuple[str, Any, Any, dict[str, Any], Any]:
    """Kind, meter, from, entry and commissioning record; the values are checked by who asks."""
    match body:
        case ["enrol-meter", {**found}, from_s, commissioning]:
            entry = {key: value for key, value in found.items() if isinstance(key, str)}
            if len(entry) != len(found):
                raise Malformed("a meter's entry has text keys")
            return ENROL_METER, entry.get("id"), from_s, entry, commissioning
        case ["retire-meter", meter, from_s]:
            return RETIRE_METER, meter, from_s, {}, b""
    raise Malformed("a registry transaction enrols a meter or retires one")
