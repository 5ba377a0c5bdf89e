"""The receipt: the proof of one reading, in one file, offline and for ever.

Decides whether every link from the genesis file down to the reading holds: seals, header, paths,
results, witness, meter; and names the first that does not.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Self

from wire import cbor, fields
from wire.block import Commit, Header, ValidatorSet, transaction_leaf
from wire.errors import Malformed, Refused
from wire.genesis import Genesis
from wire.keys import PublicKey
from wire.light import Checkpoint, LightClient, SetChange
from wire.links import BrokenLink, Inclusion, link, sealed_header
from wire.reading import Reading, SignedReading
from wire.results import ACCEPTED, LATE, REASONS, ReadingResult, TxResult, ZoneSeal
from wire.witness import SignedWitness, WitnessStatement


@dataclass(frozen=True)
class ZoneProof:
    """The zone seal that settled a reading, in its own block."""

    seal: bytes
    """Encoded ZoneSeal."""

    inclusion: Inclusion
    """Of the seal under `zone_root`."""

    header: bytes
    """Header of the block that derived it."""

    commit: Commit
    """Seals of that header."""

    reading_inclusion: Inclusion
    """Of the reading's SHA-256 under the seal's `inputs_root`."""

    def items(self) -> list[Any]:
        """As encoded."""
        return [
            self.seal,
            self.inclusion.items(),
            self.header,
            self.commit.items(),
            self.reading_inclusion.items(),
        ]

    @classmethod
    def from_items(cls, value: Any) -> Self:
        """Read a decoded proof; raises Malformed."""
        seal, inclusion, header, commit, reading_inclusion = fields.items(value, "zone proof", 5)
        return cls(
            fields.blob(seal, "zone seal"),
            Inclusion.from_items(inclusion),
            fields.blob(header, "header"),
            Commit.from_items(commit),
            Inclusion.from_items(reading_inclusion),
        )


@dataclass(frozen=True)
class VerifiedReceipt:
    """What a receipt proves, once every link has been checked."""

    reading: Reading
    """The meter's word."""

    witness: WitnessStatement
    """The gateway's word."""

    header: Header
    """The block that has it."""

    seals: tuple[str, ...]
    """Validators that sealed that block."""

    validators: ValidatorSet
    """The set that they are of."""

    result: ReadingResult
    """What they decided: accepted, in which zone."""

    zone_seal: ZoneSeal | None
    """The zone's verdict, when the receipt carries it."""


