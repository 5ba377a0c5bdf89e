"""Evidence: two messages by one key that an honest validator never signs both.

Five kinds. Each can be checked by anyone who knows the validator set, and none can be made against
a validator that only crashed, because it speaks after its slot is durable.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Self

from validator.consensus.messages import (
    Commit,
    Message,
    Proposal,
    RoundChange,
    decode_message,
    encode_message,
    open_message,
)
from wire import cbor, fields
from wire.block import ValidatorSet
from wire.errors import Malformed

AMNESIA = "amnesia"


class Offence(NamedTuple):
    """What a validator did. However often it is proved, it counts once."""

    validator: str
    """Who signed both messages."""

    height: int
    """Block height at which it did."""

    kind: str
    """double-proposal, double-prepare, double-commit, double-round-change or amnesia."""


@dataclass(frozen=True)
class Evidence:
    """Two contradicting messages of one sender."""

    first: Message
    """One message; of amnesia the COMMIT."""

    second: Message
    """The one that contradicts it."""

    @property
    def sender(self) -> str:
        """Who signed both."""
        return self.first.sender

    @property
    def kind(self) -> str:
        """double-proposal, double-prepare, double-commit, double-round-change or amnesia."""
        same = self.first.kind == self.second.kind
        return f"double-{self.first.kind}" if same else AMNESIA

    @property
    def offence(self) -> Offence:
        """What it proves."""
        return Offence(self.sender, self.first.height, self.kind)

    @cached_property
    def encoded(self) -> bytes:
        """What was signed of both messages, in the one order that `open` takes."""
        pair = [encode_message(bare(each)) for each in (self.first, self.second)]
        return cbor.encode(pair if self.kind == AMNESIA else sorted(pair))

    @classmethod
    def open(cls, data: bytes, network: bytes, validators: ValidatorSet) -> Self:
        """Read evidence, check that it proves something and says no more; raises Refused.

        Args:
            data: the encoded evidence.
            network: network id, 32 bytes.
            validators: the set of the height at which it happened.
        """
        first, second = (
            fields.blob(item, "message") for item in fields.items(cbor.decode(data), "evidence", 2)
        )
        messages = [open_message(item, network, validators) for item in (first, second)]
        if not contradict(messages[0], messages[1]):
            raise Malformed("these two messages do not contradict each other")
        evidence = cls(messages[0], messages[1])
        if evidence.encoded != data:
            raise Malformed("evidence holds what was signed and nothing else, in order")
        return evidence

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read evidence that was checked before."""
        first, second = fields.items(cbor.decode(data), "evidence", 2)
        return cls(decode_message(first), decode_message(second))


def bare(message: Message) -> Message:
    """What the sender signed, without block and attachments."""
    if isinstance(message, Proposal):
        return replace(message, block=b"", round_changes=(), prepares=())
    return message.bare() if isinstance(message, RoundChange) else message


def contradict(first: Message, second: Message) -> bool:
    """Whether one honest validator could not have signed both."""
    if (first.sender, first.height) != (second.sender, second.height):
        return False
    if isinstance(first, Commit) and isinstance(second, RoundChange):
        return is_amnesia(first, second)
    if first.kind != second.kind or first.round != second.round:
        return False
    if isinstance(first, RoundChange) and isinstance(second, RoundChange):
        return first.claim != second.claim
    if isinstance(first, RoundChange) or isinstance(second, RoundChange):
        return False
    return first.digest != second.digest


def is_amnesia(commit: Commit, change: RoundChange) -> bool:
    """Whether a ROUND-CHANGE forgets what its sender committed to in an earlier round."""
    if commit.sender != change.sender or commit.height != change.height:
        return False
    if change.round <= commit.round:
        return False
    if change.prepared_round is None or change.prepared_round < commit.round:
        return True
    return change.prepared_round == commit.round and change.prepared_digest != commit.digest
