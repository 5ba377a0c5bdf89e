"""Enrolments for tests: the village with a technician, and what the parties sign."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.app.village import (
    INTERVAL_S,
    START_S,
    Register,
    Village,
    block_ms,
    meter_entry,
    signer,
)
from validator.app.application import RefusedTransaction
from wire import cbor
from wire.cose import Sign
from wire.genesis import Genesis
from wire.keys import SoftSigner
from wire.results import REASONS
from wire.transaction import Transaction, enrolment_of, payload_of
from wire.transaction_bodies import RETIRE_METER, EnrolMeter, Retirement

TECHNICIAN = "tech-1"
NEW = "c9"
NONCE = bytes(range(16))


def technician_entry(name: str, operator: str = "PEA") -> dict[str, Any]:
    return {
        "id": name,
        "name": "Somchai",
        "key": signer(name).public.text,
        "operator": operator,
    }


def with_technician(content: dict[str, Any]) -> None:
    """Edit the village's genesis: a technician of PEA, and one of MEA."""
    mea = {"id": "MEA", "name": "", "type": "MEA", "key": signer("MEA").public.text}
    content["authorities"].append(mea)
    content["technicians"] = [technician_entry(TECHNICIAN), technician_entry("tech-mea", "MEA")]


def enrolling_village() -> Village:
    return Village(with_technician)


def starts(slot: int) -> int:
    """Start of an interval, Unix seconds."""
    return START_S + slot * INTERVAL_S


@dataclass
class Enrolment:
    """What may be wrong with an enrolment, field by field; right by default."""

    genesis: Genesis
    """The network."""

    slot: int = 2
    """First interval for which it holds."""

    meter: str = NEW
    """Meter id and the name of its key."""

    key: SoftSigner | None = None
    """The meter's key, when it is not the one of its name."""

    signers: Iterable[str | SoftSigner] | None = None
    """Who signs the transaction; the meter, the technician and PEA."""

    record_signers: Iterable[str | SoftSigner] | None = None
    """Who signs the commissioning record; the meter and the technician."""

    record: dict[str, Any] = field(default_factory=dict)
    """What the commissioning record says otherwise."""

    record_type: str = "application/x-gridwitness-commissioning"
    """Content type of the commissioning record."""

    carried: bytes | None = None
    """The record that is carried, when it is not the one that the entry names."""

    entry: dict[str, Any] = field(default_factory=dict)
    """What the entry says otherwise."""

    network: bytes | None = None
    """Another network's id."""

    nonce: bytes = NONCE
    """Of the transaction."""

    expiry_height: int = 1_000
    """Of the transaction."""

    from_s: int | None = None
    """Start of the first interval, when it is not the slot's."""

    @property
    def own(self) -> SoftSigner:
        return self.key or signer(self.meter)

    def commissioning(self) -> bytes:
        content: dict[str, Any] = {"meter": self.meter, "node": "n3", "zone": "z1", "unit": 9}
        content |= {"element": {"kind": "simulated"}} | self.record
        record = Sign(cbor.encode({3: self.record_type}), cbor.encode(content))
        signers = self.record_signers
        for each in (self.own, TECHNICIAN) if signers is None else signers:
            record = record.signed_by(signer(each) if isinstance(each, str) else each)
        return record.encoded

    def written(self, commissioning: bytes) -> dict[str, Any]:
        payload = cbor.decode(commissioning).value[2]
        identity = {"configuration_id": hashlib.sha256(payload).hexdigest()[:16]}
        own = {"key": self.own.public.text, "node": "n3"}
        entry = meter_entry(self.meter, "n3", "customer") | own | identity | self.entry
        return entry

    def body(self) -> EnrolMeter:
        commissioning = self.commissioning()
        return EnrolMeter(
            self.written(commissioning),
            starts(self.slot) if self.from_s is None else self.from_s,
            commissioning if self.carried is None else self.carried,
        )

    def transaction(self) -> Transaction:
        body = self.body()
        network = self.genesis.network if self.network is None else self.network
        transaction = Transaction.of(payload_of(network, self.nonce, self.expiry_height, body))
        signers = self.signers
        for each in (self.own, TECHNICIAN, "PEA") if signers is None else signers:
            transaction = transaction.with_signature(
                signer(each) if isinstance(each, str) else each
            )
        return transaction


def enrol(village: Village, slot: int, meter: str = NEW) -> Transaction:
    """An enrolment that stands; the village's meters have the new one."""
    transaction = Enrolment(village.genesis, slot, meter).transaction()
    village.meters[meter] = Register(dict(enrolment_of(transaction).entry))
    return transaction


def retire(genesis: Genesis, meter: str, slot: int, *signers: str) -> Transaction:
    body = Retirement(RETIRE_METER, meter, starts(slot))
    transaction = Transaction.of(payload_of(genesis.network, NONCE, 1_000, body))
    for name in signers or ("PEA",):
        transaction = transaction.with_signature(signer(name))
    return transaction


def refusal(village: Village, transaction: Transaction, slot: int = 0) -> str:
    """Name of the reason for which the next block may not carry it; "" when it may."""
    try:
        village.check(transaction, block_ms(slot))
    except RefusedTransaction as refused:
        return REASONS[refused.reason].name
    return ""
