"""Receipts from the ledger: for a batch, to its gateway; for one reading, as a file.

Decides nothing: gathers paths, header and seals from the store.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from validator.app.application import Application
from validator.node.set_changes import SetChanges
from validator.node.store import Store
from validator.node.stored import StoredBlock, StoredReading, StoredResult
from wire import merkle
from wire.answer import BatchReceipt
from wire.block import Header, transaction_leaves
from wire.genesis import Genesis
from wire.keys import PublicKey
from wire.light import SetChange
from wire.links import Inclusion
from wire.reading import ORIGIN_OWN_ELEMENT, SignedReading
from wire.receipt import Receipt, ZoneProof
from wire.results import ReadingResult, TxResult
from wire.witness import Batch

KEPT_BLOCKS = 8
"""Blocks in memory, each with the trees of its transactions and results."""


@dataclass(frozen=True, slots=True)
class _Trees:
    """What the receipts of all batches of a block need."""

    stored: StoredBlock
    """The block."""

    transactions: merkle.Tree
    """Under its `tx_root`."""

    results: merkle.Tree
    """Under its `results_root`."""


class BatchReceipts:
    """Makes the receipts of batches; what those of one block share is read once."""

    def __init__(self, store: Store) -> None:
        """Take where the blocks are."""
        self._store = store
        self._trees: OrderedDict[int, _Trees] = OrderedDict()

    def of(self, batch_id: bytes, changes: Sequence[SetChange] = ()) -> BatchReceipt | None:
        """The receipt of a batch that is on the ledger; None when it is not.

        Args:
            batch_id: which batch.
            changes: of the validator set since genesis.
        """
        result = self._store.result(batch_id)
        trees = None if result is None else self._trees_at(result.height)
        if result is None or trees is None:
            return None
        return BatchReceipt(
            batch_id=batch_id,
            header=trees.stored.block.header,
            commit=trees.stored.commit,
            inclusion=Inclusion.within(trees.transactions, result.position),
            tx_result=result.tx_result,
            result_inclusion=Inclusion.within(trees.results, result.position),
            reading_results=result.reading_results,
            changes=tuple(changes),
        )

    def _trees_at(self, height: int) -> _Trees | None:
        found = self._trees.get(height)
        if found is None:
            stored = self._store.block(height)
            if stored is None:
                return None
            leaves = transaction_leaves(stored.block.transactions)
            results = [merkle.leaf_hash(each) for each in self._store.tx_results(height)]
            found = _Trees(stored, merkle.Tree(leaves), merkle.Tree(results))
            self._trees[height] = found
            if len(self._trees) > KEPT_BLOCKS:
                self._trees.popitem(last=False)
        return found


class Receipts:
    """Makes the receipt file of a reading."""

    def __init__(self, genesis: Genesis, application: Application, store: Store) -> None:
        """Take where keys and blocks are."""
        self._application = application
        self._store = store
        self._genesis = genesis
        self._batches = BatchReceipts(store)
        self._changes = SetChanges(store, lambda: application.ruling)

    def receipt(self, meter: str, sequence: int) -> Receipt | None:
        """The receipt of an accepted reading; None when there is none."""
        found = self._store.reading(meter, sequence)
        if found is None:
            return None
        batch, result = self._store.batch(found.batch_id), self._store.result(found.batch_id)
        answer = self._batches.of(found.batch_id)
        if batch is None or result is None or answer is None:
            raise AssertionError("an accepted reading has its batch, result and block")
        reading = batch.readings[found.position]
        leaves = [merkle.leaf_hash(each) for each in batch.readings]
        results = [merkle.leaf_hash(each) for each in result.reading_results]
        zone = self._zone_proof(found, reading)
        return Receipt(
            reading=reading,
            witness=self._statement(result),
            inclusion=Inclusion.of(leaves, found.position),
            witness_inclusion=answer.inclusion,
            header=answer.header,
            commit=answer.commit,
            changes=self._changes.upto(self._newest(result.height, zone)),
            zone=zone,
            reading_result=result.reading_results[found.position],
            reading_result_inclusion=Inclusion.of(results, found.position),
            tx_result=result.tx_result,
            tx_result_inclusion=answer.result_inclusion,
            meter_key=self._meter_key(batch, found, result),
            gateway_key=self._gateway_key(batch, result),
        )

    @staticmethod
    def _newest(height: int, zone: ZoneProof | None) -> int:
        return height if zone is None else max(height, Header.decode(zone.header).height)

    def _statement(self, result: StoredResult) -> bytes:
        stored = self._store.block(result.height)
        assert stored is not None
        return stored.block.transactions[result.position]

    def _meter_key(self, batch: Batch, found: StoredReading, result: StoredResult) -> PublicKey:
        thumbprint = ReadingResult.decode(result.reading_results[found.position]).key_thumbprint
        signed = SignedReading.open(batch.readings[found.position])
        registries = self._application.registries
        holders = [(found.meter, "meter")]
        if signed.reading.origin != ORIGIN_OWN_ELEMENT:
            holders = [(each, "reader") for each in registries.ids_ever("gateways")]
        keys = (registries.key_of(*holder, thumbprint) for holder in holders)
        public = next((key for key in keys if key is not None), None)
        assert public is not None, "the registry names the key that decided"
        return public

    def _gateway_key(self, batch: Batch, result: StoredResult) -> PublicKey:
        gateway = batch.witness.statement.gateway
        thumbprint = TxResult.decode(result.tx_result).witness_thumbprint
        public = self._application.registries.key_of(gateway, "witness", thumbprint)
        assert public is not None, "the registry names the key that decided"
        return public

    def _zone_proof(self, found: StoredReading, reading: bytes) -> ZoneProof | None:
        stored = self._store.seal_over(found.zone, found.start_s)
        digest = hashlib.sha256(reading).digest()
        if stored is None or digest not in stored.inputs:
            return None
        sealed_in = self._store.block(stored.height)
        assert sealed_in is not None
        seals = [merkle.leaf_hash(each) for each in self._store.seals_at(stored.height)]
        inputs = [merkle.leaf_hash(each) for each in stored.inputs]
        return ZoneProof(
            seal=stored.seal,
            inclusion=Inclusion.of(seals, stored.position),
            header=sealed_in.block.header,
            commit=sealed_in.commit,
            reading_inclusion=Inclusion.of(inputs, stored.inputs.index(digest)),
        )
