"""What validators answer a gateway for a batch: a receipt with seals, or a signed refusal.

Travels on the receipt topic. A gateway forgets a reading only after `BatchReceipt.verify`; a
refusal of a whole batch counts when f+1 validators have signed one.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from wire import cbor, fields, merkle
from wire.block import Commit, ValidatorSet
from wire.cose import HEADER_ALG, HEADER_CONTENT_TYPE, HEADER_KID, open_sign1, sign1
from wire.errors import Malformed
from wire.keys import Signer
from wire.light import LightClient, SetChange
from wire.links import BrokenLink, Inclusion, link, sealed_header
from wire.results import ReadingResult, TxResult
from wire.witness import SignedWitness

REFUSAL_CONTENT_TYPE = 65001
"""Of the range that RFC 7252 §12.3 leaves to experiments.

Tells a refusal from every other signed thing.
"""

KNOWN_SET = "known-set"
"""User property of a batch's PUBLISH: `LightClient.known` in decimal digits. Without it answers
carry every change since genesis."""

_MESSAGE_RECEIPT, _MESSAGE_REFUSAL = 1, 2
_MOST_DIGITS = 18


@dataclass(frozen=True)
class BatchReceipt:
    """What validators answer for a batch: it is final, and this is what became of each reading."""

    batch_id: bytes
    """Which batch, 32 bytes."""

    header: bytes
    """Header of the block that has it."""

    commit: Commit
    """Seals of that header."""

    inclusion: Inclusion
    """Of the witness statement under `tx_root`.

    The batch's result has the same place under `results_root`.
    """

    tx_result: bytes
    """Encoded TxResult."""

    result_inclusion: Inclusion
    """Of the TxResult under `results_root`."""

    reading_results: tuple[bytes, ...]
    """Encoded ReadingResults, in order of the batch."""

    changes: tuple[SetChange, ...] = ()
    """Validator-set changes since genesis, or since the set that the gateway says it knows."""

    @property
    def encoded(self) -> bytes:
        """As published over MQTT."""
        content = {
            1: self.batch_id,
            2: self.header,
            3: self.commit.items(),
            4: self.inclusion.items(),
            5: self.tx_result,
            6: self.result_inclusion.items(),
            7: list(self.reading_results),
            8: [change.items() for change in self.changes],
        }
        return cbor.encode([_MESSAGE_RECEIPT, content])

    @classmethod
    def from_map(cls, content: Any) -> Self:
        """Read a decoded receipt; raises Malformed."""
        if not isinstance(content, dict) or content.keys() != set(range(1, 9)):
            raise Malformed("a batch receipt has the keys 1 to 8")
        return cls(
            fields.octets(content[1], "batch id", 32),
            fields.blob(content[2], "header"),
            Commit.from_items(content[3]),
            Inclusion.from_items(content[4]),
            fields.blob(content[5], "transaction result"),
            Inclusion.from_items(content[6]),
            tuple(
                fields.blob(item, "reading result")
                for item in fields.items(content[7], "reading results")
            ),
            tuple(SetChange.from_items(item) for item in fields.items(content[8], "changes")),
        )

    def verify(
        self, client: LightClient, witness: SignedWitness, readings: Sequence[bytes]
    ) -> list[ReadingResult]:
        """Check that the batch of `witness` and `readings` is final; return each result.

        Raises:
            BrokenLink: this receipt proves nothing about that batch.
        """
        header = sealed_header(client, self.header, self.commit, self.changes)
        if self.batch_id != witness.batch_id:
            raise BrokenLink("witness", "the receipt is for another batch")
        self.inclusion.check(header.tx_root, witness.cose.sig_structure, "the witness statement")
        result = link("inclusion", lambda: TxResult.decode(self.tx_result))
        self.result_inclusion.check(header.results_root, self.tx_result, "the batch's result")
        if result.tx_id != witness.batch_id:
            raise BrokenLink("inclusion", "the result is for another batch")
        if (
            merkle.root([merkle.leaf_hash(item) for item in self.reading_results])
            != result.readings_root
        ):
            raise BrokenLink(
                "inclusion", "the readings' results are not those that the block commits to"
            )
        found = link("inclusion", lambda: [ReadingResult.decode(x) for x in self.reading_results])
        if [item.reading_hash for item in found] != [
            hashlib.sha256(reading).digest() for reading in readings
        ]:
            raise BrokenLink(
                "reading", "the results are for other readings than those of the batch"
            )
        return found


@dataclass(frozen=True)
class Refusal:
    """One validator's signed word that it will not take a batch.

    It counts when f+1 of them say so.
    """

    network: bytes
    """Network id, 32 bytes."""

    batch_id: bytes
    """Which batch, 32 bytes."""

    validator: str
    """Who refuses."""

    code: int
    """A key of REASONS."""

    words: str
    """The reason in words, at most 300 characters."""

    def sign(self, signer: Signer, changes: Sequence[SetChange] = ()) -> bytes:
        """The message that is published on the receipt topic.

        Args:
            signer: the validator's key.
            changes: validator-set changes since genesis, or since the set that the gateway says it
                knows, that it learns who refuses.
        """
        headers = {
            HEADER_ALG: signer.public.alg,
            HEADER_CONTENT_TYPE: REFUSAL_CONTENT_TYPE,
            HEADER_KID: signer.public.kid,
        }
        payload = cbor.encode([self.network, self.batch_id, self.validator, self.code, self.words])
        told = [change.items() for change in changes]
        return cbor.encode([_MESSAGE_REFUSAL, sign1(headers, payload, signer), told])

    @classmethod
    def open(cls, encoded: bytes, network: bytes, validators: ValidatorSet) -> Self:
        """Decode a refusal and check that a validator of the set signed it; raises Refused."""
        cose = open_sign1(encoded)
        if cose.headers.get(HEADER_CONTENT_TYPE) != REFUSAL_CONTENT_TYPE:
            raise Malformed("a signed message that is not a refusal")
        item = fields.items(cbor.decode(cose.payload), "refusal", 5)
        refusal = cls(
            fields.octets(item[0], "network", 32),
            fields.octets(item[1], "batch id", 32),
            fields.identifier(item[2], "validator"),
            fields.uint(item[3], "code"),
            item[4] if isinstance(item[4], str) else "",
        )
        key = validators.key(refusal.validator)
        if key is None or refusal.network != network:
            raise Malformed("a refusal by a stranger or for another network")
        cose.verify(key)
        return refusal


def known_set(properties: Iterable[tuple[str, str]]) -> int:
    """What a gateway says that it knows, by a batch's user properties; 0 where it says nothing."""
    found = dict(properties).get(KNOWN_SET, "")
    is_height = found.isascii() and found.isdecimal() and len(found) <= _MOST_DIGITS
    return int(found) if is_height else 0


def open_answer(message: bytes, client: LightClient) -> BatchReceipt | Refusal:
    """Decode what arrived on a receipt topic.

    A receipt (not verified yet), or a refusal verified by the newest set that it leads to; raises
    Refused.
    """
    match cbor.decode(message):
        case [int(kind), content] if kind == _MESSAGE_RECEIPT:
            return BatchReceipt.from_map(content)
        case [int(kind), bytes(content), [*changes]] if kind == _MESSAGE_REFUSAL:
            client.follow([SetChange.from_items(change) for change in changes])
            return Refusal.open(content, client.network, client.newest)
    raise Malformed("neither a receipt nor a refusal")
