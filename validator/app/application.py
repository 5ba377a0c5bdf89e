"""The validators' application: a deterministic state machine over batches and registry changes.

Decides which batches and registry transactions may stand in a block and what follows from them: a
result for every reading, the zone seals, settlement, the registry of coming intervals, and the
roots that the header commits to. It keeps the state in memory and gives every change as rows, which
the node stores; it never sees a consensus type, a clock or a disk.

Its face are the verbs of ABCI 2.0: the constructor (InitChain), `check_tx`, `prepare_proposal`,
`process_proposal`, `finalize_block`, `commit`; the state's height and root (Info); what may be
asked (Query); and `restore`, which takes a state from its rows (a snapshot's chunks). Votes have no
extension.
"""

from collections.abc import Iterable, Mapping, Sequence

from validator.app import inquiry
from validator.app.affairs import Affairs
from validator.app.carrier import (
    WITNESS_EQUIVOCATION,
    RefusedBatch,
    SignatureBook,
    check_carrier,
    named_carrier,
)
from validator.app.changes import stored_change
from validator.app.enrolment import Moment, RefusedTransaction
from validator.app.execution import (
    MOST_CHANGES,
    AcceptedRow,
    BlockRun,
    Execution,
    InvalidBlock,
    Misbehaviour,
    is_ahead,
    offence_of,
    offence_row,
    open_witness,
    outcome_of,
)
from validator.app.inquiry import CaseOutline, CaseReport, CreditedWindow
from validator.app.opening import OpenedReadings
from validator.app.paging import Shelf
from validator.app.records import (
    BATCH,
    GOVERNANCE,
    OFFENCE,
    READING,
    REGISTRY,
    RESOLUTION,
    RULING,
    AcceptedReading,
    Tally,
    key,
)
from validator.app.registries import Registries
from validator.app.registry import BadRegistry, Registry
from validator.app.ruling import Ruling
from validator.app.state import Overlay, State
from validator.app.terms import KeptTerms
from validator.app.turns import Turns
from wire.block import MAX_READINGS
from wire.errors import Unavailable
from wire.genesis import Genesis
from wire.transaction import Transaction, is_registry_transaction
from wire.witness import Batch

__all__ = [
    "AcceptedRow",
    "Application",
    "Execution",
    "InvalidBlock",
    "Misbehaviour",
    "RefusedBatch",
    "RefusedTransaction",
    "SignatureBook",
]


