"""Registry transactions that do not stand: refused by name, and no block may carry them."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.app.enrolments import (
    NEW,
    TECHNICIAN,
    Enrolment,
    enrol,
    enrolling_village,
    refusal,
    retire,
    starts,
)
from tests.app.village import Village, block_ms, genesis, meter_entry, signer
from validator.app.application import RefusedTransaction
from validator.app.execution import MOST_CHANGES, InvalidBlock
from validator.app.registry import BadRegistry, Registry
from wire.cose import Sign, open_sign
from wire.errors import Malformed
from wire.keys import ES256, SoftSigner
from wire.results import REASONS
from wire.transaction import Transaction

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
        "a record that another operator's technician signed",
        "unfit-commissioning",
        {"record_signers": (NEW, "tech-mea")},
    ),
    (
        "another configuration id",
        "unfit-commissioning",
        {"entry": {"configuration_id": "00" * 8}},
    ),
    (
        "a record that the technician signed first",
        "unfit-commissioning",
        {"record_signers": (TECHNICIAN, NEW)},
    ),
    (
        "a record that a third signed too",
        "unfit-commissioning",
        {"record_signers": (NEW, TECHNICIAN, "PEA")},
    ),
    ("a record with true", "unfit-commissioning", {"record": {"locked": True}}),
    ("a record with bytes", "unfit-commissioning", {"record": {"note": b"x"}}),
    ("a record with a number beyond JSON", "unfit-commissioning", {"record": {"since_s": 2**53}}),
    ("a record with a number as key", "unfit-commissioning", {"record": {"note": {1: 2}}}),
    ("a record without an element", "unfit-commissioning", {"record": {"element": None}}),
    ("a record for unit 0", "unfit-commissioning", {"record": {"unit": 0}}),
    ("a record beyond the pole", "unfit-commissioning", {"record": {"site": [900_000_001, 0]}}),
    ("a record with a long text", "unfit-commissioning", {"record": {"note": "x" * 501}}),
    ("a record of more than 6 KiB", "unfit-commissioning", {"record": {"notes": ["x" * 480] * 13}}),
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
    assert village.pick_transactions(block_ms(0), [transaction]) == []


def test_the_same_enrolment_unspoilt_stands_up_to_its_bounds() -> None:
    village = enrolling_village()
    assert refusal(village, Enrolment(village.genesis).transaction()) == ""
    assert refusal(village, Enrolment(village.genesis, expiry_height=1).transaction()) == ""
    last = Enrolment(village.genesis, slot=1 + 35 * 96).transaction()
    assert refusal(village, last) == ""


@pytest.mark.parametrize(("late_ms", "name"), [(0, ""), (1, "from-has-passed")])
def test_the_first_interval_begins_no_sooner_than_the_block(late_ms: int, name: str) -> None:
    village = enrolling_village()
    transaction = Enrolment(village.genesis, 2).transaction()
    try:
        village.check(transaction, starts(2) * 1000 + late_ms)
        found = ""
    except RefusedTransaction as refused:
        found = REASONS[refused.reason].name
    assert found == name


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


@pytest.mark.parametrize("party", range(2))
def test_each_signature_of_the_record_counts_for_what_was_signed_only(party: int) -> None:
    village = enrolling_village()
    good, other = (
        open_sign(Enrolment(village.genesis, record={"unit": unit}).commissioning())
        for unit in (9, 8)
    )
    signatures = list(good.signatures)
    signatures[party] = other.signatures[party]
    forged = Sign(good.protected, good.payload, tuple(signatures)).encoded
    assert refusal(village, Enrolment(village.genesis, carried=good.encoded).transaction()) == ""
    transaction = Enrolment(village.genesis, carried=forged).transaction()
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
    picked = village.pick_transactions(block_ms(0), [other, one, sooner])
    assert picked == [sooner, other]
    village.execute([], 0, picked)
    with pytest.raises(InvalidBlock, match="was or will be registered"):
        village.execute([], 0, [sooner, one])


def test_a_block_has_room_for_so_many_changes() -> None:
    village = enrolling_village()
    waiting = [enrol(village, 2, f"m{number}") for number in range(MOST_CHANGES + 1)]
    picked = village.pick_transactions(block_ms(0), waiting)
    assert len(picked) == MOST_CHANGES
    village.execute([], 0, picked)
    with pytest.raises(InvalidBlock, match="more than 32"):
        village.execute([], 0, waiting)


WILD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.text(max_size=40)
    | st.binary(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8) | st.integers(0, 99), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(meter_entry(NEW, "n3", "customer"))), WILD), WILD)
@settings(max_examples=150, deadline=None)
def test_no_content_however_wild_does_worse_than_being_refused(
    entry: dict[str, Any], record: Any
) -> None:
    village = enrolling_village()
    wanted = Enrolment(village.genesis, record={"meter": record}, entry=entry)
    try:
        transaction = wanted.transaction()
    except (Malformed, TypeError):
        return  # Not even its signers can make it.
    assert refusal(village, transaction) in {"", *(each.name for each in REASONS.values())}
    if refusal(village, transaction):
        with pytest.raises(InvalidBlock):
            village.execute([], 0, [transaction])
    else:
        village.commit([], 0, [transaction])


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
