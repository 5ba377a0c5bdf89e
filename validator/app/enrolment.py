"""Which registry transactions stand: who must have signed, and what may change from when on.

Decides one reason code for one transaction on one state. An enrolment is signed by the meter's key,
which shows that somebody holds it, by a technician of the zone's operator and by the operator; it
carries the commissioning record that its configuration id names, signed by the meter and a
technician of that operator (`wire.commissioning` decides whether it is one). A retirement is signed
by the operator. A change holds from an interval that has not begun when its block is made, so that
no window that may be sealed already changes; an id or a key is never registered twice, so that
history always answers who signed.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from validator.app.carrier import SignatureBook
from validator.app.entries import Meter
from validator.app.registries import Change, Registries, change_of
from wire.commissioning import CommissioningRecord
from wire.cose import Sign
from wire.errors import BadKey, Refused
from wire.keys import PublicKey
from wire.results import REASONS
from wire.transaction import Transaction
from wire.transaction_bodies import EnrolMeter, RetireMeter

MOST_AHEAD_S = 35 * 86_400
"""How far ahead a change may be decided, seconds."""

OTHER_NETWORK = 61
EXPIRED = 62
REPLAYED = 63
FROM_HAS_PASSED = 64
UNFIT_FROM = 65
UNFIT_ENTRY = 66
WEAK_KEY = 67
UNKNOWN_ZONE = 68
METER_TAKEN = 69
KEY_TAKEN = 70
NOT_BY_METER = 71
NOT_BY_TECHNICIAN = 72
NOT_BY_OPERATOR = 73
BY_STRANGER = 74
UNFIT_COMMISSIONING = 75
UNFIT_REGISTRY = 76
NOT_REGISTERED = 77


class RefusedTransaction(Refused):
    """A registry transaction that does not stand on this state."""

    code = "refused-transaction"

    def __init__(self, reason: int, detail: str) -> None:
        super().__init__(f"{REASONS[reason].words} ({detail})")
        self.reason = reason
        """A key of `wire.results.REASONS`."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Where and when a transaction is to be carried."""

    network: bytes
    """Network id, 32 bytes."""

    height: int
    """Height of the block."""

    time_ms: int
    """Its network time."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A transaction that stands."""

    change: Change
    """What it changes."""

    operator_key: PublicKey
    """The zone operator's key, whose signature decided."""


def check_transaction(
    registries: Registries, transaction: Transaction, moment: Moment, book: SignatureBook
) -> Accepted:
    """Decide about a transaction.

    Raises:
        RefusedTransaction: with its reason.
    """
    if transaction.network != moment.network:
        raise RefusedTransaction(OTHER_NETWORK, transaction.network.hex()[:8])
    if transaction.expiry_height < moment.height:
        raise RefusedTransaction(EXPIRED, f"after block {transaction.expiry_height}")
    if registries.change(transaction.id) is not None:
        raise RefusedTransaction(REPLAYED, transaction.id.hex()[:16])
    _check_from(registries, transaction, moment.time_ms)
    match transaction.body:
        case EnrolMeter() as enrolment:
            return _enrolment(registries, transaction, enrolment, moment, book)
        case RetireMeter() as retirement:
            return _retirement(registries, transaction, retirement, moment, book)
    raise RefusedTransaction(UNFIT_ENTRY, f"of kind {transaction.kind}")


def _check_from(registries: Registries, transaction: Transaction, time_ms: int) -> None:
    from_s = transaction.from_s
    if from_s * 1000 < time_ms:
        raise RefusedTransaction(FROM_HAS_PASSED, f"{from_s} s; it is {time_ms // 1000} s")
    if from_s % registries.base.parameters.interval_s:
        raise RefusedTransaction(UNFIT_FROM, f"{from_s} s is no interval's start")
    if from_s > time_ms // 1000 + MOST_AHEAD_S:
        raise RefusedTransaction(UNFIT_FROM, f"more than {MOST_AHEAD_S // 86_400} days ahead")


