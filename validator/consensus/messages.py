"""The four messages of agreement: PROPOSAL, PREPARE, COMMIT, ROUND-CHANGE.

Decides encodings, the bytes that are signed (each kind under its own tag, with the network, height
and round), and that a message comes from a validator of the set. Attached messages are checked one
by one; whether together they justify anything is decided in `justification`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

from validator.consensus.timeouts import LAST_ROUND
from wire import cbor, fields
from wire.block import ValidatorSet, seal_message
from wire.errors import BadSignature, Malformed

PROPOSAL, PREPARE, COMMIT, ROUND_CHANGE = "proposal", "prepare", "commit", "round-change"
UNSIGNED = bytes(64)


def _tagged(kind: str, network: bytes, height: int, round_number: int, content: bytes) -> bytes:
    tag = f"gridwitness/{kind}/1".encode()
    return tag + network + height.to_bytes(8, "big") + round_number.to_bytes(4, "big") + content


@dataclass(frozen=True)
class Prepare:
    """I hold this value and have seen nothing that speaks against it."""

    height: int
    """Block height."""

    round: int
    """Round of the proposal."""

    sender: str
    """Validator id."""

    digest: bytes
    """Digest of the block, 32 bytes."""

    signature: bytes = UNSIGNED
    """Raw signature, 64 bytes."""

    kind = PREPARE

    def signed_bytes(self, network: bytes) -> bytes:
        """What the signature covers."""
        return _tagged(self.kind, network, self.height, self.round, self.digest)

    def items(self) -> list[Any]:
        """As encoded."""
        return [self.kind, self.height, self.round, self.sender, self.digest, self.signature]

    @classmethod
    def from_items(cls, value: Any) -> Self:
        """Read a decoded vote of this class's kind; raises Malformed."""
        kind, height, round_number, sender, digest, signature = fields.items(value, "vote", 6)
        if kind != cls.kind:
            raise Malformed(f"a {cls.kind} was expected")
        return cls(
            fields.uint(height, "height"),
            fields.uint(round_number, "round", most=LAST_ROUND),
            fields.identifier(sender, "sender"),
            fields.octets(digest, "digest", 32),
            fields.octets(signature, "signature", 64),
        )


@dataclass(frozen=True)
class Commit(Prepare):
    """I hold a quorum's PREPAREs for this value. The signature is the block's seal."""

    kind = COMMIT

    def signed_bytes(self, network: bytes) -> bytes:
        """The seal's bytes."""
        return seal_message(network, self.height, self.round, self.digest)


@dataclass(frozen=True)
class RoundChange:
    """I have given up the rounds before this one; this is the newest value that I saw prepared."""

    height: int
    """Block height."""

    round: int
    """Round that the sender wants to enter."""

    sender: str
    """Validator id."""

    prepared_round: int | None
    """Round of the newest prepared value; None when there is none."""

    prepared_digest: bytes | None
    """Its digest, 32 bytes; None when there is none."""

    signature: bytes = UNSIGNED
    """Raw signature, 64 bytes, over round and claim."""

    prepares: tuple[Prepare, ...] = ()
    """The quorum of PREPAREs that prove the claim; left out inside a PROPOSAL."""

    kind = ROUND_CHANGE

    @property
    def claim(self) -> list[Any] | None:
        """What is claimed to be prepared."""
        return None if self.prepared_round is None else [self.prepared_round, self.prepared_digest]

    def signed_bytes(self, network: bytes) -> bytes:
        """What the signature covers."""
        content = cbor.encode(self.claim)
        return _tagged(self.kind, network, self.height, self.round, content)

    def bare(self) -> "RoundChange":
        """The signed part alone, as a PROPOSAL carries it."""
        return replace(self, prepares=())

    def items(self) -> list[Any]:
        """As encoded."""
        prepares = [prepare.items() for prepare in self.prepares]
        head = [self.kind, self.height, self.round, self.sender]
        return [*head, self.claim, self.signature, prepares]

    @classmethod
    def from_items(cls, value: Any) -> Self:
        """Read a decoded ROUND-CHANGE; raises Malformed."""
        kind, height, round_number, sender, claim, signature, prepares = fields.items(
            value, "round change", 7
        )
        if kind != ROUND_CHANGE:
            raise Malformed("a round change was expected")
        prepared_round = prepared_digest = None
        if claim is not None:
            prepared_round, prepared_digest = fields.items(claim, "claim", 2)
            fields.uint(prepared_round, "prepared round", most=LAST_ROUND)
            fields.octets(prepared_digest, "prepared digest", 32)
        return cls(
            fields.uint(height, "height"),
            fields.uint(round_number, "round", most=LAST_ROUND),
            fields.identifier(sender, "sender"),
            prepared_round,
            prepared_digest,
            fields.octets(signature, "signature", 64),
            tuple(Prepare.from_items(item) for item in fields.items(prepares, "prepares")),
        )


