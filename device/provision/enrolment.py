"""The enrolment: a file that asks a network to register a meter, signed by one party after another.

It is a registry transaction (`wire.transaction`). On site the meter and the technician sign it,
without a network; the grid operator adds the last signature and sends it (`submission`). Decides
the meter's entry from the commissioning record and its placement, and what of an enrolment can be
checked before anybody is asked; made again of the same facts it is the same transaction, byte for
byte, so that a repeated provisioning never enrols twice. Whether it stands, the validators decide.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsm.durable import sync_folder
from wire import cbor, fields
from wire.commissioning import CommissioningRecord
from wire.errors import BadSignature, Malformed, Refused
from wire.event import time_words
from wire.genesis import Genesis
from wire.keys import PublicKey, Signer
from wire.transaction import (
    MOST_BYTES,
    NONCE_SIZE,
    Transaction,
    enrolment_of,
    payload_of,
)
from wire.transaction_bodies import CommissionedMeter, EnrolMeter, ReplaceMeter

ROLES = ("boundary", "customer", "source")
SUFFIX = ".gwe"
"""Of an enrolment's file."""

NO_EXPIRY = 2**32
"""Expiry height of an enrolment made offline: `from` ends it anyway."""

AHEAD_S = 86_400
"""How long the operator has by default, before the first interval that counts begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What the registry must know of a meter beyond its commissioning record."""

    role: str
    """`boundary`, `customer` or `source`."""

    reader: str
    """Gateway that reads it."""

    rating_w: int
    """Service rating (fuse), watts."""

    installed_w: int = 0
    """Generation behind it, watts."""

    phases: int = 1
    """1 or 3."""

    class_ppm: tuple[tuple[int, int], ...] = ((0, 15_000), (50, 10_000))
    """Class limit from a load on: (permille of the rating, ppm); class 1 of IEC 62053-21."""

    register_wh: int = 1
    """Step of its registers, Wh."""

    radius_m: int = 50
    """How far from its site its own receiver may say it is, metres."""

    dead_wh: int = 0
    """Energy of an interval below which it may count nothing, Wh."""

    ct_ppm: int = 0
    """Limit of its transformers, ppm; 0 when directly connected."""

    holder: str = ""
    """SHA-256 of the secret in its holder's link, hexadecimal; empty: nobody gets a link."""

    def __post_init__(self) -> None:
        """Refuse on site what no registry would take; raises Malformed."""
        fields.identifier(self.reader, "reader")
        if self.role not in ROLES:
            raise Malformed(f"role: one of {', '.join(ROLES)}")
        if self.role == "source" and not self.installed_w:
            raise Malformed("installed_w: a source has generation behind it")
        if self.phases not in (1, 3):
            raise Malformed("phases: 1 or 3")
        loads = [load for load, _ in self.class_ppm]
        if loads[:1] != [0] or loads != sorted(set(loads)):
            raise Malformed("class_ppm: begins at load 0 and ascends")
        for name in ("rating_w", "register_wh"):
            if fields.uint(getattr(self, name), name) == 0:
                raise Malformed(f"{name}: must not be 0")


def entry_of(
    record: CommissioningRecord, meter: PublicKey, software_id: bytes, placement: Placement
) -> dict[str, Any]:
    """The meter as the genesis file would write it in `meters`.

    Raises:
        Malformed: what was commissioned has no site.
    """
    content = record.content
    if not content.get("site"):
        raise Malformed("the commissioning record has no site: the registry needs one")
    return {
        "id": content["meter"],
        "node": content["node"],
        "zone": content["zone"],
        "role": placement.role,
        "key": meter.text,
        "reader": placement.reader,
        "configuration_id": record.configuration_id.hex(),
        "class_ppm": [list(step) for step in placement.class_ppm],
        "register_wh": placement.register_wh,
        "rating_w": placement.rating_w,
        "installed_w": placement.installed_w,
        "phases": placement.phases,
        "site": list(content["site"]),
        "radius_m": placement.radius_m,
        "dead_wh": placement.dead_wh,
        "ct_ppm": placement.ct_ppm,
        "software": software_id.hex(),
        **({"holder": placement.holder} if placement.holder else {}),
    }