def _retirement(
    registries: Registries,
    transaction: Transaction,
    body: RetireMeter,
    moment: Moment,
    book: SignatureBook,
) -> Accepted:
    meter = registries.at(body.from_s).meters.get(body.meter)
    if meter is None or registries.retirement(meter.id) is not None:
        raise RefusedTransaction(NOT_REGISTERED, body.meter)
    public = _operator_key(registries, meter)
    _check_operator(registries, transaction, meter, book)
    _check_strangers(transaction, [public])
    return Accepted(change_of(transaction, moment.height), public)


def _enrolment(
    registries: Registries,
    transaction: Transaction,
    body: EnrolMeter,
    moment: Moment,
    book: SignatureBook,
) -> Accepted:
    change = _change(transaction, moment.height)
    meter = change.enrolled
    if meter is None or meter.key is None:
        raise RefusedTransaction(UNFIT_ENTRY, f"{body.meter} has no key of its own")
    if meter.zone not in registries.base.zones:
        raise RefusedTransaction(UNKNOWN_ZONE, meter.zone)
    if meter.id in registries.meters_ever:
        raise RefusedTransaction(METER_TAKEN, meter.id)
    if meter.key.raw in registries.keys_ever:
        raise RefusedTransaction(KEY_TAKEN, meter.key.kid.hex())
    if not _has_signed(transaction.sign, meter.key, book):
        raise RefusedTransaction(NOT_BY_METER, meter.key.kid.hex())
    technicians = _technicians(registries, meter)
    technician = _one_that_signed(transaction.sign, technicians, book)
    if technician is None:
        raise RefusedTransaction(NOT_BY_TECHNICIAN, f"{len(technicians)} are registered")
    _check_operator(registries, transaction, meter, book)
    operator = _operator_key(registries, meter)
    _check_strangers(transaction, [meter.key, technician, operator])
    _check_commissioning(body.commissioning, meter, technicians, book)
    faults = registries.base.misfits(meter)
    if faults:
        raise RefusedTransaction(UNFIT_REGISTRY, "; ".join(faults))
    return Accepted(change, operator)


def _change(transaction: Transaction, height: int) -> Change:
    try:
        return change_of(transaction, height)
    except BadKey as reason:
        raise RefusedTransaction(WEAK_KEY, str(reason)) from None
    except Refused as reason:
        raise RefusedTransaction(UNFIT_ENTRY, str(reason)) from None


def _operator_key(registries: Registries, meter: Meter) -> PublicKey:
    base = registries.base
    return base.authorities[base.zones[meter.zone].operator].key


def _technicians(registries: Registries, meter: Meter) -> list[PublicKey]:
    """Keys of those who may enrol meters in this meter's zone."""
    base = registries.base
    operator = base.zones[meter.zone].operator
    return [each.key for each in base.technicians.values() if each.operator == operator]


def _has_signed(sign: Sign, public: PublicKey, book: SignatureBook) -> bool:
    found = sign.signature_of(public)
    return found is not None and book.stands(public, *found)


def _one_that_signed(
    sign: Sign, keys: Iterable[PublicKey], book: SignatureBook
) -> PublicKey | None:
    return next((public for public in keys if _has_signed(sign, public, book)), None)


def _check_operator(
    registries: Registries, transaction: Transaction, meter: Meter, book: SignatureBook
) -> None:
    if not _has_signed(transaction.sign, _operator_key(registries, meter), book):
        raise RefusedTransaction(NOT_BY_OPERATOR, registries.base.zones[meter.zone].operator)


def _check_strangers(transaction: Transaction, parties: Iterable[PublicKey]) -> None:
    known = {(public.alg, public.kid) for public in parties}
    for alg, kid in transaction.sign.signers:
        if (alg, kid) not in known:
            raise RefusedTransaction(BY_STRANGER, kid.hex())


def _check_commissioning(
    data: bytes, meter: Meter, technicians: list[PublicKey], book: SignatureBook
) -> None:
    """The record is the one that was signed on site, for this meter at this place."""
    assert meter.key is not None
    try:
        record = CommissioningRecord.open(data)
        record.check_entry(meter.id, meter.node, meter.zone, meter.configuration_id)
        record.technician_of(meter.key, technicians, book.stands)
    except Refused as reason:
        raise RefusedTransaction(UNFIT_COMMISSIONING, str(reason)) from None