class Application:
    """One network's rules and state."""

    def __init__(self, genesis: Genesis) -> None:
        """Raises BadRegistry or Malformed when the genesis file cannot be used."""
        registry = Registry.of(genesis)
        ruling = Ruling.begin(genesis, registry.authorities.values())
        if ruling.authority_keys_ever & ruling.validator_keys_ever:
            raise BadRegistry(["an authority's key is a validator's: one decides, one votes"])
        self.affairs = Affairs(Registries(registry), ruling)
        """Who and what is registered, and who rules, as of the newest committed block."""

        self.state = State(genesis.network)
        """The state after the newest committed block."""

        self._network = genesis.network
        self._shelf: Shelf | None = None
        self._genesis = self.affairs
        self.opened = OpenedReadings()
        """Decoded readings of the batches used last; may be asked from several threads."""

        self._kept_terms = KeptTerms()
        self._turns = Turns()

    @property
    def registries(self) -> Registries:
        """Who and what is registered, interval by interval."""
        return self.affairs.registries

    @property
    def ruling(self) -> Ruling:
        """Validators, authorities and parameters, height by height."""
        return self.affairs.ruling

    def included(self, gateway: str, sequence: int) -> bytes | None:
        """Id of the batch that stands on the ledger under this sequence, None when none does."""
        return self.state.get(BATCH, key(gateway, sequence))

    def is_held_against(self, offence: Misbehaviour) -> bool:
        """Whether the ledger tells of it already."""
        return self.state.get(OFFENCE, offence_row(offence)) is not None

    def offences(self) -> list[tuple[Misbehaviour, int]]:
        """What validators are proved to have done, with the height of the block that says so."""
        return [
            (offence_of(row), int.from_bytes(value, "big"))
            for row, value in self.state.rows(OFFENCE)
        ]

    def energy(self, meter: str, start_s: int) -> tuple[int, int] | None:
        """Import and export of a meter's accepted reading of an interval, Wh.

        May be asked from another thread.
        """
        shelf, name = self._shelf, meter.encode() + b"\0"
        rows = (
            self.state.index.claims(name, start_s)
            if shelf is None
            else shelf.claims(key(name, start_s), late=False)
        )
        for row in rows:
            value = self.state.get(READING, row) if shelf is None else shelf.get(READING, row)
            if value is not None:
                found = AcceptedReading.of(value)
                return found.import_advance_wh, found.export_advance_wh
        return None

    # May be asked from another thread.

    def cases(self, zone: str = "", open_only: bool = False) -> list[CaseOutline]:
        """Windows that authorities have to look at: all, a zone's, or those that are open."""
        return inquiry.cases(self.state.aside(), zone, open_only)

    def case(self, zone: str, start_s: int) -> CaseReport | None:
        """The case about a zone's window with what is known of it, None when there is none."""
        return inquiry.case(self.registries, self.state.aside(), zone, start_s)

    def credits(self, meter: str, from_s: int, to_s: int) -> list[CreditedWindow]:
        """What was settled for a meter in windows that start in [from, to), ascending."""
        return inquiry.credits_of(self.registries, self.state.aside(), meter, from_s, to_s)

    def tally(self, zone: str) -> Tally:
        """A zone's record: how many seals said what, and its cases."""
        return inquiry.tally(self.state.aside(), zone)

    # Of the validator's own thread.

    def check_tx(self, tx: Batch | Transaction, book: SignatureBook, time_ms: int = 0) -> None:
        """CheckTx: decide whether the mempool may take a batch or a transaction.

        Args:
            tx: the batch or transaction.
            book: which signatures stand.
            time_ms: for a transaction, the earliest time of the block that may carry it.

        Raises:
            RefusedBatch: for its carrier's faults, with a reason code. A batch that is on the
                ledger already passes: the node answers it again from its store.
            RefusedTransaction: the next block may not carry it at that time.
        """
        if isinstance(tx, Batch):
            self._check_batch(tx, book)
        else:
            outcome_of(self.affairs, Overlay(self.state), tx, self._next(time_ms), book)

    def _check_batch(self, batch: Batch, book: SignatureBook) -> None:
        statement = batch.witness.statement
        known = self.included(statement.gateway, statement.sequence)
        if known == batch.batch_id:
            return
        check_carrier(self.registries, batch.witness, self.state.height + 1, book)
        if known is not None:
            raise RefusedBatch(WITNESS_EQUIVOCATION, f"sequence {statement.sequence}")

    def may_stand(self, batch: Batch) -> bool:
        """Whether the registry still lets the next block have a batch that `check_tx` let pass.

        Its key may have been called compromised since.
        """
        try:
            named_carrier(self.registries, batch.witness, self.state.height + 1)
        except RefusedBatch:
            return False
        return True

    def height_of(self, transaction: bytes) -> int | None:
        """The block that has a transaction of this id, None when none has."""
        resolved = self.state.get(RESOLUTION, transaction)
        return (
            self.affairs.height_of(transaction)
            if resolved is None
            else int.from_bytes(resolved, "big")
        )

    def _next(self, time_ms: int) -> Moment:
        return Moment(self._network, self.state.height + 1, time_ms)

    def prepare_proposal(
        self,
        time_ms: int,
        transactions: Sequence[Transaction],
        batches: Sequence[Batch],
        book: SignatureBook,
        max_readings: int = MAX_READINGS,
    ) -> tuple[list[Transaction], list[Batch]]:
        """PrepareProposal: choose what a block of that time may carry, in the order of the block.

        Args:
            time_ms: the block's time.
            transactions: what waits.
            batches: what waits, and `check_tx` let pass.
            book: which signatures stand.
            max_readings: room in the block.
        """
        changes = self._pick_transactions(time_ms, transactions, book)
        return changes, self._pick(time_ms, batches, max_readings)

    def _pick_transactions(
        self, time_ms: int, candidates: Sequence[Transaction], book: SignatureBook
    ) -> list[Transaction]:
        """Choose transactions for a block: authorities' first, then those that hold earliest.

        Args:
            time_ms: the block's time.
            candidates: what waits; whatever does not stand by now, or not beside those chosen
                before it, is left.
            book: which signatures stand.
        """
        picked: list[Transaction] = []
        affairs, moment, overlay = self.affairs, self._next(time_ms), Overlay(self.state)
        for transaction in sorted(candidates, key=lambda each: (each.from_s, each.id)):
            if len(picked) == MOST_CHANGES:
                break
            try:
                affairs = outcome_of(affairs, overlay, transaction, moment, book).affairs
            except RefusedTransaction:
                continue
            picked.append(transaction)
        return picked

    def _pick(self, time_ms: int, candidates: Sequence[Batch], max_readings: int) -> list[Batch]:
        """Choose batches for a block: gateways take turns where not all have room (`app.turns`).

        Args:
            time_ms: the block's time.
            candidates: batches that `check_tx` let pass.
            max_readings: room in the block.

        Returns:
            Batches that a block of that time may carry, in the order in which it should: oldest
            interval first, then gateway and sequence.
        """
        picked: list[int] = []
        taken: set[bytes] = set()
        room = max_readings
        aged = sorted(candidates, key=self._age)
        for place in self._turns.order(aged):
            batch = aged[place]
            statement = batch.witness.statement
            row = key(statement.gateway, statement.sequence)
            if len(batch.readings) > room or row in taken:
                continue
            if self.state.get(BATCH, row) is not None:
                continue
            if is_ahead(self.registries.base, statement, time_ms) or not self.may_stand(batch):
                continue
            picked.append(place)
            taken.add(row)
            room -= len(batch.readings)
        return [aged[place] for place in sorted(picked)]

    def _age(self, batch: Batch) -> tuple[int, str, int, bytes]:
        statement = batch.witness.statement
        oldest_s = self.opened.oldest_start_s(batch)
        return oldest_s, statement.gateway, statement.sequence, batch.batch_id

    def process_proposal(
        self,
        height: int,
        time_ms: int,
        transactions: Sequence[bytes],
        batches: Mapping[bytes, Batch],
        book: SignatureBook,
        misbehaviour: Sequence[Misbehaviour] = (),
    ) -> Execution:
        """ProcessProposal: what `finalize_block` would give; whoever votes for it keeps it.

        Raises:
            InvalidBlock: reject; no honest proposer makes this block.
            Unavailable: a batch is not at hand.
        """
        return self.finalize_block(height, time_ms, transactions, batches, book, misbehaviour)

    def finalize_block(
        self,
        height: int,
        time_ms: int,
        transactions: Sequence[bytes],
        batches: Mapping[bytes, Batch],
        book: SignatureBook,
        misbehaviour: Sequence[Misbehaviour] = (),
    ) -> Execution:
        """FinalizeBlock: execute a block on the committed state; nothing changes before `commit`.

        Args:
            height: its height.
            time_ms: its time.
            transactions: registry transactions and witness statements.
            batches: by batch id; `Batch.open` or `Batch.join` has checked their roots.
            book: which signatures stand.
            misbehaviour: what the block's evidence proves of validators.

        Raises:
            InvalidBlock: no honest proposer makes this block.
            Unavailable: a batch is not at hand.
        """
        moment = Moment(self._network, height, time_ms)
        affairs = self.affairs.at(height)
        run = BlockRun(affairs, self.state, self.opened, self._kept_terms, moment, book)
        for offence in misbehaviour:
            run.hold_against(offence)
        for transaction in transactions:
            if is_registry_transaction(transaction):
                run.change(transaction)
                continue
            witness = open_witness(transaction)
            batch = batches.get(witness.batch_id)
            if batch is None:
                raise Unavailable(f"batch {witness.batch_id.hex()} is not here yet")
            run.take(witness, batch)
        return run.finish()

    def commit(self, execution: Execution) -> None:
        """Commit: make an execution real; it must be of the state as it is."""
        assert execution.parent_root == self.state.root, "executed on another state"
        self.state.apply(execution.writes)
        self._turns.had(execution.writes, execution.height)
        self.affairs = execution.affairs.at(execution.height + 1)

    def restore(self, rows: Iterable[tuple[str, bytes, bytes]], shelf: Shelf | None = None) -> None:
        """Take the state from the rows that earlier executions wrote, in any order.

        Args:
            rows: of all tables; with a shelf those of paged tables may be missing.
            shelf: the rows on the disk, always as of the newest committed block.
        """
        self._shelf = shelf
        self.state = State.restore(self._network, rows, shelf)
        changes = [stored_change(value) for _, value in self.state.rows(REGISTRY)]
        ruling = self._genesis.ruling.restored(self.state.rows(RULING), self.state.rows(GOVERNANCE))
        registries = Registries(self._genesis.registries.base, changes)
        self.affairs = Affairs(registries, ruling).at(self.state.height + 1)
