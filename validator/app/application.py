"""The validators' application: a deterministic state machine over batches of readings.

Decides which batches may stand in a block and what follows from them: a result for every reading,
the zone seals, settlement, and the roots that the header commits to. It keeps the state in memory
and gives every change as rows, which the node stores; it never sees a consensus type, a clock or a
disk. Calls follow ABCI 2.0: `check_batch` (CheckTx), `pick` (PrepareProposal), `execute`
(ProcessProposal and FinalizeBlock), `commit`.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from validator.app.admission import MALFORMED, Admission, Carriage, admit
from validator.app.carrier import (
    WITNESS_AHEAD,
    WITNESS_EQUIVOCATION,
    RefusedBatch,
    SignatureBook,
    check_carrier,
)
from validator.app.opening import OpenedReadings
from validator.app.parameters import parameters_hash
from validator.app.records import BATCH, key
from validator.app.registry import Registry
from validator.app.sealing import seal_windows
from validator.app.state import Overlay, State, Write
from wire import cbor, merkle
from wire.block import MAX_READINGS
from wire.errors import Refused, Unavailable
from wire.genesis import Genesis
from wire.results import ACCEPTED, ReadingResult, TxResult
from wire.witness import Batch, SignedWitness, WitnessStatement

_NO_EVIDENCE = hashlib.sha256(cbor.encode([])).digest()


class InvalidBlock(Refused):
    """A block that no honest proposer makes."""

    code = "invalid-block"


@dataclass(frozen=True, slots=True)
class Execution:
    """What a block would change, and the roots that its header has to name."""

    height: int
    """Height of the block."""

    parent_root: bytes
    """State root that it was executed on, 32 bytes."""

    tx_root: bytes
    """RFC 9162 root over the transactions' leaves."""

    results_root: bytes
    """Root over the TxResults."""

    zone_root: bytes
    """Root over the zone seals."""

    evidence_hash: bytes
    """SHA-256 over the evidence in the block."""

    params_hash: bytes
    """SHA-256 of the parameters in force."""

    state_root: bytes
    """State root after the block."""

    tx_results: tuple[bytes, ...]
    """Encoded TxResults, in order of transactions."""

    reading_results: tuple[tuple[bytes, ...], ...]
    """Encoded ReadingResults of each transaction, in order of its batch."""

    seals: tuple[bytes, ...]
    """Encoded ZoneSeals, in order of (zone, start)."""

    seal_inputs: tuple[tuple[bytes, ...], ...]
    """For each seal the SHA-256 of the readings that it used: the leaves under `inputs_root`."""

    writes: tuple[Write, ...]
    """Rows that change; (table, key, None) removes one."""