@dataclass(frozen=True)
class Receipt:
    """The offline proof of one reading."""

    reading: bytes
    """1: the signed reading."""

    witness: bytes
    """2: the witness statement."""

    inclusion: Inclusion
    """3: of the reading under the witness root."""

    witness_inclusion: Inclusion
    """4: of the witness statement under `tx_root`."""

    header: bytes
    """5: header of the block."""

    commit: Commit
    """6: its seals."""

    changes: tuple[SetChange, ...]
    """7: validator-set changes since genesis."""

    zone: ZoneProof | None
    """8: the zone seal that settled it."""

    reading_result: bytes
    """9a: encoded ReadingResult."""

    reading_result_inclusion: Inclusion
    """9b: of it under the batch's `readings_root`."""

    tx_result: bytes
    """9c: encoded TxResult."""

    tx_result_inclusion: Inclusion
    """9d: of it under `results_root`."""

    meter_key: PublicKey
    """10: key that signed the reading."""

    gateway_key: PublicKey
    """11: key that signed the witness statement."""

    @property
    def encoded(self) -> bytes:
        """The receipt file."""
        content: dict[int, Any] = {
            1: self.reading,
            2: self.witness,
            3: self.inclusion.items(),
            4: self.witness_inclusion.items(),
            5: self.header,
            6: self.commit.items(),
            7: [change.items() for change in self.changes],
            9: [
                self.reading_result,
                self.reading_result_inclusion.items(),
                self.tx_result,
                self.tx_result_inclusion.items(),
            ],
            10: self.meter_key.to_cose(),
            11: self.gateway_key.to_cose(),
        }
        if self.zone is not None:
            content[8] = self.zone.items()
        return cbor.encode(content)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a receipt file; raises Malformed when it is none."""
        content = cbor.decode(data)
        if not isinstance(content, dict) or content.keys() | {8} != set(range(1, 12)):
            raise Malformed("not a receipt: a map with the keys 1 to 11 (8 may be absent)")
        result = fields.items(content[9], "result", 4)
        return cls(
            fields.blob(content[1], "reading"),
            fields.blob(content[2], "witness"),
            Inclusion.from_items(content[3]),
            Inclusion.from_items(content[4]),
            fields.blob(content[5], "header"),
            Commit.from_items(content[6]),
            tuple(SetChange.from_items(item) for item in fields.items(content[7], "changes")),
            ZoneProof.from_items(content[8]) if 8 in content else None,
            fields.blob(result[0], "reading result"),
            Inclusion.from_items(result[1]),
            fields.blob(result[2], "transaction result"),
            Inclusion.from_items(result[3]),
            link("reading", lambda: PublicKey.from_cose(content[10])),
            link("witness", lambda: PublicKey.from_cose(content[11])),
        )

    def verify(self, genesis: Genesis, checkpoint: Checkpoint | None = None) -> VerifiedReceipt:
        """Check every link from the genesis file, or a checkpoint, down to the reading.

        Raises:
            BrokenLink: with the first link that does not hold.
        """
        client = link("genesis", lambda: LightClient.of(genesis, checkpoint))
        header = sealed_header(client, self.header, self.commit, self.changes)
        witness = self._check_witness(genesis, header)
        reading = self._check_reading(witness)
        result = self._check_results(header, witness)
        seal = (
            None
            if self.zone is None
            else self._check_zone(client, self.zone, reading.reading, result)
        )
        validators = client.validators(header.height)
        sealed_by = tuple(validators.ids[index] for index, _ in self.commit.seals)
        return VerifiedReceipt(
            reading.reading, witness.statement, header, sealed_by, validators, result, seal
        )

    def _check_witness(self, genesis: Genesis, header: Header) -> SignedWitness:
        witness = link("witness", lambda: SignedWitness.open(self.witness))
        link("witness", lambda: witness.verify(self.gateway_key))
        if witness.statement.network != genesis.topic_name:
            raise BrokenLink(
                "genesis", f"the witness speaks of network {witness.statement.network}"
            )
        self.witness_inclusion.check(
            header.tx_root, transaction_leaf(self.witness), "the witness statement"
        )
        return witness

    def _check_reading(self, witness: SignedWitness) -> SignedReading:
        reading = link("reading", lambda: SignedReading.open(self.reading))
        link("reading", lambda: reading.verify(self.meter_key))
        self.inclusion.check(witness.statement.root, self.reading, "the reading")
        return reading

    def _check_results(self, header: Header, witness: SignedWitness) -> ReadingResult:
        tx_result = link("inclusion", lambda: TxResult.decode(self.tx_result))
        self.tx_result_inclusion.check(header.results_root, self.tx_result, "the batch's result")
        result = link("inclusion", lambda: ReadingResult.decode(self.reading_result))
        self.reading_result_inclusion.check(
            tx_result.readings_root, self.reading_result, "the reading's result"
        )
        if (
            tx_result.tx_id != witness.batch_id
            or tx_result.witness_thumbprint != self.gateway_key.thumbprint
        ):
            raise BrokenLink(
                "witness", "the authorities decided about another batch or another gateway's key"
            )
        if result.reading_hash != hashlib.sha256(self.reading).digest():
            raise BrokenLink("reading", "the authorities decided about another reading")
        if result.code not in (ACCEPTED, LATE):
            reason = REASONS.get(result.code)
            words = f"code {result.code}" if reason is None else f"{reason.name}: {reason.words}"
            raise BrokenLink("reading", f"the authorities refused this reading ({words})")
        if result.key_thumbprint != self.meter_key.thumbprint:
            raise BrokenLink("reading", "the authorities accepted it by another key's signature")
        return result

    def _check_zone(
        self, client: LightClient, proof: ZoneProof, reading: Reading, result: ReadingResult
    ) -> ZoneSeal:
        try:
            header = sealed_header(client, proof.header, proof.commit)
            proof.inclusion.check(header.zone_root, proof.seal, "the zone seal")
            seal = ZoneSeal.decode(proof.seal)
            digest = hashlib.sha256(self.reading).digest()
            proof.reading_inclusion.check(
                seal.inputs_root, digest, "the reading among the seal's inputs"
            )
            start = reading.interval_start_s
            covered = seal.start_s <= start and start + reading.interval_s <= seal.end_s
            if seal.zone != result.zone or not covered:
                raise Malformed("the zone seal is for another zone or another time")
        except Refused as reason:
            raise BrokenLink("zone", str(reason)) from None
        return seal
