"""The signed address record of a validator: where it listens, and with which TLS certificate.

The validator's key signs for the certificate (`gridwitness/tls/1`), so that whoever knows the
genesis file needs no other authority to know a peer.
"""

import hashlib

from wire import cbor

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
