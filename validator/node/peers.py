"""Where the other validators are: address records, each signed by its validator.

Decides whose record counts: that of a validator which the ledger names now, under a key that it has
there, for a certificate that names nobody else, not expired, and of two the one that expires later.
Who carries them (a file, a bootnode, the transaction that let it join) needs no trust; it can only
withhold them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from hsm import durable
from wire.errors import BadSignature, Malformed
from wire.genesis import Genesis
from wire.keys import PublicKey, Signer
from wire.peer import Place, peer_message

LONGEST_ADDRESS = 260
LARGEST_CERTIFICATE = 8 * 1024
LATEST_S = 2**40

VALID_S = 366 * 86_400
"""For so long a new record is good."""

RENEW_S = 30 * 86_400
"""A record that expires sooner is signed anew."""

_log = structlog.get_logger()


Keys = Callable[[str], Sequence[PublicKey]]
"""Tells the keys that may sign the record of an id; none of a stranger."""


class ExpiredRecord(Malformed):
    """An address record that was good once."""


class UnknownValidator(Malformed):
    """An address record of nobody that is known to be a validator."""


def genesis_keys(genesis: Genesis) -> Keys:
    """The keys that the genesis file names."""

    def keys(name: str) -> Sequence[PublicKey]:
        key = genesis.validators.key(name)
        return () if key is None else (key,)

    return keys


@dataclass(frozen=True, slots=True)
class Peer:
    """A validator's address and certificate, signed by its key."""

    id: str
    """Validator id."""

    address: str
    """Where it listens, `host:port`."""

    certificate: bytes
    """Its TLS certificate, DER."""

    pem: str
    """The same as PEM, for the trust store."""

    expires_s: int
    """Unix seconds after which the record is worth nothing."""

    signature: bytes
    """By the validator's key, 64 bytes."""

    @property
    def host(self) -> str:
        """Where it listens."""
        return self.address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.address.rpartition(":")[2])

    @property
    def record(self) -> dict[str, Any]:
        """As files and bootnodes carry it."""
        return {
            "id": self.id,
            "address": self.address,
            "certificate": self.pem,
            "expires_s": self.expires_s,
            "signature": self.signature.hex(),
        }


def open_record(record: Any, genesis: Genesis, now_s: int, keys: Keys | None = None) -> Peer:
    """Read an address record and check it.

    Args:
        record: as it came.
        genesis: the network.
        now_s: Unix seconds.
        keys: whose record counts; by default those of the genesis file.

    Raises:
        ExpiredRecord: it was good once.
        UnknownValidator: it is of nobody who is known.
        Malformed: it is no record, or shows a certificate of another name.
        BadSignature: its validator has not signed it.
    """
    try:
        peer = _read(record)
    except (ValueError, KeyError, TypeError) as reason:
        raise Malformed(f"not an address record: {reason}") from None
    known = (keys or genesis_keys(genesis))(peer.id)
    if not known:
        raise UnknownValidator(f"{peer.id[:40]} is no validator of this network")
    if peer.expires_s < now_s:
        raise ExpiredRecord(
            f"the address record of {peer.id} has expired; it has to sign a new one"
        )
    if not is_signed(peer, genesis, known):
        raise BadSignature(f"the address record of {peer.id} is not signed by its key")
    # Else one could sign for another's certificate, and that one would be taken for him.
    subject = x509.load_pem_x509_certificate(peer.pem.encode()).subject
    if [(each.oid, each.value) for each in subject] != [(NameOID.COMMON_NAME, peer.id)]:
        raise Malformed(f"the certificate's subject is not its id, {peer.id}")
    return peer


def is_signed(peer: Peer, genesis: Genesis, keys: Sequence[PublicKey]) -> bool:
    """Whether one of these keys has signed a record."""
    message = peer_message(genesis.network, peer.id, peer.address, peer.certificate, peer.expires_s)
    return any(key.stands(message, peer.signature) for key in keys)


def record_of(name: str, place: bytes) -> dict[str, Any]:
    """The address record that a transaction carries, as files have it; raises Malformed."""
    found = Place.decode(place)
    try:
        certificate = x509.load_der_x509_certificate(found.certificate)
    except ValueError as reason:
        raise Malformed(f"the certificate of {name}: {reason}") from None
    pem = certificate.public_bytes(Encoding.PEM).decode()
    told = {"id": name, "address": found.address, "certificate": pem}
    return told | {"expires_s": found.expires_s, "signature": found.signature.hex()}


def _read(record: Any) -> Peer:
    name, address, pem = record["id"], record["address"], record["certificate"]
    expires_s, signature = record["expires_s"], record["signature"]
    if not all(isinstance(each, str) for each in (name, address, pem, signature)):
        raise ValueError("id, address, certificate and signature are texts")
    if type(expires_s) is not int or not 0 <= expires_s < LATEST_S:
        raise ValueError("expires_s is not in Unix seconds")
    if len(address) > LONGEST_ADDRESS or len(pem) > LARGEST_CERTIFICATE:
        raise ValueError("too long")
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ValueError("the address has the form host:port")
    certificate = x509.load_pem_x509_certificate(pem.encode())
    plain = certificate.public_bytes(Encoding.PEM).decode()
    der = certificate.public_bytes(Encoding.DER)
    return Peer(name, address, der, plain, expires_s, bytes.fromhex(signature))


