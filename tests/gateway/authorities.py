"""Validators for the gateway's tests: they answer batches with receipts under real seals."""

import hashlib

from wire import merkle
from wire.answer import BatchReceipt, Refusal
from wire.block import (
    Commit,
    Header,
    seal_message,
    transaction_leaves,
    transactions_root,
)
from wire.genesis import Genesis
from wire.keys import SoftSigner
from wire.links import Inclusion
from wire.results import ReadingResult, TxResult
from wire.witness import Batch


class Authorities:
    """A quorum that agrees at once."""

    def __init__(self, genesis: Genesis, keys: dict[str, SoftSigner]) -> None:
        self.genesis = genesis
        self.keys = keys
        self.height = 0

    def receipt(self, batch: Batch, code: int = 0, seals: int | None = None) -> bytes:
        """The answer for a batch that is final; every reading gets the same code."""
        self.height += 1
        hashes = [hashlib.sha256(reading).digest() for reading in batch.readings]
        results = [ReadingResult(each, code, bytes(32), "z1").encoded for each in hashes]
        root = merkle.root([merkle.leaf_hash(each) for each in results])
        tx_result = TxResult(batch.batch_id, 0, root, bytes(32)).encoded
        transactions = (batch.witness.encoded,)
        result_leaves = [merkle.leaf_hash(tx_result)]
        header = Header(
            1,
            self.genesis.network,
            self.height,
            self.genesis.time_ms + 1000 * self.height,
            self.genesis.network,
            next(iter(self.keys)),
            self.genesis.validators.hash,
            self.genesis.validators.hash,
            bytes(32),
            hashlib.sha256(b"").digest(),
            transactions_root(transactions),
            merkle.root(result_leaves),
            bytes(32),
            bytes(32),
            bytes(32),
        )
        return BatchReceipt(
            batch.batch_id,
            header.encoded,
            self._commit(header, seals),
            Inclusion.of(transaction_leaves(transactions), 0),
            tx_result,
            Inclusion.of(result_leaves, 0),
            tuple(results),
        ).encoded

    def refusal(self, batch: Batch, validator: str, code: int) -> bytes:
        """One validator's refusal of a batch."""
        refusal = Refusal(self.genesis.network, batch.batch_id, validator, code, "for a test")
        return refusal.sign(self.keys[validator])

    def _commit(self, header: Header, seals: int | None) -> Commit:
        validators = self.genesis.validators
        message = seal_message(header.network, header.height, 0, header.digest)
        names = validators.ids[: validators.quorum if seals is None else seals]
        return Commit(
            0,
            header.digest,
            tuple((place, self.keys[name].sign(message)) for place, name in enumerate(names)),
        )