class Application:
    """One network's rules and state."""

    def __init__(self, genesis: Genesis) -> None:
        """Raises BadRegistry or Malformed when the genesis file cannot be used."""
        self.registry = Registry.of(genesis)
        """Who and what is registered."""

        self.state = State(genesis.network)
        """The state after the newest committed block."""

        self._network = genesis.network
        self._params_hash = parameters_hash(genesis.parameters)
        self._opened = OpenedReadings()

    def included(self, gateway: str, sequence: int) -> bytes | None:
        """Id of the batch that stands on the ledger under this sequence, None when none does."""
        return self.state.get(BATCH, key(gateway, sequence))

    def check_batch(self, batch: Batch, book: SignatureBook) -> None:
        """Decide whether the mempool may take a batch.

        A batch that is on the ledger already passes: the node answers it again from its store.

        Raises:
            RefusedBatch: for its carrier's faults, with a reason code.
            Malformed: its header names no algorithm or key.
        """
        check_carrier(self.registry, batch.witness, book)
        statement = batch.witness.statement
        if self.included(statement.gateway, statement.sequence) not in (None, batch.batch_id):
            raise RefusedBatch(WITNESS_EQUIVOCATION, f"sequence {statement.sequence}")

    def pick(
        self, time_ms: int, candidates: Sequence[Batch], max_readings: int = MAX_READINGS
    ) -> list[Batch]:
        """Choose batches for a block: oldest interval first, then gateway and sequence.

        Args:
            time_ms: the block's time.
            candidates: batches that `check_batch` let pass.
            max_readings: room in the block.

        Returns:
            Batches that a block of that time may carry, in the order in which it should.
        """
        picked: list[Batch] = []
        taken: set[bytes] = set()
        room = max_readings
        for batch in sorted(candidates, key=self._age):
            statement = batch.witness.statement
            row = key(statement.gateway, statement.sequence)
            if len(batch.readings) > room or row in taken:
                continue
            if self.state.get(BATCH, row) is not None or self._ahead(statement, time_ms):
                continue
            picked.append(batch)
            taken.add(row)
            room -= len(batch.readings)
        return picked

    def _age(self, batch: Batch) -> tuple[int, str, int, bytes]:
        statement = batch.witness.statement
        oldest_s = self._opened.oldest_start_s(batch)
        return oldest_s, statement.gateway, statement.sequence, batch.batch_id

    def _ahead(self, statement: WitnessStatement, time_ms: int) -> bool:
        ahead_ms = self.registry.parameters.witness_ahead_ms
        return statement.witnessed_at_s * 1000 > time_ms + ahead_ms

    def execute(
        self,
        height: int,
        time_ms: int,
        transactions: Sequence[bytes],
        batches: Mapping[bytes, Batch],
        book: SignatureBook,
    ) -> Execution:
        """Execute a block on the committed state, speculatively: nothing changes.

        Args:
            height: its height.
            time_ms: its time.
            transactions: witness statements.
            batches: by batch id; `Batch.open` or `Batch.join` has checked their roots.
            book: which signatures stand.

        Raises:
            InvalidBlock: no honest proposer makes this block.
            Unavailable: a batch is not at hand.
        """
        overlay = Overlay(self.state)
        tx_leaves: list[bytes] = []
        tx_results: list[bytes] = []
        reading_results: list[tuple[bytes, ...]] = []
        touched: set[tuple[str, int]] = set()
        room = MAX_READINGS
        for transaction in transactions:
            witness = self._open_witness(transaction)
            batch = batches.get(witness.batch_id)
            if batch is None:
                raise Unavailable(f"batch {witness.batch_id.hex()} is not here yet")
            room -= len(batch.readings)
            if room < 0:
                raise InvalidBlock(f"more than {MAX_READINGS} readings")
            carriage = self._carriage(overlay, witness, time_ms, book)
            results = self._read(overlay, carriage, batch, touched)
            root = merkle.root([merkle.leaf_hash(result) for result in results])
            thumbprint = carriage.gateway.witness_key.thumbprint
            tx_leaves.append(merkle.leaf_hash(witness.cose.sig_structure))
            tx_results.append(TxResult(witness.batch_id, ACCEPTED, root, thumbprint).encoded)
            reading_results.append(results)
        sealed = seal_windows(self.registry, overlay, time_ms // 1000, touched)
        seals = tuple(each.seal.encoded for each in sealed)
        state_root, writes = overlay.finish(height)
        return Execution(
            height=height,
            parent_root=self.state.root,
            tx_root=merkle.root(tx_leaves),
            results_root=merkle.root([merkle.leaf_hash(result) for result in tx_results]),
            zone_root=merkle.root([merkle.leaf_hash(seal) for seal in seals]),
            evidence_hash=_NO_EVIDENCE,
            params_hash=self._params_hash,
            state_root=state_root,
            tx_results=tuple(tx_results),
            reading_results=tuple(reading_results),
            seals=seals,
            seal_inputs=tuple(each.inputs for each in sealed),
            writes=writes,
        )

    def _open_witness(self, transaction: bytes) -> SignedWitness:
        try:
            return SignedWitness.open(transaction)
        except Refused as reason:
            raise InvalidBlock(f"a transaction that is no witness statement: {reason}") from None

    def _carriage(
        self, overlay: Overlay, witness: SignedWitness, time_ms: int, book: SignatureBook
    ) -> Carriage:
        """Put the batch on the ledger; raises InvalidBlock when its witness does not stand."""
        statement = witness.statement
        try:
            gateway = check_carrier(self.registry, witness, book)
            if self._ahead(statement, time_ms):
                raise RefusedBatch(WITNESS_AHEAD, f"{statement.witnessed_at_s} s")
        except Refused as reason:
            raise InvalidBlock(f"batch {witness.batch_id.hex()}: {reason}") from None
        row = key(statement.gateway, statement.sequence)
        if overlay.get(BATCH, row) is not None:
            raise InvalidBlock(f"{statement.gateway} has a batch {statement.sequence} already")
        overlay.put(BATCH, row, witness.batch_id)
        return Carriage(self.registry, gateway, statement, time_ms // 1000, book)

    def _read(
        self,
        overlay: Overlay,
        carriage: Carriage,
        batch: Batch,
        touched: set[tuple[str, int]],
    ) -> tuple[bytes, ...]:
        """Decide about each reading; note the windows that have a new one."""
        results = []
        for encoded, signed in zip(batch.readings, self._opened.of(batch), strict=True):
            if signed is None:
                admission = Admission(MALFORMED, b"", None)
            else:
                admission = admit(carriage, overlay, signed)
            meter = admission.meter
            zone = "" if meter is None else meter.zone
            digest = hashlib.sha256(encoded).digest()
            result = ReadingResult(digest, admission.code, admission.thumbprint, zone)
            results.append(result.encoded)
            if signed is not None and meter is not None and admission.code == ACCEPTED:
                start_s = signed.reading.interval_start_s
                touched.update((name, start_s) for name in self.registry.zones_of_meter[meter.id])
        return tuple(results)

    def commit(self, execution: Execution) -> None:
        """Make an execution real; it must be of the state as it is."""
        assert execution.parent_root == self.state.root, "executed on another state"
        self.state.apply(execution.writes)

    def restore(self, rows: Iterable[tuple[str, bytes, bytes]]) -> None:
        """Take the state from the rows that earlier executions wrote, in any order."""
        self.state = State.restore(self._network, rows)