def load_peers(path: Path, genesis: Genesis, now_s: int) -> dict[str, Peer]:
    """Read a file of address records, all of which have to be good.

    Raises:
        Malformed: not a list of address records, or one has expired.
        BadSignature: a record that its validator has not signed.
    """
    keys = genesis_keys(genesis)
    found = [_open_of(path, record, genesis, now_s, keys) for record in _list(path)]
    return {peer.id: peer for peer in found}


def _list(path: Path) -> list[Any]:
    try:
        records = json.loads(path.read_text())
    except (ValueError, RecursionError) as reason:
        raise Malformed(f"{path}: not a list of address records: {reason}") from None
    if not isinstance(records, list):
        raise Malformed(f"{path}: not a list of address records")
    return records


def _open_of(path: Path, record: Any, genesis: Genesis, now_s: int, keys: Keys) -> Peer:
    try:
        return open_record(record, genesis, now_s, keys)
    except ExpiredRecord as reason:
        raise ExpiredRecord(f"{path}: {reason}") from None
    except UnknownValidator as reason:
        raise UnknownValidator(f"{path}: {reason}") from None
    except Malformed as reason:
        raise Malformed(f"{path}: {reason}") from None


class AddressBook:
    """The newest good record of each validator, on disk."""

    def __init__(self, genesis: Genesis, path: Path, keys: Keys | None = None) -> None:
        """Take whose records count and where they are kept; `read` takes what is there.

        Args:
            genesis: the network.
            path: file where records are kept.
            keys: the keys that count now; by default those of the genesis file.
        """
        self._genesis = genesis
        self._path = path
        self._keys = keys or genesis_keys(genesis)
        self._peers: dict[str, Peer] = {}

    @property
    def peers(self) -> dict[str, Peer]:
        """The records by validator id."""
        return dict(self._peers)

    def read(self, path: Path, now_s: int) -> None:
        """Take the good records of a file; an expired one is passed over and said.

        Raises:
            Malformed: not a list of address records.
            BadSignature: a record that its validator has not signed.
        """
        for record in _list(path):
            try:
                self._keep(_open_of(path, record, self._genesis, now_s, self._keys))
            except (ExpiredRecord, UnknownValidator) as reason:
                _log.warning("address record passed over", reason=str(reason))

    def recall(self, now_s: int) -> None:
        """Take what was kept before; a damaged file is said and costs nothing else."""
        if self._path.exists():
            try:
                self.read(self._path, now_s)
            except (Malformed, BadSignature) as reason:
                _log.warning("kept address records passed over", reason=str(reason))

    def forget_strangers(self) -> None:
        """Forget the records of keys that count no more."""
        self._peers = {
            name: peer
            for name, peer in self._peers.items()
            if is_signed(peer, self._genesis, self._keys(name))
        }

    def take(self, record: Any, now_s: int) -> bool:
        """Take a record when it is newer than the one known; returns whether it was.

        Raises:
            Malformed: it is no record, has expired, or is of a stranger.
            BadSignature: its validator has not signed it.
        """
        if not self._keep(open_record(record, self._genesis, now_s, self._keys)):
            return False
        records = [each.record for each in self._peers.values()]
        durable.replace(self._path, json.dumps(records, indent=1).encode())
        return True

    def _keep(self, peer: Peer) -> bool:
        known = self._peers.get(peer.id)
        if known is not None and known.expires_s >= peer.expires_s:
            return False
        self._peers[peer.id] = peer
        return True

    def own(self, me: str, address: str, pem: str, signer: Signer, now_s: int) -> Mapping[str, Any]:
        """One's own record: the known one, or a new one when it says something else or ends soon.

        Args:
            me: validator id.
            address: where others reach this validator, `host:port`.
            pem: the TLS certificate.
            signer: the validator's key.
            now_s: Unix seconds.
        """
        der = x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)
        known = self._peers.get(me)
        same = known is not None and (known.address, known.certificate) == (address, der)
        if known is not None and same and known.expires_s - now_s > RENEW_S:
            return known.record
        expires_s = max(now_s + VALID_S, 0 if known is None else known.expires_s + 1)
        message = peer_message(self._genesis.network, me, address, der, expires_s)
        return Peer(me, address, der, pem, expires_s, signer.sign(message)).record


def only_good(records: object, limit: int) -> list[Mapping[str, Any]]:
    """The entries of a list from a stranger that may be records, at most so many."""
    if not isinstance(records, list):
        return []
    return [each for each in records[:limit] if isinstance(each, Mapping)]
