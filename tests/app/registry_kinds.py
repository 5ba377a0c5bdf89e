"""Every kind of registry transaction, right by default: the village's changes and who signs each.

The village has a second zone z2 without meters, a load l1 without a meter, two technicians.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tests.app.enrolments import (
    NEW,
    NONCE,
    TECHNICIAN,
    Enrolment,
    refusal,
    starts,
    technician_entry,
    with_technician,
)
from tests.app.village import Village, branch, gateway_entry, meter_entry, signer
from wire.announcement import KeyAnnouncement, SignedAnnouncement, announce
from wire.genesis import Genesis
from wire.keys import SoftSigner
from wire.transaction import Body, Transaction, payload_of
from wire.transaction_bodies import (
    MOVED,
    ChangeHolder,
    CompromiseKey,
    Entry,
    ReplaceMeter,
    ResiteMeter,
    Retirement,
    RotateKey,
)

LOAD = {"id": "l1", "zone": "z1", "node": "n2", "schedule": [[0, 100]], "limit_ppm": 50_000}
BRANCHES = [branch("bus", "n1"), branch("n1", "n2"), branch("n2", "n3")]
OLD_METER = {"id": "c2", "import_wh": 5_000, "export_wh": 7}
EXCHANGE = {"commissioning": {"start_wh": [12, 0], "old_meter": OLD_METER}}


def zone_entry(name: str, **changes: Any) -> dict[str, Any]:
    entry = {"id": name, "parent": "", "operator": "PEA", "p0_mw": 0, "branches": [], "root": "x"}
    return entry | changes


Z1 = zone_entry("z1", branches=BRANCHES, root="bus")


def settle(content: dict[str, Any]) -> None:
    with_technician(content)
    content["zones"].append(zone_entry("z2"))
    content["unmetered"].append(LOAD)


def administered_village() -> Village:
    return Village(settle)


GENESIS = administered_village().genesis


def key_name(holder: str, role: str) -> str:
    """Name of the signer of a registered key."""
    return f"{holder} reader" if role == "reader" else holder


def rotation(
    holder: str,
    role: str,
    from_s: int,
    until_s: int | None = None,
    new: str = "new key",
    old: str | None = None,
    network: bytes = GENESIS.network,
) -> RotateKey:
    before, after = signer(old or key_name(holder, role)), signer(new)
    statement = KeyAnnouncement(
        network,
        holder,
        role,
        before.public.thumbprint,
        after.public,
        from_s,
        from_s if until_s is None else until_s,
    )
    return RotateKey(SignedAnnouncement.open(announce(statement, before, after)))


def compromise(holder: str, role: str) -> CompromiseKey:
    return CompromiseKey(holder, role, signer(key_name(holder, role)).public.thumbprint)


def resiting(from_s: int, meter: str = "c1", node: str = "n2", **more: Any) -> ResiteMeter:
    made = Enrolment(
        GENESIS, meter=meter, from_s=from_s, record={"node": node}, entry={"node": node} | more
    ).body()
    return ResiteMeter(made.entry, made.from_s, made.commissioning)


def replacing(from_s: int, old: str = "c2", node: str = "n2", **record: Any) -> ReplaceMeter:
    record = {"node": node} | EXCHANGE | record
    made = Enrolment(GENESIS, from_s=from_s, record=record, entry={"node": node}).body()
    return ReplaceMeter(made.entry, made.from_s, made.commissioning, old)


@dataclass(frozen=True)
class Kind:
    """One kind of transaction."""

    body: Callable[[int], Body]
    """Makes a right one that holds from some interval's start on."""

    signers: tuple[str, ...]
    """Names of the signers' keys; without any of them it is refused."""

    without: tuple[str, ...]
    """The reasons for which it is refused when that signer is missing."""


_GATEWAY_C = gateway_entry("gw-c")
_METER = ("not-signed-by-meter", "not-signed-by-technician", "not-signed-by-operator")
_PEA = (("PEA",), ("not-signed-by-operator",))
_KEY, _OPERATOR = "not-signed-by-new-key", "not-signed-by-operator"

