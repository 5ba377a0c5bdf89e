"""Marks that stand for signatures in simulations, because nobody here breaks a signature."""

import hashlib
from dataclasses import replace

from validator.consensus.messages import Message, Proposal, RoundChange
from wire.block import Commit as BlockCommit
from wire.block import ValidatorSet, seal_message

_NETWORK = bytes(32)


def _mark(signed: bytes, sender: str) -> bytes:
    return hashlib.sha512(signed + sender.encode()).digest()


def sign(message: Message) -> Message:
    """Put the mark on a message that stands for its sender's signature."""
    return replace(message, signature=_mark(message.signed_bytes(_NETWORK), message.sender))


def is_signed(message: Message) -> bool:
    """Whether the mark is the sender's, and those of all that is attached."""
    return all(
        each.signature == _mark(each.signed_bytes(_NETWORK), each.sender)
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
        index < len(members) and signature == _mark(signed, members.ids[index])
        for index, signature in commit.seals
    )
