"""One block, executed speculatively: results, seals, roots and the rows that would change.

Decides in which order things happen: transaction by transaction, reading by reading, then the zone
seals; and what makes a block invalid. Which readings are accepted, which registry transactions
stand and which windows are sealed is decided by the rules.
"""

import hashlib
from dataclasses import dataclass, field
from typing import NamedTuple

from validator.app.admission import MALFORMED, Carriage, admit
from validator.app.affairs import Affairs, Outcome
from validator.app.carrier import (
    WITNESS_AHEAD,
    Carrier,
    RefusedBatch,
    SignatureBook,
    check_carrier,
)
from validator.app.cases import Now
from validator.app.enrolment import Moment
from validator.app.neighbours import Gap
from validator.app.opening import OpenedReadings
from validator.app.records import BATCH, OFFENCE, key
from validator.app.registries import Registries
from validator.app.registry import Registry
from validator.app.resolving import resolve
from validator.app.sealing import Fresh, Hole, seal_windows
from validator.app.state import Overlay, State, Write
from validator.app.terms import KeptTerms, Terms
from wire import merkle
from wire.block import MAX_READINGS
from wire.errors import Refused
from wire.reading import Reading
from wire.resolution import ResolveCase
from wire.results import ACCEPTED, LATE, TxResult, result_leaf
from wire.transaction import Transaction
from wire.witness import Batch, SignedWitness, WitnessStatement

MOST_CHANGES = 32
"""Registry transactions of one block."""

_NO_READINGS = merkle.root([])


class InvalidBlock(Refused):
    """A block that no honest proposer makes."""

    code = "invalid-block"


class Misbehaviour(NamedTuple):
    """What a validator is proved to have done; who proves it, and how, the node has checked."""

    validator: str
    """Validator id."""

    height: int
    """Block height at which it did."""

    kind: str
    """Its name."""


class AcceptedRow(NamedTuple):
    """An accepted reading, and where it stands."""

    row: bytes
    """Its key in the state's table of readings."""

    batch_id: bytes
    """Its batch, 32 bytes."""

    position: int
    """Place in the batch, from 0."""

    zone: str
    """The meter's zone."""

    late: bool
    """It came after the acceptance window."""

    reading: Reading
    """Its content."""


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

    params_hash: bytes
    """SHA-256 of the parameters in force."""

    state_root: bytes
    """State root after the block."""

    tx_results: tuple[bytes, ...]
    """Encoded TxResults, in order of transactions."""

    reading_results: tuple[tuple[bytes, ...], ...]
    """Encoded ReadingResults of each transaction, in order of its batch."""

    accepted: tuple["AcceptedRow", ...]
    """Every reading that was accepted, late ones too, in order of transactions."""

    seals: tuple[bytes, ...]
    """Encoded ZoneSeals, in order of (zone, start)."""

    seal_inputs: tuple[tuple[bytes, ...], ...]
    """For each seal the SHA-256 of the readings that it used: the leaves under `inputs_root`."""

    writes: tuple[Write, ...]
    """Rows that change; (table, key, None) removes one."""

    affairs: Affairs
    """What is registered, and who rules, after the block."""


def offence_row(offence: Misbehaviour) -> bytes:
    """Where the state keeps an offence."""
    return key(f"{offence.validator}/{offence.kind}", offence.height)


def offence_of(row: bytes) -> Misbehaviour:
    """The offence that a row of the state is about."""
    name, height = row[:-9].decode(), int.from_bytes(row[-8:], "big")
    validator, _, kind = name.rpartition("/")
    return Misbehaviour(validator, height, kind)


def is_ahead(registry: Registry, statement: WitnessStatement, time_ms: int) -> bool:
    """Tell whether a witness is so far ahead of block time that only waiting cures it."""
    ahead_ms = registry.parameters.witness_ahead_ms
    return statement.witnessed_at_s * 1000 > time_ms + ahead_ms


def open_witness(transaction: bytes) -> SignedWitness:
    """Decode a transaction; raises InvalidBlock when it is no witness statement."""
    try:
        return SignedWitness.open(transaction)
    except Refused as reason:
        raise InvalidBlock(f"a transaction that is no witness statement: {reason}") from None


