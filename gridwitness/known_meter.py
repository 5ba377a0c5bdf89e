"""What is known of a meter before its records are believed: its key, and who it should be.

Decides where the key comes from (given, or the registry of a genesis file) and what the records
must agree with: the registry, and the commissioning record that a file of records begins with.
"""

from dataclasses import replace
from itertools import islice
from typing import Any

from validator.app import entries
from validator.app.entries import Gateway, Meter
from validator.app.parameters import Parameters
from wire import fields
from wire.commissioning import CommissioningRecord
from wire.errors import Malformed, Refused
from wire.faults import part_name
from wire.genesis import Genesis
from wire.history import History
from wire.keys import PublicKey
from wire.reading import Position, SignedReading
from wire.record_rules import Registered

SITE_RADIUS_DM = 1_000
"""How far from its commissioned site a meter's receiver may say it is, decimetres."""

USUAL_INTERVAL_S = 900
_LOOKED_AT = 16  # Records in which a registered meter's name is looked for.


class Unregistered(Refused):
    """Records of a meter that the genesis file does not name."""

    code = "unregistered-meter"


def given(key: PublicKey) -> Registered:
    """Only the key is known."""
    return Registered(key, {})


def in_genesis(genesis: Genesis, history: History) -> Registered:
    """The registered meter that the records are of; raises Unregistered when there is none."""
    wanted = meters_named(history)
    for item in fields.items(genesis.registry["meters"], "genesis meters"):
        if isinstance(item, dict) and item.get("id") in wanted:
            return of_entry(genesis, entries.meter(item))
    names = ", ".join(sorted(wanted)) or "none that can be read"
    raise Unregistered(
        f"the genesis file registers no meter of these records ({names}); give --enrolment,"
        " --label or --key"
    )


def registered_meter(genesis: Genesis, key: PublicKey) -> Registered | None:
    """The registered meter that signs with this key; None when there is none."""
    for item in fields.items(genesis.registry["meters"], "genesis meters"):
        if isinstance(item, dict) and item.get("key") == key.text:
            return of_entry(genesis, entries.meter(item))
    return None


def meters_named(history: History) -> set[str]:
    """The meters that the first records name."""
    try:
        opened = [entry.opened for entry in islice(history.entries(), _LOOKED_AT)]
    except Malformed:
        opened = []
    return {each.reading.meter for each in opened if isinstance(each, SignedReading)}


def of_entry(genesis: Genesis, meter: Meter) -> Registered:
    """A meter as it is registered, in the genesis file or by an entry of the same form."""
    values: dict[int, Any] = {2: meter.id, 3: meter.node, 17: meter.configuration_id}
    values[5] = Parameters.of(genesis.parameters).interval_s
    key = meter.key
    if meter.software_id is not None:
        values[16] = meter.software_id
    if key is None:
        key = _reader(genesis, meter).reader_key
    site = Position(meter.site.lat_e7, meter.site.lon_e7, meter.radius_m * 10, 0)
    return Registered(key, values, site, "the genesis file", "the genesis file")


def _reader(genesis: Genesis, meter: Meter) -> Gateway:
    for item in fields.items(genesis.registry["gateways"], "genesis gateways"):
        if isinstance(item, dict) and item.get("id") == meter.reader:
            return entries.gateway(item)
    raise Malformed(f"genesis: meter {meter.id} is read by {meter.reader}, which is no gateway")


def with_commissioning(
    registered: Registered,
    record: bytes | None,
    technician: PublicKey | None,
    genesis: Genesis | None = None,
) -> Registered:
    """Add what the meter's commissioning record says, which its key must have signed.

    The technician's signature is checked when the key is given, or the genesis file has it.

    Raises:
        Refused: it is no commissioning record, another key's, or the registry says otherwise.
    """
    if record is None:
        return registered
    try:
        opened = CommissioningRecord.open(record)
        opened.check_meter(registered.key)
        signed = _technician_words(opened, registered.key, technician, genesis)
    except Refused as reason:
        raise Refused(f"the commissioning record: {reason}") from None
    content = opened.content
    values: dict[int, Any] = {2: content["meter"], 3: content["node"]}
    values |= {5: content.get("interval_s", USUAL_INTERVAL_S), 17: opened.configuration_id}
    for number, value in registered.fields.items():
        if values.get(number, value) != value:
            name = part_name("payload", number)
            raise Refused(f"the commissioning record and {registered.source} differ in {name}")
    values = registered.fields | values
    site = registered.site or _site(content.get("site"))
    return replace(registered, fields=values, site=site, source=f"the commissioning record{signed}")


def _technician_words(
    record: CommissioningRecord,
    meter: PublicKey,
    technician: PublicKey | None,
    genesis: Genesis | None,
) -> str:
    """Which technician has signed a record, as far as anybody here knows the key."""
    hint = record.technician_kid.hex()
    if technician is not None:
        record.verify(meter, technician)
        return f", which technician {hint} signed"
    for item in fields.items(genesis.registry["technicians"], "genesis") if genesis else ():
        known = entries.technician(item)
        if known.key.kid == record.technician_kid:
            record.verify(meter, known.key)
            return f", which technician {known.id} of {known.operator} signed"
    return f", which the meter signed; its technician's key {hint} is not known here: --technician"


def _site(value: list[int] | None) -> Position | None:
    if not value:
        return None
    lat_e7, lon_e7 = value
    return Position(lat_e7, lon_e7, SITE_RADIUS_DM, 0)
