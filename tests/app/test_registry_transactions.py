"""Registry transactions: who must sign, from when they hold, and that nothing earlier changes."""

import dataclasses
from typing import Any

import pytest

from tests.app.enrolments import (
    NEW,
    TECHNICIAN,
    Enrolment,
    enrol,
    enrolling_village,
    retire,
    starts,
)
from tests.app.village import BOOK, Village, genesis, signer
from validator.app.application import Application, RefusedTransaction
from validator.app.execution import MOST_CHANGES, InvalidBlock
from validator.app.registries import Registries
from validator.app.registry import BadRegistry, Registry
from wire import merkle
from wire.cose import Sign
from wire.keys import ES256, SoftSigner
from wire.results import REASONS, TxResult, Verdict
from wire.transaction import Transaction

WITH_NEW: dict[str, Any] = {"b0": (704, 0), NEW: (100, 0)}


def at(slot: int) -> int:
    """Time of the village's block after a slot, network milliseconds."""
    return (starts(slot + 1) + 10) * 1000


def refusal(village: Village, transaction: Transaction, slot: int = 0) -> str:
    """Name of the reason for which the next block may not carry it; "" when it may."""
    try:
        village.app.check_transaction(transaction, at(slot), BOOK)
    except RefusedTransaction as refused:
        return REASONS[refused.reason].name
    return ""


# From when on.


def test_a_reading_is_unknown_before_and_accepted_from_the_first_interval_on() -> None:
    village = enrolling_village()
    transaction = enrol(village, 2)
    new = village.meters[NEW]
    assert village.decide(new.close(0, 100, 0), 0) == "unknown-meter"
    before = new.close(1, 100, 0)
    village.commit([], 0, [transaction])
    assert village.decide(before, 1) == "not-registered-then"
    assert village.decide(new.close(2, 100, 0), 2) == "accepted"


def test_windows_before_are_judged_without_the_meter_and_those_after_with_it() -> None:
    village = enrolling_village()
    backlog = list(village.close(0).values())
    late = list(village.close(1).values())
    village.commit([], 0, [enrol(village, 2)])
    village.commit([village.batch(backlog + late, 1)], 1)
    assert [(seal.start_s, seal.verdict) for seal in village.seals] == [
        (starts(0), Verdict.BALANCED),
        (starts(1), Verdict.BALANCED),
    ]
    closed = village.close(2, **WITH_NEW)
    new = closed.pop(NEW)
    village.commit([village.batch(closed.values(), 2)], 2)
    assert len(village.seals) == 2
    village.commit([village.batch([new], 2)], 2)
    assert village.seals[2].verdict is Verdict.BALANCED
    assert village.seals[2].parameters_hash != village.seals[1].parameters_hash


def test_a_retired_meters_windows_before_still_need_it_and_those_after_do_not() -> None:
    village = enrolling_village()
    village.commit([], 0, [retire(village.genesis, "c1", 2)])
    closed = [village.close(slot) for slot in (0, 1)]
    first, second = (closed[slot] for slot in (0, 1))
    c1 = second.pop("c1")
    village.commit([village.batch([*first.values(), *second.values()], 1)], 1)
    assert [seal.start_s for seal in village.seals] == [starts(0)]
    village.commit([village.batch([c1], 1)], 1)
    assert [seal.start_s for seal in village.seals] == [starts(0), starts(1)]
    closed[0] = village.close(2, b0=(104, 0), c1=None)
    village.commit([village.batch(closed[0].values(), 2)], 2)
    assert village.seals[-1].start_s == starts(2)
    assert village.decide(village.meters["c1"].close(2, 500, 0), 2) == "not-registered-then"


def test_an_enrolled_boundary_meter_stands_in_its_zone_and_in_the_one_around() -> None:
    def two_zones(content: dict[str, Any]) -> None:
        zone = content["zones"][0]
        content["zones"].append(zone | {"id": "z2", "parent": "z1", "branches": [], "root": "x"})
        for gateway in content["gateways"]:
            gateway["zones"] = ["z1", "z2"]
        content["technicians"] = enrolling_village().genesis.registry["technicians"][:1]

    village = Village(two_zones)
    at_n3 = {"zone": "z2", "role": "boundary"}
    wanted = Enrolment(village.genesis, entry=at_n3, record={"zone": "z2"})
    village.commit([], 0, [wanted.transaction()])
    assert village.app.registries.at(starts(2)).zones_of_meter[NEW] == ("z2", "z1")
    nowhere = at_n3 | {"node": "n9"}
    lost = Enrolment(
        village.genesis, 2, "c8", entry=nowhere, record={"zone": "z2", "node": "n9"}
    ).transaction()
    assert refusal(village, lost) == "unfit-registry"


# What stands on the ledger.


