"""A meter that a network learned of after its beginning: known from its enrolment's file.

Decides that an enrolment would stand on the genesis file, by the very rule of the validators: it is
signed by the meter, a technician and the zone's operator, and about the commissioning record that
it carries. Whether a block has it, and whether the meter was retired since, only the network knows.
"""

from dataclasses import replace
from pathlib import Path

from gridwitness.known_meter import of_entry
from validator.app.enrolment import Moment, check_transaction
from validator.app.registries import Registries
from validator.app.registry import Registry
from wire.commissioning import CommissioningRecord
from wire.errors import Malformed, Refused
from wire.faults import when
from wire.genesis import Genesis
from wire.keys import PublicKey
from wire.record_rules import Registered
from wire.transaction import MOST_BYTES, Transaction, enrolment_of


class _StrictBook:
    """Checks every signature when asked."""

    def stands(self, public: PublicKey, message: bytes, signature: bytes) -> bool:
        return public.stands(message, signature)


def enrolled(path: Path, genesis: Genesis) -> Registered:
    """The meter of an enrolment's file.

    Raises:
        Refused: it is no enrolment, another network's, or no validator would take it.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    try:
        transaction = Transaction.open(data)
        enrolment = enrolment_of(transaction)
    except Malformed as reason:
        raise Refused(f"{path}: this is no enrolment, or it was damaged: {reason}") from None
    if transaction.network != genesis.network:
        raise Refused(f"{path}: this enrolment is for another network than {genesis.topic_name}")
    registries = Registries(Registry.of(genesis))
    beginning = Moment(genesis.network, 0, transaction.from_s * 1000)
    try:
        accepted = check_transaction(registries, transaction, beginning, _StrictBook())
    except Refused as reason:
        raise Refused(f"{path}: this enrolment does not stand: {reason}") from None
    meter = registries.with_change(accepted.change).meters_ever[enrolment.meter]
    record = CommissioningRecord.open(enrolment.commissioning)
    operator = registries.base.zones[meter.zone].operator
    technician = next(
        each.id
        for each in registries.base.technicians.values()
        if (each.key.alg, each.key.kid) == record.sign.signers[1]
    )
    signers = f"technician {technician} and operator {operator}"
    return replace(
        of_entry(genesis, meter),
        source=f"the enrolment {path.name}, which the meter, {signers} signed",
        known_from=f"the enrolment {path.name}, which counts from {when(transaction.from_s)}",
    )
