"""Blocks, seals and commits: what authorities agree on, and how their agreement is shown.

Decides encodings, digests, and when a commit proves a block final: q distinct validators of the set
that the header names have sealed its digest. How they come to agree is the consensus engine's
business, what the roots mean the application's.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from functools import cached_property
from typing import Any, Self

from wire import cbor, fields, merkle
from wire.cose import TAG_SIGN, TAG_SIGN1, open_sign, open_sign1
from wire.errors import BadKey, BadSignature, Malformed, TooFewSeals
from wire.keys import PublicKey

VERSION = 1
MAX_READINGS = 5000
MOST_EVIDENCE = 8
"""Pieces of evidence in one block; what is left waits for the next."""

SEAL_TAG = b"gridwitness/seal/1"
NO_COMMIT = b""
"""The parent commit of the first block."""

_HEADER_LENGTH = 15


@dataclass(frozen=True)
class Header:
    """What is sealed. The round is not in it, so a value proposed again keeps its digest."""

    version: int
    """Format, 1."""

    network: bytes
    """Network id, 32 bytes."""

    height: int
    """Counts blocks from 1."""

    time_ms: int
    """Network time by the proposer's clock, checked by the others; strictly increasing."""

    parent: bytes
    """Digest of the block before; the network id for the first."""

    proposer: str
    """Validator id of who made this block (not of who proposed it again in a later round)."""

    validators_hash: bytes
    """Hash of the set that seals this block."""

    next_validators_hash: bytes
    """Hash of the set that seals the next block."""

    params_hash: bytes
    """SHA-256 of the parameters in force."""

    parent_commit_hash: bytes
    """SHA-256 of the parent commit as carried in this block."""

    tx_root: bytes
    """RFC 9162 root over the transactions' leaves."""

    results_root: bytes
    """Root over the TxResults, in order of transactions."""

    zone_root: bytes
    """Root over the ZoneSeals derived in this block."""

    evidence_hash: bytes
    """SHA-256 over the evidence in this block."""

    state_root: bytes
    """Root of the application's state after this block."""

    @cached_property
    def encoded(self) -> bytes:
        """The header as CBOR array."""
        return cbor.encode(list(astuple(self)))

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the encoded header: the block's name."""
        return hashlib.sha256(self.encoded).digest()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a header; raises Malformed."""
        item = fields.items(cbor.decode(data), "header", _HEADER_LENGTH)
        if item[0] != VERSION:
            raise Malformed(f"a header of version {item[0]!r}")
        return cls(
            VERSION,
            fields.octets(item[1], "network", 32),
            fields.uint(item[2], "height"),
            fields.uint(item[3], "time"),
            fields.octets(item[4], "parent", 32),
            fields.identifier(item[5], "proposer"),
            *(fields.octets(value, "hash", 32) for value in item[6:]),
        )


@dataclass(frozen=True)
class Block:
    """A header, the transactions that it commits to, and the commit of the block before."""

    header: bytes
    """Encoded header."""

    transactions: tuple[bytes, ...]
    """Witness statements (the readings of a batch travel apart) and other COSE messages."""

    parent_commit: bytes
    """Encoded commit of the parent; empty in the first block."""

    evidence: tuple[bytes, ...] = ()
    """Proofs that validators have contradicted themselves, at most MOST_EVIDENCE."""

    @cached_property
    def encoded(self) -> bytes:
        """The block as it travels and is stored."""
        parts = [self.header, list(self.transactions), self.parent_commit, list(self.evidence)]
        return cbor.encode(parts)

    @cached_property
    def content(self) -> Header:
        """The decoded header; raises Malformed."""
        return Header.decode(self.header)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the header bytes."""
        return hashlib.sha256(self.header).digest()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a block and check that its parts are what the header commits to.

        Raises Malformed.
        """
        header, transactions, parent_commit, evidence = fields.items(cbor.decode(data), "block", 4)
        block = cls(
            fields.blob(header, "header"),
            tuple(
                fields.blob(tx, "transaction") for tx in fields.items(transactions, "transactions")
            ),
            fields.blob(parent_commit, "parent commit"),
            tuple(fields.blob(each, "evidence") for each in fields.items(evidence, "evidence")),
        )
        content = block.content
        if transactions_root(block.transactions) != content.tx_root:
            raise Malformed("the transactions are not those that the header commits to")
        if hashlib.sha256(block.parent_commit).digest() != content.parent_commit_hash:
            raise Malformed("the parent commit is not the one that the header commits to")
        if len(block.evidence) > MOST_EVIDENCE:
            raise Malformed(f"{len(block.evidence)} pieces of evidence; at most {MOST_EVIDENCE}")
        if evidence_hash(block.evidence) != content.evidence_hash:
            raise Malformed("the evidence is not what the header commits to")
        return block


def evidence_hash(evidence: Sequence[bytes]) -> bytes:
    """The header's `evidence_hash`."""
    return hashlib.sha256(cbor.encode(list(evidence))).digest()


def transaction_leaf(transaction: bytes) -> bytes:
    """What stands under `tx_root`: of a batch what is signed, of others all.

    The signature is left out for batches because a token may randomise it; raises Malformed.
    """
    content = cbor.decode(transaction)
    if not isinstance(content, cbor.Tag):
        raise Malformed("a transaction is a COSE message")
    return open_sign1(transaction).sig_structure if content.tag == TAG_SIGN1 else transaction


