"""Marks that stand for signatures in simulations, because nobody here breaks a signature.

A mark is of one key: a validator's first, or one that it changed to. Decides which keys there are.
"""

import hashlib
from dataclasses import replace
from functools import cache

from validator.consensus.messages import Message, Proposal, RoundChange
from wire.block import Commit as BlockCommit
from wire.block import ValidatorSet, seal_message
from wire.keys import EDDSA, PublicKey, SoftSigner

_NETWORK = bytes(32)


@cache
def key_of(name: str, number: int = 0) -> PublicKey:
    """A validator's first key, or that of its change with a number."""
    private = hashlib.sha256(f"{name}.{number}".encode()).digest()
    return SoftSigner.from_private(EDDSA, private).public


def _mark(signed: bytes, sender: str, key: PublicKey | None) -> bytes:
    return hashlib.sha512(signed + sender.encode() + (key or key_of(sender)).raw).digest()


def sign(message: Message, key: PublicKey | None = None) -> Message:
    """Put the mark on a message that stands for its sender's signature, by its first key or one."""
    mark = _mark(message.signed_bytes(_NETWORK), message.sender, key)
    return replace(message, signature=mark)


def is_signed(message: Message, members: ValidatorSet | None = None) -> bool:
    """Whether the mark is the sender's, and those of all that is attached.

    By the keys of a set; by the first keys where there is none, and of who is not in it.
    """
    return all(
        each.signature
        == _mark(
            each.signed_bytes(_NETWORK),
            each.sender,
            None if members is None else members.key(each.sender),
        )
        for each in _with_attached(message)
    )


def is_of(message: Message, members: ValidatorSet) -> bool:
    """Whether its sender, and those of all that is attached, are validators of a set."""
    return all(members.index(each.sender) is not None for each in _with_attached(message))


def _with_attached(message: Message) -> tuple[Message, ...]:
    if isinstance(message, Proposal):
        return (message, *message.round_changes, *message.prepares)
    return (message, *message.prepares) if isinstance(message, RoundChange) else (message,)


def is_final(commit: BlockCommit, members: ValidatorSet, height: int) -> bool:
    """Whether a quorum of validators has sealed the digest at that height, one seal of each."""
    signed = seal_message(_NETWORK, height, commit.round, commit.digest)
    sealers = [index for index, _ in commit.seals]
    if sealers != sorted(set(sealers)) or len(sealers) < members.quorum:
        return False
    return all(
        index < len(members) and signature == _mark(signed, *members.members[index])
        for index, signature in commit.seals
    )