def first_interval(now_s: int, interval_s: int, ahead_s: int = AHEAD_S) -> int:
    """Start of the first interval that begins at least `ahead_s` after now, Unix seconds."""
    return -(-(now_s + ahead_s) // interval_s) * interval_s


def begin(
    network: bytes,
    entry: Mapping[str, Any],
    from_s: int,
    record: CommissioningRecord,
    replaces: str = "",
) -> Transaction:
    """An enrolment that nobody has signed yet; the same facts give the same bytes.

    The board signs `begin(...).to_sign(meter_key)`; it builds these bytes itself from
    `begin(...).sign.payload`.

    Args:
        network: network id, 32 bytes.
        entry: the meter.
        from_s: start of the first interval that counts, Unix seconds.
        record: its commissioning record.
        replaces: registered meter in whose place it hangs, and whose registers go on in it.
    """
    facts = cbor.encode([network, dict(entry), from_s, record.encoded])
    nonce = hashlib.sha256(b"gridwitness/enrolment/1" + facts).digest()[:NONCE_SIZE]
    body: CommissionedMeter = EnrolMeter(dict(entry), from_s, record.encoded)
    if replaces:
        body = ReplaceMeter(dict(entry), from_s, record.encoded, replaces)
    return Transaction.of(payload_of(network, nonce, NO_EXPIRY, body))


def on_site(
    transaction: Transaction, meter: PublicKey, signature: bytes, technician: Signer
) -> Transaction:
    """Add the board's signature and the technician's.

    Raises:
        BadSignature: the board signed something else.
        Unavailable: the technician's token is away.
    """
    return transaction.with_signature_of(meter, signature).with_signature(technician)


def read(path: Path) -> Transaction:
    """Read an enrolment's file; raises Malformed when it is none, OSError when it is not there."""
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    try:
        transaction = Transaction.open(data)
        enrolment_of(transaction)
    except Malformed as reason:
        raise Malformed(f"{path} is no enrolment: {reason}") from None
    return transaction


def write(path: Path, transaction: Transaction) -> None:
    """Write an enrolment's file, whole or not at all; what was there is replaced."""
    new = path.with_name(path.name + ".new")
    with new.open("wb") as file:
        file.write(transaction.encoded)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    sync_folder(path.parent)


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody whom the genesis file knows."""

    id: str
    """Authority or technician id."""

    name: str
    """Name for people."""

    key: PublicKey
    """Signs."""


@dataclass(frozen=True)
class Examined:
    """An enrolment that was looked at before anybody else is asked."""

    transaction: Transaction
    """The enrolment as it is signed."""

    body: CommissionedMeter
    """What it says."""

    key: PublicKey
    """The meter's key, which signed the enrolment and the record."""

    record: CommissioningRecord
    """The record that it carries; it agrees with the entry."""

    technician: Party | None
    """Who commissioned it; None when no genesis file says who that is."""

    operator: Party | None
    """Whose signature it needs; None when no genesis file says who that is."""

    @property
    def zone(self) -> str:
        """The meter's zone."""
        return str(self.record.content["zone"])

    @property
    def node(self) -> str:
        """The meter's node."""
        return str(self.record.content["node"])

    @property
    def operator_signed(self) -> bool:
        """True when nobody's signature is missing, as far as is known."""
        if self.operator is not None:
            return self.transaction.is_signed_by(self.operator.key)
        return len(self.transaction.sign.signers) > 2


def examine(transaction: Transaction, genesis: Genesis | None = None) -> Examined:
    """Check what can be checked here: signatures, and that record, entry and network agree.

    Args:
        transaction: the enrolment.
        genesis: the network's; without it nobody knows who technicians and operators are.

    Raises:
        Refused: why no validator would take it.
    """
    body = enrolment_of(transaction)
    key = _key_of(body.entry)
    try:
        transaction.sign.verify(key)
    except BadSignature as reason:
        raise BadSignature(f"the meter's signature of the enrolment: {reason}") from None
    record = CommissioningRecord.open(body.commissioning)
    _check_same(body.entry, record)
    record.check_meter(key)
    if genesis is None:
        return Examined(transaction, body, key, record, None, None)
    if transaction.network != genesis.network:
        raise Malformed(f"this enrolment is for another network than {genesis.topic_name}")
    operator = _operator(genesis, str(record.content["zone"]))
    technicians = _technicians(genesis, operator)
    technician = _who_signed(transaction, technicians, operator)
    record.technician_of(key, [each.key for each in technicians])
    return Examined(transaction, body, key, record, technician, operator)


def _key_of(entry: Mapping[str, Any]) -> PublicKey:
    key = entry.get("key")
    if not isinstance(key, str) or not key:
        raise Malformed(f"{entry.get('id')}: an enrolled meter has a key of its own")
    return PublicKey.from_text(key)


def _check_same(entry: Mapping[str, Any], record: CommissioningRecord) -> None:
    meter, node, zone = (str(entry.get(name)) for name in ("id", "node", "zone"))
    number = entry.get("configuration_id")
    try:
        record.check_entry(meter, node, zone, bytes.fromhex(str(number)))
    except ValueError:
        raise Malformed(f"configuration_id: {number!r} is not hexadecimal") from None
    if entry.get("role") not in ROLES:
        raise Malformed(f"role: one of {', '.join(ROLES)}")


def _operator(genesis: Genesis, zone: str) -> Party:
    """Who runs a zone; raises Malformed when the genesis file does not say."""
    for found in _entries(genesis, "zones"):
        if found.get("id") == zone:
            for each in _entries(genesis, "authorities"):
                if each.get("id") == found.get("operator"):
                    return _party(each)
            raise Malformed(f"genesis: zone {zone} has no operator")
    raise Malformed(f"the network {genesis.topic_name} has no zone {zone}")


def _technicians(genesis: Genesis, operator: Party) -> list[Party]:
    """Those who commission meters for an operator."""
    known = _entries(genesis, "technicians")
    return [_party(each) for each in known if each.get("operator") == operator.id]


def _who_signed(transaction: Transaction, technicians: list[Party], operator: Party) -> Party:
    """Which of the technicians signed the enrolment; raises BadSignature when none did."""
    for technician in technicians:
        if transaction.is_signed_by(technician.key):
            transaction.sign.verify(technician.key)
            return technician
    raise BadSignature(f"no technician of {operator.id} signed it")


def _entries(genesis: Genesis, kind: str) -> list[dict[str, Any]]:
    entries = fields.items(genesis.registry[kind], f"genesis {kind}")
    return [each for each in entries if isinstance(each, dict)]


def _party(entry: Mapping[str, Any]) -> Party:
    known = fields.identifier(entry.get("id"), "genesis id")
    return Party(known, str(entry.get("name", "")), PublicKey.from_text(str(entry.get("key"))))


def by_operator(examined: Examined, operator: Signer) -> Transaction:
    """Add the operator's signature, once; raises Refused when it is not the operator's key."""
    transaction, public = examined.transaction, operator.public
    if transaction.is_signed_by(public):
        transaction.sign.verify(public)
        return transaction
    if examined.operator is not None and public != examined.operator.key:
        raise Refused(
            f"the key {public.kid.hex()} is not that of {examined.operator.id}, who runs zone"
            f" {examined.zone}: give --operator-key of {examined.operator.id}"
        )
    return transaction.with_signature(operator)


def described(examined: Examined) -> list[str]:
    """An enrolment in lines for people."""
    transaction, technician = examined.transaction, examined.technician
    who = "unknown" if technician is None else f"{technician.id} {technician.name}".strip()
    whose = "the zone's operator" if examined.operator is None else examined.operator.id
    signed = "signed" if examined.operator_signed else "still to sign"
    replaced = examined.body.old if isinstance(examined.body, ReplaceMeter) else ""
    return [
        *([f"replaces       {replaced}"] if replaced else []),
        f"meter          {examined.body.meter} at {examined.node} in {examined.zone},"
        f" {examined.body.entry['role']}",
        f"key            {examined.key.kid.hex()}; it signed the enrolment and the record",
        f"configuration  {examined.record.configuration_id.hex()}",
        f"technician     {who}, key {examined.record.technician_kid.hex()}",
        f"operator       {whose}: {signed}",
        f"counts from    {time_words(examined.body.from_s)}",
        f"network        {transaction.network.hex()[:16]}",
        f"transaction    {transaction.id.hex()}",
    ]