def transaction_id(transaction: bytes) -> bytes:
    """A batch's id, or a registry transaction's, 32 bytes; raises Malformed.

    Of a batch the SHA-256 of what its gateway signed; of others, which several sign one after the
    other, that of the payload.
    """
    content = cbor.decode(transaction)
    if isinstance(content, cbor.Tag) and content.tag == TAG_SIGN:
        return hashlib.sha256(open_sign(transaction).payload).digest()
    return hashlib.sha256(transaction_leaf(transaction)).digest()


def transaction_leaves(transactions: Sequence[bytes]) -> list[bytes]:
    """Leaf hashes under `tx_root`."""
    return [merkle.leaf_hash(transaction_leaf(tx)) for tx in transactions]


def transactions_root(transactions: Sequence[bytes]) -> bytes:
    """The header's `tx_root`."""
    return merkle.root(transaction_leaves(transactions))


@dataclass(frozen=True)
class ValidatorSet:
    """Who seals: ids with their keys, ordered by id."""

    members: tuple[tuple[str, PublicKey], ...]
    """(validator id, key), ascending by id, no id or key twice."""

    _index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ids = [member for member, _ in self.members]
        if (
            not ids
            or ids != sorted(set(ids))
            or len({key.raw for _, key in self.members}) != len(ids)
        ):
            raise Malformed(
                "a validator set is not empty, ordered by id, and has no id or key twice"
            )
        object.__setattr__(self, "_index", {member: index for index, member in enumerate(ids)})

    def __len__(self) -> int:
        return len(self.members)

    @property
    def quorum(self) -> int:
        """q: how many distinct seals make a block final.

        Any two such sets share an honest validator.
        """
        return (2 * len(self.members) - 1) // 3 + 1

    @property
    def faulty(self) -> int:
        """f: how many may be Byzantine."""
        return (len(self.members) - 1) // 3

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Validator ids in order."""
        return tuple(member for member, _ in self.members)

    def index(self, validator: str) -> int | None:
        """Position of a validator id, None for a stranger."""
        return self._index.get(validator)

    def key(self, validator: str) -> PublicKey | None:
        """Key of a validator id, None for a stranger."""
        index = self._index.get(validator)
        return None if index is None else self.members[index][1]

    def items(self) -> list[Any]:
        """As encoded: `[[id, COSE_Key], …]`."""
        return [[member, key.to_cose()] for member, key in self.members]

    @cached_property
    def hash(self) -> bytes:
        """The header's `validators_hash`, 32 bytes."""
        return hashlib.sha256(cbor.encode(self.items())).digest()

    @classmethod
    def from_items(cls, value: Any) -> Self:
        """Read a decoded set; raises Malformed or BadKey."""
        members = []
        for entry in fields.items(value, "validators"):
            member, key = fields.items(entry, "validator", 2)
            members.append((fields.identifier(member, "validator"), PublicKey.from_cose(key)))
        return cls(tuple(members))


def seal_message(network: bytes, height: int, round_number: int, digest: bytes) -> bytes:
    """What a validator signs to commit a block; the same signature is its COMMIT and its seal."""
    return SEAL_TAG + network + height.to_bytes(8, "big") + round_number.to_bytes(4, "big") + digest


@dataclass(frozen=True)
class Commit:
    """The seals that make a block final."""

    round: int
    """Round in which it was committed."""

    digest: bytes
    """Digest of the block."""

    seals: tuple[tuple[int, bytes], ...]
    """(validator index, signature), ascending by index."""

    def items(self) -> list[Any]:
        """As encoded."""
        return [self.round, self.digest, [[index, signature] for index, signature in self.seals]]

    @cached_property
    def encoded(self) -> bytes:
        """As carried in the next block."""
        return cbor.encode(self.items())

    @classmethod
    def from_items(cls, value: Any) -> Self:
        """Read a decoded commit; raises Malformed. Distinct, ascending indices are demanded."""
        round_number, digest, seals = fields.items(value, "commit", 3)
        pairs = []
        for seal in fields.items(seals, "seals"):
            index, signature = fields.items(seal, "seal", 2)
            pairs.append(
                (fields.uint(index, "validator index"), fields.octets(signature, "seal", 64))
            )
        indices = [index for index, _ in pairs]
        if indices != sorted(set(indices)):
            raise Malformed("seals are ordered by validator, one of each")
        return cls(
            fields.uint(round_number, "round", most=2**32 - 1),
            fields.octets(digest, "digest", 32),
            tuple(pairs),
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read an encoded commit; raises Malformed."""
        return cls.from_items(cbor.decode(data))


def verify_commit(commit: Commit, validators: ValidatorSet, network: bytes, height: int) -> None:
    """Check that `commit` makes its digest final at `height` under `validators`.

    Raises:
        TooFewSeals: fewer than q seals.
        BadSignature: a seal of a stranger, or one that does not stand; one spoils all.
    """
    if len(commit.seals) < validators.quorum:
        raise TooFewSeals(
            f"{len(commit.seals)} seals; {validators.quorum} of {len(validators)} are needed"
        )
    message = seal_message(network, height, commit.round, commit.digest)
    for index, signature in commit.seals:
        if index >= len(validators):
            raise BadSignature(f"a seal of validator {index}; there are only {len(validators)}")
        member, key = validators.members[index]
        try:
            key.verify(message, signature)
        except (BadSignature, BadKey) as reason:
            raise BadSignature(f"the seal of {member}: {reason}") from None