def outcome_of(
    affairs: Affairs,
    overlay: Overlay,
    transaction: Transaction,
    moment: Moment,
    book: SignatureBook,
) -> Outcome:
    """Execute a transaction that is no batch on an overlay.

    Raises:
        RefusedTransaction: with its reason; nothing is written then.
    """
    if isinstance(transaction.body, ResolveCase):
        public = resolve(affairs.registries, overlay, transaction, moment, book)
        return Outcome(affairs, (), public.thumbprint)
    outcome = affairs.after(transaction, moment, book)
    for table, row, value in outcome.writes:
        overlay.put(table, row, value)
    return outcome


@dataclass(slots=True)
class BlockRun:
    """A block while it is being executed."""

    affairs: Affairs
    """What is registered, and who rules; changes with the block's transactions."""

    state: State
    """The state that it is executed on; stays as it is."""

    opened: OpenedReadings
    """Decoded readings."""

    kept: KeptTerms
    """What of the registries has been gathered."""

    moment: Moment
    """The block's network, height and time."""

    book: SignatureBook
    """Which signatures stand."""

    overlay: Overlay = field(init=False)
    """The block's writes."""

    room: int = MAX_READINGS
    """How many more readings it may have."""

    changes: int = MOST_CHANGES
    """How many more registry transactions it may have."""

    fresh: Fresh = field(default_factory=Fresh)
    """Windows that have new readings, and gaps beside them."""

    tx_leaves: list[bytes] = field(default_factory=list)
    """Leaf hashes under `tx_root`."""

    tx_results: list[bytes] = field(default_factory=list)
    """Encoded TxResults."""

    reading_results: list[tuple[bytes, ...]] = field(default_factory=list)
    """Encoded ReadingResults."""

    accepted: list[AcceptedRow] = field(default_factory=list)
    """Readings that were accepted."""

    def __post_init__(self) -> None:
        self.overlay = Overlay(self.state)
        self.kept.tidy()

    @property
    def registries(self) -> Registries:
        """Who and what is registered, interval by interval."""
        return self.affairs.registries

    @property
    def time_s(self) -> int:
        """Block time, Unix seconds."""
        return self.moment.time_ms // 1000

    def change(self, encoded: bytes) -> None:
        """Execute a registry transaction.

        Raises:
            InvalidBlock: the block may not carry it.
        """
        self.changes -= 1
        if self.changes < 0:
            raise InvalidBlock(f"more than {MOST_CHANGES} registry transactions")
        try:
            transaction = Transaction.open(encoded)
            outcome = outcome_of(self.affairs, self.overlay, transaction, self.moment, self.book)
        except Refused as reason:
            raise InvalidBlock(f"a registry transaction: {reason}") from None
        self.affairs = outcome.affairs
        result = TxResult(transaction.id, ACCEPTED, _NO_READINGS, outcome.thumbprint)
        self.tx_leaves.append(merkle.leaf_hash(encoded))
        self.tx_results.append(result.encoded)
        self.reading_results.append(())

    def hold_against(self, offence: Misbehaviour) -> None:
        """Write down what a validator did; raises InvalidBlock when it stands there already."""
        row = offence_row(offence)
        if self.overlay.get(OFFENCE, row) is not None:
            raise InvalidBlock(f"{offence.kind} of {offence.validator} is on the ledger already")
        self.overlay.put(OFFENCE, row, self.moment.height.to_bytes(8, "big"))

    def take(self, witness: SignedWitness, batch: Batch) -> None:
        """Execute a batch under the statement that the block carries.

        Raises:
            InvalidBlock: the block may not carry it.
        """
        self.room -= len(batch.readings)
        if self.room < 0:
            raise InvalidBlock(f"more than {MAX_READINGS} readings")
        carrier = self._carrier(witness)
        results = self._read(self._carriage(witness.statement, carrier), batch)
        root = merkle.root([merkle.leaf_hash(result) for result in results])
        thumbprint = carrier.key.thumbprint
        self.tx_leaves.append(merkle.leaf_hash(witness.cose.sig_structure))
        self.tx_results.append(TxResult(witness.batch_id, ACCEPTED, root, thumbprint).encoded)
        self.reading_results.append(results)

    def _carrier(self, witness: SignedWitness) -> Carrier:
        """Put the batch on the ledger; raises InvalidBlock when its witness does not stand."""
        statement = witness.statement
        try:
            carrier = check_carrier(self.registries, witness, self.moment.height, self.book)
            if is_ahead(self.registries.base, statement, self.moment.time_ms):
                raise RefusedBatch(WITNESS_AHEAD, f"{statement.witnessed_at_s} s")
        except Refused as reason:
            raise InvalidBlock(f"batch {witness.batch_id.hex()}: {reason}") from None
        row = key(statement.gateway, statement.sequence)
        if self.overlay.get(BATCH, row) is not None:
            raise InvalidBlock(f"{statement.gateway} has a batch {statement.sequence} already")
        self.overlay.put(BATCH, row, witness.batch_id)
        return carrier

    def _carriage(self, statement: WitnessStatement, carrier: Carrier) -> Carriage:
        registries = self.registries
        terms = self.kept.by(registries, carrier.gateway, statement.witnessed_at_s)
        return Carriage(registries, terms, statement, self.moment.height, self.time_s, self.book)

    def _read(self, carriage: Carriage, batch: Batch) -> tuple[bytes, ...]:
        """Decide about each reading; note the windows that have a new one."""
        results = []
        batch_id, opened = batch.batch_id, self.opened.of(batch)
        for position, (encoded, signed) in enumerate(zip(batch.readings, opened, strict=True)):
            digest = hashlib.sha256(encoded).digest()
            if signed is None:
                results.append(result_leaf(digest, MALFORMED, b"", ""))
                continue
            code, thumbprint, terms, gaps, row = admit(carriage, self.overlay, signed, digest)
            zone = "" if terms is None else terms.meter.zone
            results.append(result_leaf(digest, code, thumbprint, zone))
            if terms is None or not row:
                continue
            late = code == LATE
            self.accepted.append(AcceptedRow(row, batch_id, position, zone, late, signed.reading))
            if code == ACCEPTED:
                self._touch(terms, signed.reading, gaps)
        return tuple(results)

    def _touch(self, terms: Terms, reading: Reading, gaps: tuple[Gap, ...]) -> None:
        """Note the windows that an accepted reading belongs to, and the gaps beside it."""
        for zone in terms.zones:
            self.fresh.windows.add((zone, reading.interval_start_s))
        for gap in gaps:
            self._note_hole(reading.meter, gap.start_s, gap.for_good)
        if terms.replaces:
            self._touch_exchange(terms, reading)

    def _note_hole(self, meter: str, start_s: int, for_good: bool) -> None:
        zones = self.registries.at(start_s).zones_of_meter.get(meter, ())
        self.fresh.holes.update(Hole(zone, start_s, meter, for_good) for zone in zones)

    def _touch_exchange(self, terms: Terms, reading: Reading) -> None:
        """The first reading after an exchange of meters shows the gap before it."""
        exchange = self.registries.exchange(reading.meter)
        (before, _), _ = self.overlay.around(terms.lane, reading.sequence)
        if exchange is not None and before < 0:
            for meter in (reading.meter, exchange.old):
                gap_s = reading.interval_start_s - reading.interval_s
                self._note_hole(meter, gap_s, False)

    def finish(self) -> Execution:
        """Seal what the block makes due and compute its roots."""
        height = self.moment.height
        sealed = seal_windows(self.registries, self.overlay, Now(height, self.time_s), self.fresh)
        seals = tuple(each.seal.encoded for each in sealed)
        state_root, writes = self.overlay.finish(height)
        return Execution(
            height=height,
            parent_root=self.state.root,
            tx_root=merkle.root(self.tx_leaves),
            results_root=merkle.root([merkle.leaf_hash(result) for result in self.tx_results]),
            zone_root=merkle.root([merkle.leaf_hash(seal) for seal in seals]),
            params_hash=self.affairs.ruling.table(height).hash,
            state_root=state_root,
            tx_results=tuple(self.tx_results),
            reading_results=tuple(self.reading_results),
            accepted=tuple(self.accepted),
            seals=seals,
            seal_inputs=tuple(each.inputs for each in sealed),
            writes=writes,
            affairs=self.affairs,
        )