@dataclass(frozen=True)
class Proposal:
    """The leader's value for a round, with what justifies it after round 0."""

    height: int
    """Block height."""

    round: int
    """Round that it is proposed in."""

    sender: str
    """Validator id of the round's leader."""

    digest: bytes
    """Digest of the block, 32 bytes."""

    block: bytes
    """The encoded block; not signed again, for the digest commits to it."""

    signature: bytes = UNSIGNED
    """Raw signature, 64 bytes."""

    round_changes: tuple[RoundChange, ...] = ()
    """A quorum's ROUND-CHANGEs for this round, bare; none in round 0."""

    prepares: tuple[Prepare, ...] = ()
    """A quorum's PREPAREs for the newest value that those claim."""

    kind = PROPOSAL

    def signed_bytes(self, network: bytes) -> bytes:
        """What the signature covers."""
        return _tagged(self.kind, network, self.height, self.round, self.digest)

    def items(self) -> list[Any]:
        """As encoded."""
        head = [self.kind, self.height, self.round, self.sender, self.digest, self.signature]
        changes = [change.items() for change in self.round_changes]
        return [*head, self.block, changes, [prepare.items() for prepare in self.prepares]]

    @classmethod
    def from_items(cls, value: Any) -> Self:
        """Read a decoded PROPOSAL; raises Malformed."""
        item = fields.items(value, "proposal", 9)
        changes = fields.items(item[7], "round changes")
        return cls(
            fields.uint(item[1], "height"),
            fields.uint(item[2], "round", most=LAST_ROUND),
            fields.identifier(item[3], "sender"),
            fields.octets(item[4], "digest", 32),
            fields.blob(item[6], "block"),
            fields.octets(item[5], "signature", 64),
            tuple(RoundChange.from_items(change) for change in changes),
            tuple(Prepare.from_items(prepare) for prepare in fields.items(item[8], "prepares")),
        )


Message = Proposal | Prepare | Commit | RoundChange

_KINDS: dict[str, type[Proposal] | type[Prepare] | type[Commit] | type[RoundChange]] = {
    PROPOSAL: Proposal,
    PREPARE: Prepare,
    COMMIT: Commit,
    ROUND_CHANGE: RoundChange,
}


def encode_message(message: Message) -> bytes:
    """The message as it travels and as the sign-state keeps it."""
    return cbor.encode(message.items())


def decode_message(data: bytes) -> Message:
    """Read a message; raises Malformed. No signature is checked."""
    items = fields.items(cbor.decode(data), "message")
    kind = _KINDS.get(items[0]) if items and isinstance(items[0], str) else None
    if kind is None:
        raise Malformed("not a consensus message")
    return kind.from_items(items)


def _check_signature(message: Message, network: bytes, validators: ValidatorSet) -> None:
    key = validators.key(message.sender)
    if key is None:
        raise BadSignature(f"a {message.kind} of {message.sender}, who is no validator")
    key.verify(message.signed_bytes(network), message.signature)


def _attached(message: Message) -> Sequence[Message]:
    if isinstance(message, Proposal):
        if any(change.prepares for change in message.round_changes):
            raise Malformed("a round change inside a proposal is bare")
        return [*message.round_changes, *message.prepares]
    return message.prepares if isinstance(message, RoundChange) else ()


def open_message(data: bytes, network: bytes, validators: ValidatorSet) -> Message:
    """Decode a message and check its signature and those of all that is attached.

    Raises:
        Malformed: not a message, or more is attached than there are validators.
        BadSignature: a signature that does not stand, or a sender who is no validator.
    """
    message = decode_message(data)
    attached = _attached(message)
    if len(attached) > 2 * len(validators):
        raise Malformed("more attachments than validators could have signed")
    for each in (message, *attached):
        _check_signature(each, network, validators)
    return message


@dataclass(frozen=True)
class PreparedCertificate:
    """A value that a quorum has prepared: what a validator must not forget before it commits."""

    prepares: tuple[Prepare, ...]
    """A quorum of PREPAREs for one round and digest, ordered by sender."""

    @property
    def round(self) -> int:
        """Round in which it was prepared."""
        return self.prepares[0].round

    @property
    def digest(self) -> bytes:
        """Digest of the value."""
        return self.prepares[0].digest

    @cached_property
    def encoded(self) -> bytes:
        """As kept beside the COMMIT in the sign-state."""
        return cbor.encode([prepare.items() for prepare in self.prepares])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a stored certificate; raises Malformed."""
        items = fields.items(cbor.decode(data), "certificate")
        if not items:
            raise Malformed("a certificate without prepares")
        return cls(tuple(Prepare.from_items(item) for item in items))