KINDS: dict[str, Kind] = {
    "enrol": Kind(
        lambda at_s: Enrolment(GENESIS, from_s=at_s).body(), (NEW, TECHNICIAN, "PEA"), _METER
    ),
    "re-site": Kind(resiting, ("c1", TECHNICIAN, "PEA"), _METER),
    "replace": Kind(replacing, (NEW, TECHNICIAN, "PEA"), _METER),
    "retire meter": Kind(lambda at_s: Retirement("retire-meter", "c1", at_s), *_PEA),
    "rotate witness": Kind(lambda at_s: rotation("gw-a", "witness", at_s), *_PEA),
    "rotate reader": Kind(lambda at_s: rotation("gw-a", "reader", at_s), *_PEA),
    "rotate meter": Kind(lambda at_s: rotation("c1", "meter", at_s), *_PEA),
    "rotate technician": Kind(lambda at_s: rotation(TECHNICIAN, "technician", at_s), *_PEA),
    "compromise witness": Kind(lambda _: compromise("gw-a", "witness"), *_PEA),
    "compromise reader": Kind(lambda _: compromise("gw-a", "reader"), *_PEA),
    "compromise meter": Kind(lambda _: compromise("c1", "meter"), *_PEA),
    "compromise technician": Kind(lambda _: compromise(TECHNICIAN, "technician"), *_PEA),
    "add gateway": Kind(
        lambda at_s: Entry("add-gateway", _GATEWAY_C, at_s),
        ("PEA", "gw-c", "gw-c reader"),
        (_OPERATOR, _KEY, _KEY),
    ),
    "change gateway": Kind(
        lambda at_s: Entry("change-gateway", gateway_entry("gw-a") | {"radius_m": 300}, at_s), *_PEA
    ),
    "retire gateway": Kind(lambda at_s: Retirement("retire-gateway", "gw-b", at_s), *_PEA),
    "add technician": Kind(
        lambda at_s: Entry("add-technician", technician_entry("tech-2"), at_s),
        ("PEA", "tech-2"),
        (_OPERATOR, _KEY),
    ),
    "retire technician": Kind(
        lambda at_s: Retirement("retire-technician", TECHNICIAN, at_s), *_PEA
    ),
    "add zone": Kind(
        lambda at_s: Entry("add-zone", zone_entry("z3", operator="MEA", parent="z1"), at_s),
        ("MEA", "PEA"),
        (_OPERATOR, _OPERATOR),
    ),
    "change zone": Kind(
        lambda at_s: Entry("change-zone", Z1 | {"p0_mw": 5, "operator": "MEA"}, at_s),
        ("MEA", "PEA"),
        (_OPERATOR, _OPERATOR),
    ),
    "retire zone": Kind(lambda at_s: Retirement("retire-zone", "z2", at_s), *_PEA),
    "add unmetered": Kind(lambda at_s: Entry("add-unmetered", LOAD | {"id": "l2"}, at_s), *_PEA),
    "add meter": Kind(
        lambda at_s: Entry("add-meter", meter_entry("c8", "n2", "customer", key=""), at_s),
        ("gw-a reader", TECHNICIAN, "PEA"),
        ("not-signed-by-reader", "not-signed-by-technician", _OPERATOR),
    ),
    "change meter": Kind(
        lambda at_s: Entry(
            "change-meter", meter_entry("c3", "n2", "customer", key="", reader="gw-b"), at_s
        ),
        ("gw-b reader", TECHNICIAN, "PEA"),
        ("not-signed-by-reader", "not-signed-by-technician", _OPERATOR),
    ),
    "change unmetered": Kind(
        lambda at_s: Entry("change-unmetered", LOAD | {"limit_ppm": 1}, at_s), *_PEA
    ),
    "change holder": Kind(lambda at_s: ChangeHolder("c1", bytes(32), at_s, MOVED), *_PEA),
    "retire unmetered": Kind(lambda at_s: Retirement("retire-unmetered", "l1", at_s), *_PEA),
}


def signed(
    body: Body,
    signers: Iterable[str | SoftSigner],
    genesis: Genesis = GENESIS,
    nonce: bytes = NONCE,
    expiry_height: int = 1_000,
    network: bytes | None = None,
) -> Transaction:
    payload = payload_of(network or genesis.network, nonce, expiry_height, body)
    transaction = Transaction.of(payload)
    for each in signers:
        transaction = transaction.with_signature(signer(each) if isinstance(each, str) else each)
    return transaction


def made(name: str, slot: int = 2, **changes: Any) -> Transaction:
    """A transaction of a kind that stands, from an interval on."""
    kind = KINDS[name]
    return signed(kind.body(starts(slot)), changes.pop("signers", kind.signers), **changes)


def decided(*transactions: Transaction, slot: int = 0) -> str:
    """Why the last is refused after the others; "" when it stands."""
    village = administered_village()
    *before, last = transactions
    if before:
        village.commit([], 0, before)
    return refusal(village, last, slot)
