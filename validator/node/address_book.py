"""Who the peers are: signed address records, and the TLS contexts that follow from them.

Decides which certificate belongs to which validator: the one that the validator's registered key
has signed for, this network, unexpired. Nobody else's certificate opens a connection.
"""

import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from validator.config import Address, ValidatorConfig
from wire.errors import Malformed
from wire.genesis import Genesis
from wire.peer import peer_message


@dataclass(frozen=True, slots=True)
class PeerRecord:
    """One validator's address, signed by its key."""

    id: str
    """Validator id."""

    address: Address
    """Where it listens for peers."""

    certificate: bytes
    """Its TLS certificate, DER."""


def load_records(path: Path, genesis: Genesis) -> dict[str, PeerRecord]:
    """Read and verify the address records.

    Raises:
        Malformed: a record that is not one, expired, or of no validator.
        BadSignature: a record that the validator's key has not signed.
    """
    try:
        content = json.loads(path.read_text())
    except ValueError as reason:
        raise Malformed(f"{path}: not JSON: {reason}") from None
    if not isinstance(content, list):
        raise Malformed(f"{path}: not a list of address records")
    records = [_record(entry, genesis) for entry in content]
    return {record.id: record for record in records}


def _record(entry: Any, genesis: Genesis) -> PeerRecord:
    match entry:
        case {
            "id": str(name),
            "address": str(address),
            "certificate": str(pem),
            "expires_s": int(expires_s),
            "signature": str(signature),
        }:
            pass
        case _:
            raise Malformed("an address record without id, address, certificate or signature")
    host, _, port = address.rpartition(":")
    key = genesis.validators.key(name)
    if key is None or not port.isdecimal():
        raise Malformed(f"the address record of {name}: no validator, or no host:port")
    if expires_s < time.time():
        raise Malformed(f"the address record of {name} has expired: sign a new one")
    try:
        der = ssl.PEM_cert_to_DER_cert(pem)
        raw = bytes.fromhex(signature)
    except ValueError as reason:
        raise Malformed(f"the address record of {name}: {reason}") from None
    key.verify(peer_message(genesis.network, name, address, der, expires_s), raw)
    return PeerRecord(name, Address(host, int(port)), der)


def tls_context(
    config: ValidatorConfig, records: Mapping[str, PeerRecord], server: bool
) -> ssl.SSLContext:
    """TLS 1.3, certificates both ways; trusts the peers' own certificates and nothing else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # The certificate itself is pinned, below its name.
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(str(config.tls_certificate), str(config.tls_key))
    trusted = b"".join(record.certificate for record in records.values())
    context.load_verify_locations(cadata=trusted)
    return context


def peer_of(tls: ssl.SSLObject | None, records: Mapping[str, PeerRecord]) -> str | None:
    """Whose certificate the other side has shown; None when it is nobody's."""
    shown = None if tls is None else tls.getpeercert(binary_form=True)
    return next((each.id for each in records.values() if each.certificate == shown), None)
