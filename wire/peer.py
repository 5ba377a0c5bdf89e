"""The signed address record of a validator: where it listens, and with which TLS certificate.

The validator's key signs for the certificate (`gridwitness/tls/1`), so that whoever knows the
genesis file needs no other authority to know a peer.
"""

import hashlib
from dataclasses import dataclass
from typing import Self

from wire import cbor, fields
from wire.errors import Malformed

_TAG = "gridwitness/tls/1"


def peer_message(
    network: bytes, validator: str, address: str, certificate_der: bytes, expires_s: int
) -> bytes:
    """The bytes that a validator's key signs for its TLS certificate.

    Args:
        network: network id, 32 bytes.
        validator: validator id.
        address: `host:port` where it listens for peers.
        certificate_der: the certificate, of which the SHA-256 is signed.
        expires_s: Unix seconds after which the record is worth nothing.
    """
    fingerprint = hashlib.sha256(certificate_der).digest()
    return cbor.encode([_TAG, network, validator, address, fingerprint, expires_s])


@dataclass(frozen=True, slots=True)
class Place:
    """An address record as a transaction carries it."""

    address: str
    """Where the validator listens, `host:port`."""

    certificate: bytes
    """Its TLS certificate, DER."""

    expires_s: int
    """Unix seconds after which the record is worth nothing."""

    signature: bytes
    """By the validator's key over `peer_message`, 64 bytes."""

    @property
    def encoded(self) -> bytes:
        """As carried."""
        return cbor.encode([self.address, self.certificate, self.expires_s, self.signature])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read one; raises Malformed. The signature is not checked here."""
        match cbor.decode(data):
            case [str(address), bytes(certificate), expires_s, signature]:
                until_s = fields.uint(expires_s, "expiry")
                return cls(address, certificate, until_s, fields.octets(signature, "signature", 64))
        raise Malformed("not an address record")
