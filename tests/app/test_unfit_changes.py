"""What does not fit the registry is refused by name: unknown things, taken keys, ids, no line."""

import pytest

from tests.app.enrolments import NEW, TECHNICIAN, starts, technician_entry
from tests.app.registry_kinds import (
    EXCHANGE,
    LOAD,
    OLD_METER,
    Z1,
    compromise,
    decided,
    replacing,
    resiting,
    rotation,
    signed,
    zone_entry,
)
from tests.app.village import branch, gateway_entry, meter_entry, signer
from wire.transaction import Body
from wire.transaction_bodies import CompromiseKey, Entry, Retirement

NEW_WITNESS = gateway_entry("gw-a") | {"witness_key": signer("new").public.text}
READ = ("gw-a reader", TECHNICIAN, "PEA")
UNFIT: dict[str, tuple[Body, tuple[str, ...], str]] = {
    # Unknown things.
    "an unknown meter is elsewhere": (
        resiting(starts(2), "c7"),
        ("c7", TECHNICIAN, "PEA"),
        "meter-not-registered",
    ),
    "an unknown meter is replaced": (
        replacing(
            starts(2),
            "c7",
            commissioning=EXCHANGE["commissioning"] | {"old_meter": OLD_METER | {"id": "c7"}},
        ),
        (NEW, TECHNICIAN, "PEA"),
        "meter-not-registered",
    ),
    "an unknown meter ends": (
        Retirement("retire-meter", "c7", starts(2)),
        ("PEA",),
        "meter-not-registered",
    ),
    "a meter with a key is added": (
        Entry("add-meter", meter_entry("c8", "n2", "customer"), starts(2)),
        READ,
        "unfit-entry",
    ),
    "a meter that signs is to sign no more": (
        Entry("change-meter", meter_entry("c1", "n1", "customer", key=""), starts(2)),
        READ,
        "unfit-entry",
    ),
    "a known meter is added": (
        Entry("add-meter", meter_entry("c3", "n3", "customer", key=""), starts(2)),
        READ,
        "meter-id-taken",
    ),
    "an unknown meter changes": (
        Entry("change-meter", meter_entry("c8", "n2", "customer", key=""), starts(2)),
        READ,
        "meter-not-registered",
    ),
    "a meter is read by nobody known": (
        Entry("add-meter", meter_entry("c8", "n2", "customer", key="", reader="gw-x"), starts(2)),
        READ,
        "not-registered",
    ),
    "a meter without a key is where no line is": (
        Entry("add-meter", meter_entry("c8", "n9", "customer", key=""), starts(2)),
        READ,
        "unfit-registry",
    ),
    "a meter without a key is in no zone": (
        Entry("add-meter", meter_entry("c8", "n2", "customer", key="", zone="z9"), starts(2)),
        READ,
        "unknown-zone",
    ),
    "an unknown gateway changes": (
        Entry("change-gateway", gateway_entry("gw-x"), starts(2)),
        ("PEA",),
        "not-registered",
    ),
    "an unknown gateway ends": (
        Retirement("retire-gateway", "gw-x", starts(2)),
        ("PEA",),
        "not-registered",
    ),
    "an unknown technician ends": (
        Retirement("retire-technician", "x", starts(2)),
        ("PEA",),
        "not-registered",
    ),
    "an unknown zone changes": (
        Entry("change-zone", zone_entry("z9"), starts(2)),
        ("PEA",),
        "not-registered",
    ),
    "a load in an unknown zone": (
        Entry("add-unmetered", LOAD | {"id": "l2", "zone": "z9"}, starts(2)),
        ("PEA",),
        "unknown-zone",
    ),
    "a gateway for an unknown zone": (
        Entry("add-gateway", gateway_entry("gw-c") | {"zones": ["z9"]}, starts(2)),
        ("PEA", "gw-c", "gw-c reader"),
        "unknown-zone",
    ),
    "an unknown operator": (
        Entry("add-technician", technician_entry("tech-2", "EGAT"), starts(2)),
        ("EGAT", "tech-2"),
        "unknown-operator",
    ),
    "an unknown holder's key": (rotation("gw-x", "witness", starts(2)), ("PEA",), "not-registered"),
    "an unknown holder's compromise": (compromise("gw-x", "witness"), ("PEA",), "not-registered"),
    "another's key is compromised": (
        CompromiseKey("gw-a", "witness", signer("gw-b").public.thumbprint),
        ("PEA",),
        "not-registered",
    ),
    # Keys.
    "an unregistered old key": (
        rotation("gw-a", "witness", starts(2), old="gw-b"),
        ("PEA",),
        "key-not-in-force",
    ),
    "the reader key as witness key": (
        rotation("gw-a", "witness", starts(2), new="gw-a reader"),
        ("PEA",),
        "key-taken",
    ),
    "a validator's key": (
        rotation("gw-a", "witness", starts(2), new="val"),
        ("PEA",),
        "key-taken",
    ),
    "an authority's key": (
        rotation("gw-a", "witness", starts(2), new="MEA"),
        ("PEA",),
        "key-taken",
    ),
    "an old key that stands for ever": (
        rotation("gw-a", "witness", starts(2), starts(2) + 36 * 86_400),
        ("PEA",),
        "unfit-announcement",
    ),
    "an announcement for another network": (
        rotation("gw-a", "witness", starts(2), network=bytes(32)),
        ("PEA",),
        "unfit-announcement",
    ),
    "a gateway brings another key": (
        Entry("change-gateway", NEW_WITNESS, starts(2)),
        ("PEA", "new"),
        "key-exchanged",
    ),
    "a meter brings another key": (
        resiting(starts(2), key=signer("new").public.text),
        ("new", TECHNICIAN, "PEA"),
        "key-exchanged",
    ),
    "a gateway with one key twice": (
        Entry(
            "add-gateway",
            gateway_entry("gw-c") | {"reader_key": signer("gw-c").public.text},
            starts(2),
        ),
        ("PEA", "gw-c"),
        "key-taken",
    ),
    "a technician with a meter's key": (
        Entry("add-technician", technician_entry("c1"), starts(2)),
        ("PEA", "c1"),
        "key-taken",
    ),
    # Ids.
    "a gateway's id twice": (
        Entry("add-gateway", gateway_entry("gw-a"), starts(2)),
        ("PEA",),
        "id-taken",
    ),
    "a zone's id twice": (Entry("add-zone", zone_entry("z1"), starts(2)), ("PEA",), "id-taken"),
    # What does not fit.
    "a meter where no line goes": (
        resiting(starts(2), node="n9"),
        ("c1", TECHNICIAN, "PEA"),
        "unfit-registry",
    ),
    "lines that reach no meter": (
        Entry("change-zone", Z1 | {"branches": [branch("bus", "n1")]}, starts(2)),
        ("PEA",),
        "unfit-registry",
    ),
    "lines in a ring": (
        Entry("change-zone", Z1 | {"branches": [*Z1["branches"], branch("bus", "n3")]}, starts(2)),
        ("PEA",),
        "unfit-registry",
    ),
    "a zone around itself": (
        Entry("change-zone", zone_entry("z2", parent="z2"), starts(2)),
        ("PEA",),
        "unfit-registry",
    ),
    "a zone with meters ends": (
        Retirement("retire-zone", "z1", starts(2)),
        ("PEA",),
        "unfit-registry",
    ),
    "a gateway that reads ends": (
        Retirement("retire-gateway", "gw-a", starts(2)),
        ("PEA",),
        "unfit-registry",
    ),
    "a gateway leaves its meters": (
        Entry("change-gateway", gateway_entry("gw-a") | {"zones": ["z2"]}, starts(2)),
        ("PEA",),
        "unfit-registry",
    ),
    "a load where no line goes": (
        Entry("add-unmetered", LOAD | {"id": "l2", "node": "n9"}, starts(2)),
        ("PEA",),
        "unfit-registry",
    ),
    "a replacement elsewhere": (
        replacing(starts(2), node="n3"),
        (NEW, TECHNICIAN, "PEA"),
        "unfit-exchange",
    ),
    "a replacement that tells no registers": (
        replacing(starts(2), commissioning={"start_wh": [12, 0]}),
        (NEW, TECHNICIAN, "PEA"),
        "unfit-entry",
    ),
    "an entry of no shape": (
        Entry("change-zone", {"id": "z1"}, starts(2)),
        ("PEA",),
        "unfit-entry",
    ),
    "a small-order key": (
        Entry(
            "add-technician",
            technician_entry("tech-2") | {"key": "eddsa:" + "00" * 32},
            starts(2),
        ),
        ("PEA",),
        "weak-key",
    ),
}


@pytest.mark.parametrize(("body", "signers", "why"), UNFIT.values(), ids=UNFIT.keys())
def test_what_does_not_fit_is_refused_by_name(
    body: Body, signers: tuple[str, ...], why: str
) -> None:
    assert decided(signed(body, signers)) == why