def test_the_result_names_the_operators_key_and_the_leaf_is_the_whole_transaction() -> None:
    village = enrolling_village()
    transaction = enrol(village, 2)
    execution = village.execute([], 0, [transaction])
    [encoded] = execution.tx_results
    result = TxResult.decode(encoded)
    assert (result.tx_id, result.code) == (transaction.id, 0)
    assert result.readings_root == merkle.root([])
    assert result.witness_thumbprint == signer("PEA").public.thumbprint
    assert execution.reading_results == ((),)
    assert execution.tx_root == merkle.root([merkle.leaf_hash(transaction.encoded)])


def test_the_state_root_has_what_was_registered() -> None:
    village = enrolling_village()
    roots = {
        village.execute([], 0, changes).state_root
        for changes in ([], [enrol(village, 2)], [enrol(village, 3)], [enrol(village, 2, "c8")])
    }
    assert len(roots) == 4


def test_executing_leaks_nothing_into_the_state() -> None:
    village = enrolling_village()
    before = village.app.registries
    transaction = enrol(village, 2)
    execution = village.execute([], 0, [transaction])
    assert village.app.registries is before
    assert refusal(village, transaction) == ""
    assert village.decide(village.meters[NEW].close(2, 100, 0), 2) == "unknown-meter"
    assert execution.registries != before


def test_a_restart_gives_the_identical_registries() -> None:
    village = enrolling_village()
    village.commit([], 0, [enrol(village, 4), enrol(village, 3, "c8")])
    village.commit([], 1, [retire(village.genesis, "c8", 5), enrol(village, 3, "c7")])
    village.commit([], 2, [retire(village.genesis, "c1", 4)])
    again = Application(village.genesis)
    again.restore(
        [
            (table, row, value)
            for table in ("registry", "root", "batch", "cursor")
            for row, value in reversed(list(village.app.state.rows(table)))
        ]
    )
    assert again.registries == village.app.registries
    for slot in range(7):
        assert again.registries.at(starts(slot)) == village.app.registries.at(starts(slot))
    assert again.state.root == village.app.state.root
    meters = [sorted(again.registries.at(starts(slot)).meters) for slot in (2, 3, 4, 5)]
    base = ["b0", "c1", "c2", "c3", "pv"]
    assert meters == [
        base,
        sorted([*base, "c7", "c8"]),
        sorted([*base[:1], *base[2:], "c7", "c8", NEW]),
        sorted([*base[:1], *base[2:], "c7", NEW]),
    ]


def test_a_registry_with_the_meter_is_as_if_the_genesis_file_had_it() -> None:
    village = enrolling_village()
    transaction = enrol(village, 2)
    village.commit([], 0, [transaction])

    def edited(content: dict[str, Any]) -> None:
        content["authorities"] = village.genesis.registry["authorities"]
        content["technicians"] = village.genesis.registry["technicians"]
        content["meters"].append(dict(transaction.entry))

    found = village.app.registries.at(starts(2))
    whole = Registry.of(genesis(edited))
    assert dataclasses.replace(found, network_name=whole.network_name) == whole
    assert list(found.meters) == list(whole.meters)


def test_changes_in_any_order_give_one_registry() -> None:
    village = enrolling_village()
    village.commit([], 0, [enrol(village, 3), enrol(village, 2, "c8"), enrol(village, 3, "c7")])
    registries = village.app.registries
    one_by_one = Registries(registries.base)
    for change in reversed(registries.changes):
        one_by_one.at(starts(9))
        one_by_one = one_by_one.with_change(change)
    assert one_by_one == registries
    assert one_by_one.at(starts(3)) == registries.at(starts(3))


# What is refused.

WEAK = "eddsa:" + (1).to_bytes(32, "little").hex()
FOREIGN = SoftSigner.from_private(ES256, bytes(31) + b"\x09")

CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("other network", "transaction-of-other-network", {"network": bytes(32)}),
    ("expired", "transaction-expired", {"expiry_height": 0}),
    ("from the running interval on", "from-has-passed", {"slot": 1}),
    ("from long ago", "from-has-passed", {"from_s": 0}),
    ("from within an interval", "unfit-from", {"from_s": starts(2) + 1}),
    ("from the far future", "unfit-from", {"slot": 2 + 35 * 96}),
    ("from beyond all time", "unfit-from", {"from_s": (2**64 - 1) // 900 * 900}),
    ("a small-order key", "weak-key", {"entry": {"key": WEAK}}),
    ("a key that is none", "weak-key", {"entry": {"key": "es256:00"}}),
    ("no key", "unfit-entry", {"entry": {"key": ""}}),
    ("a missing word", "unfit-entry", {"entry": {"role": None}}),
    ("a word too many", "unfit-entry", {"entry": {"colour": "red"}}),
    ("a number out of range", "unfit-entry", {"entry": {"rating_w": 0}}),
    ("an unknown zone", "unknown-zone", {"entry": {"zone": "z9"}, "record": {"zone": "z9"}}),
    ("a known meter", "meter-id-taken", {"meter": "c1", "key": FOREIGN}),
    ("another meter's key", "key-taken", {"key": signer("c1")}),
    ("a gateway's key", "key-taken", {"key": signer("gw-b reader")}),
    ("a technician's key", "key-taken", {"key": signer("tech-mea")}),
    ("an authority's key", "key-taken", {"key": signer("MEA")}),
    ("not the meter", "not-signed-by-meter", {"signers": (TECHNICIAN, "PEA")}),
    ("another meter", "not-signed-by-meter", {"signers": (FOREIGN, TECHNICIAN, "PEA")}),
    ("no technician", "not-signed-by-technician", {"signers": (NEW, "PEA")}),
    (
        "another operator's technician",
        "not-signed-by-technician",
        {"signers": (NEW, "tech-mea", "PEA")},
    ),
    ("no operator", "not-signed-by-operator", {"signers": (NEW, TECHNICIAN)}),
    ("another operator", "not-signed-by-operator", {"signers": (NEW, TECHNICIAN, "MEA")}),
    ("a stranger too", "stranger-signed", {"signers": (NEW, TECHNICIAN, "PEA", "gw-a")}),
    ("a record of another meter", "unfit-commissioning", {"record": {"meter": "c8"}}),
    ("a record of another node", "unfit-commissioning", {"record": {"node": "n2"}}),
    ("a record of another zone", "unfit-commissioning", {"record": {"zone": "z2"}}),
    ("a record of another kind", "unfit-commissioning", {"record_type": "text/plain"}),
    ("a record that only the meter signed", "unfit-commissioning", {"record_signers": (NEW,)}),
    (
        "a record that only a technician signed",
        "unfit-commissioning",
        {"record_signers": (TECHNICIAN,)},
    ),
    (
        "another configuration id",
        "unfit-commissioning",
        {"entry": {"configuration_id": "00" * 8}},
    ),
    ("an unreachable node", "unfit-registry", {"entry": {"node": "n9"}, "record": {"node": "n9"}}),
    ("an unknown reader", "unfit-registry", {"entry": {"reader": "gw-z"}}),
    ("a boundary elsewhere", "unfit-registry", {"entry": {"role": "boundary"}}),
]


@pytest.mark.parametrize(
    ("name", "changes"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_what_does_not_stand_is_refused_by_name_and_spoils_a_block(
    name: str, changes: dict[str, Any]
) -> None:
    village = enrolling_village()
    transaction = Transaction.open(Enrolment(village.genesis, **changes).transaction().encoded)
    assert refusal(village, transaction) == name
    with pytest.raises(InvalidBlock):
        village.execute([], 0, [transaction])
    assert village.app.pick_transactions(at(0), [transaction], BOOK) == []


def test_the_same_enrolment_unspoilt_stands() -> None:
    village = enrolling_village()
    assert refusal(village, Enrolment(village.genesis).transaction()) == ""
    last = Enrolment(village.genesis, slot=1 + 35 * 96).transaction()
    assert refusal(village, last) == ""


@pytest.mark.parametrize("party", range(3))
def test_each_signature_counts_for_what_was_signed_only(party: int) -> None:
    village = enrolling_village()
    good, other = (
        Enrolment(village.genesis, nonce=bytes([number] * 16)).transaction() for number in (1, 2)
    )
    signatures = list(good.sign.signatures)
    signatures[party] = other.sign.signatures[party]
    forged = Transaction(Sign(good.sign.protected, good.sign.payload, tuple(signatures)))
    parties = ("meter", "technician", "operator")
    assert refusal(village, forged) == f"not-signed-by-{parties[party]}"


def test_a_tampered_commissioning_record_is_refused_whoever_signs_the_transaction() -> None:
    village = enrolling_village()
    record = Enrolment(village.genesis).commissioning()
    for tampered in (record.replace(b"unit", b"unix"), record[:-1] + b"?", record[:-1], b""):
        transaction = Enrolment(village.genesis, carried=tampered).transaction()
        assert refusal(village, transaction) == "unfit-commissioning"


def test_what_is_on_the_ledger_is_not_taken_again() -> None:
    village = enrolling_village()
    transaction = enrol(village, 5)
    village.commit([], 0, [transaction])
    assert refusal(village, transaction) == "transaction-replayed"
    reordered = Sign(
        transaction.sign.protected, transaction.sign.payload, transaction.sign.signatures[::-1]
    )
    assert refusal(village, Transaction(reordered)) == "transaction-replayed"
    again = Enrolment(village.genesis, 5, nonce=bytes(16)).transaction()
    assert refusal(village, again) == "meter-id-taken"
    other = Enrolment(village.genesis, 5, "c8", key=signer(NEW)).transaction()
    assert refusal(village, other) == "key-taken"
    with pytest.raises(InvalidBlock, match="on the ledger already"):
        village.execute([], 1, [transaction])


def test_an_id_and_a_key_stay_taken_after_retirement() -> None:
    village = enrolling_village()
    village.commit([], 0, [enrol(village, 2), retire(village.genesis, "c1", 2)])
    village.commit([], 1, [retire(village.genesis, NEW, 3)])
    for meter, key in (("c1", FOREIGN), (NEW, FOREIGN)):
        taken = Enrolment(village.genesis, 9, meter, key, nonce=bytes(16)).transaction()
        assert refusal(village, taken) == "meter-id-taken"
    for name in ("c1", NEW):
        taken = Enrolment(village.genesis, 9, "c8", signer(name)).transaction()
        assert refusal(village, taken) == "key-taken"


RETIREMENTS = [
    ("nobody", ("PEA",), "meter-not-registered"),
    (NEW, ("PEA",), "meter-not-registered"),
    ("c1", ("MEA",), "not-signed-by-operator"),
    ("c1", ("c1",), "not-signed-by-operator"),
    ("c1", (TECHNICIAN,), "not-signed-by-operator"),
    ("c1", ("PEA", TECHNICIAN), "stranger-signed"),
    ("c1", ("PEA",), ""),
    ("c3", ("PEA",), ""),
]


@pytest.mark.parametrize(("meter", "signers", "name"), RETIREMENTS)
def test_a_meter_is_retired_by_its_zones_operator_only(
    meter: str, signers: tuple[str, ...], name: str
) -> None:
    village = enrolling_village()
    village.commit([], 0, [enrol(village, 4)])
    assert refusal(village, retire(village.genesis, meter, 3, *signers), 1) == name


def test_a_meter_is_retired_once() -> None:
    village = enrolling_village()
    village.commit([], 0, [retire(village.genesis, "c1", 9)])
    assert refusal(village, retire(village.genesis, "c1", 5)) == "meter-not-registered"


def test_of_two_that_exclude_each_other_one_is_picked() -> None:
    village = enrolling_village()
    one = Enrolment(village.genesis, 3).transaction()
    sooner = Enrolment(village.genesis, 2, nonce=bytes(16)).transaction()
    other = Enrolment(village.genesis, 4, "c8").transaction()
    picked = village.app.pick_transactions(at(0), [other, one, sooner], BOOK)
    assert picked == [sooner, other]
    village.execute([], 0, picked)
    with pytest.raises(InvalidBlock, match="was or will be registered"):
        village.execute([], 0, [sooner, one])


def test_a_block_has_room_for_so_many_changes() -> None:
    village = enrolling_village()
    waiting = [enrol(village, 2, f"m{number}") for number in range(MOST_CHANGES + 1)]
    picked = village.app.pick_transactions(at(0), waiting, BOOK)
    assert len(picked) == MOST_CHANGES
    village.execute([], 0, picked)
    with pytest.raises(InvalidBlock, match="more than 32"):
        village.execute([], 0, waiting)


def test_readings_beside_an_enrolment_in_one_block_are_decided_as_before() -> None:
    village = enrolling_village()
    transaction = enrol(village, 2)
    batch = village.batch(village.close(0).values(), 0)
    assert village.commit([batch], 0, [transaction]) == [[], ["accepted"] * 5]
    assert village.seals[0].verdict is Verdict.BALANCED


# The genesis file's technicians.

FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"operator": "XYZ"}, "technician tech-1: operator 'XYZ' is no registered authority"),
    ({"key": signer("PEA").public.text}, "technician tech-1: has the key of PEA"),
    ({"key": signer("c1").public.text}, "a key stands 2 times"),
    ({"key": WEAK}, "technician tech-1: an Ed25519 key of small order"),
    ({"id": "a b"}, "technician a b: id: not an identifier"),
    ({"age": 3}, "technician tech-1: age is unknown"),
]


@pytest.mark.parametrize(("changes", "words"), FAULTS, ids=[words for _, words in FAULTS])
def test_a_technicians_fault_is_named(changes: dict[str, Any], words: str) -> None:
    entry = enrolling_village().genesis.registry["technicians"][0]
    with pytest.raises(BadRegistry) as caught:
        Registry.of(genesis(lambda content: content.update(technicians=[entry | changes])))
    assert words in str(caught.value)


def test_a_network_without_technicians_enrols_nobody() -> None:
    village = Village()
    transaction = Enrolment(village.genesis).transaction()
    assert refusal(village, transaction) == "not-signed-by-technician"
