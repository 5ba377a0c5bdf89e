"""Cases: opened by what does not settle, cleared by better data, resolved by the operator."""

from typing import Any

import pytest

from tests.app.enrolments import NONCE, refusal, with_technician
from tests.app.village import (
    INTERVAL_S,
    ORDINARY,
    START_S,
    Register,
    Village,
    block_ms,
    meter_entry,
    signer,
)
from validator.app.application import InvalidBlock
from validator.app.cases import Cause, Status
from wire.errors import Malformed
from wire.resolution import DISMISS, SETTLE, ResolveCase
from wire.results import Verdict
from wire.transaction import Transaction, payload_of

WINDOW = 35 * 96


def starts(slot: int) -> int:
    return START_S + slot * INTERVAL_S


def resolution(
    village: Village, slot: int, revision: int = 0, decision: str = SETTLE, *signers: str, **at: Any
) -> Transaction:
    body = ResolveCase(at.get("zone", "z1"), starts(slot), revision, decision, "looked into")
    network = at.get("network", village.genesis.network)
    payload = payload_of(network, at.get("nonce", NONCE), at.get("expiry", 1_000), body)
    transaction = Transaction.of(payload)
    for name in signers or ("PEA",):
        transaction = transaction.with_signature(signer(name))
    return transaction


def suspicious() -> Village:
    """Slot 0 does not add up: c1 counts nothing of its 500 Wh, and reports an open cover."""
    village = Village(with_technician)
    readings = village.close(0, c1=None)
    readings["c1"] = village.meters["c1"].close(0, 0, 0, status=1 << 8)
    village.commit([village.batch(readings.values(), 0)], 0)
    return village


def credits_at(village: Village, slot: int) -> dict[str, tuple[int, int]]:
    found = {}
    for name in village.meters:
        for each in village.app.credits(name, starts(slot), starts(slot) + 1):
            found[name] = (each.import_wh, each.export_wh)
    return found


def test_what_does_not_add_up_opens_a_case_that_says_what_is_known() -> None:
    village = suspicious()
    report = village.app.case("z1", starts(0))
    assert report is not None
    assert report.case.status == Status.OPEN
    assert report.case.cause == Cause.DOES_NOT_ADD_UP
    assert report.case.verdict == Verdict.IMPOSSIBLE
    assert report.marked == (("c1", 1 << 8),)
    assert (report.missing, report.late, report.inside) == ((), (), ())
    assert [each.start_s for each in village.app.cases(open_only=True)] == [starts(0)]
    assert village.app.tally("z1")[1:3] == (0, 1)
    assert village.app.tally("z1").opened == 1


def test_the_operator_settles_what_meters_have_signed() -> None:
    village = suspicious()
    transaction = resolution(village, 0)
    village.commit([], 1, [transaction])
    assert credits_at(village, 0) == {
        "c1": (0, 0),
        "c2": ORDINARY["c2"],
        "c3": ORDINARY["c3"],
        "pv": ORDINARY["pv"],
    }
    report = village.app.case("z1", starts(0))
    assert report is not None
    assert (report.case.status, report.case.resolution) == (Status.SETTLED, transaction.id)
    assert report.case.closed == village.app.state.height
    assert village.app.height_of(transaction.id) == village.app.state.height
    assert village.app.cases("z1", open_only=True) == []
    assert village.app.tally("z1").closed == 1


def test_the_operator_dismisses_and_nothing_is_credited() -> None:
    village = suspicious()
    village.commit([], 1, [resolution(village, 0, 0, DISMISS)])
    assert credits_at(village, 0) == {}
    assert village.app.cases()[0].case.status == Status.DISMISSED
    village.commit([], 2, [resolution(village, 0, 0, SETTLE)])
    assert village.app.cases()[0].case.status == Status.SETTLED
    assert refusal(village, resolution(village, 0, 0, DISMISS, nonce=bytes(16)), 1) == "case-closed"


REFUSED = [
    pytest.param({"signers": ("MEA",)}, "not-signed-by-operator", id="another authority"),
    pytest.param({"signers": ("PEA", "MEA")}, "stranger-signed", id="a stranger beside"),
    pytest.param({"slot": 1}, "no-case", id="another window"),
    pytest.param({"zone": "z9"}, "no-case", id="no zone"),
    pytest.param({"revision": 1}, "case-moved-on", id="another revision"),
    pytest.param({"network": bytes(32)}, "transaction-of-other-network", id="another network"),
    pytest.param({"expiry": 1}, "transaction-expired", id="too late"),
]


@pytest.mark.parametrize(("wrong", "reason"), REFUSED)
def test_a_resolution_that_does_not_stand_is_refused(wrong: dict[str, Any], reason: str) -> None:
    village = suspicious()
    slot, revision = wrong.pop("slot", 0), wrong.pop("revision", 0)
    signers = wrong.pop("signers", ())
    transaction = resolution(village, slot, revision, SETTLE, *signers, **wrong)
    assert refusal(village, transaction, 1) == reason


def test_a_resolution_is_not_replayed() -> None:
    village = suspicious()
    transaction = resolution(village, 0)
    village.commit([], 1, [transaction])
    assert refusal(village, transaction, 2) == "transaction-replayed"


def test_a_block_never_dismisses_what_it_has_settled() -> None:
    village = suspicious()
    both = [resolution(village, 0), resolution(village, 0, 0, DISMISS)]
    first = min(both, key=lambda each: each.id)
    picked = village.pick_transactions(block_ms(1), both)
    assert picked == ([first] if first is both[0] else [first, both[0]])
    with pytest.raises(InvalidBlock, match="case"):
        village.execute([], 1, both)


def test_a_better_revision_clears_the_case_and_credits_what_was_not() -> None:
    def two_readers(content: dict[str, Any]) -> None:
        with_technician(content)
        content["meters"][3]["also_read_by"] = ["gw-b"]

    village = Village(two_readers)
    other = Register(village.meters["c3"].entry)
    other.signer = signer("gw-b reader")
    readings = village.close(0)
    first = readings.pop("c3")
    village.commit([village.batch([*readings.values(), other.close(0, 0, 0)], 0)], 0)
    assert village.app.cases()[0].case.verdict == Verdict.IMPOSSIBLE
    assert village.decide(first, 0) == "accepted"
    assert village.app.cases()[0].case.status == Status.CLEARED
    assert credits_at(village, 0)["c3"] == (200, 0)
    assert refusal(village, resolution(village, 0, 1), 1) == "case-closed"
    assert village.app.tally("z1") == (1, 0, 1, 0, 0, 1, 1)


def test_a_dispute_after_settlement_opens_a_case_and_takes_nothing_back() -> None:
    village = Village(with_technician)
    village.commit([village.batch(village.close(0).values(), 0)], 0)
    assert village.decide(village.meters["c1"].close(0, 0, 0), 0) == "accepted"
    assert village.app.cases()[0].case.cause == Cause.WORSE_THAN_SETTLED
    assert credits_at(village, 0)["c1"] == (500, 0)
    village.commit([], 1, [resolution(village, 0, 1, DISMISS)])
    assert credits_at(village, 0)["c1"] == (500, 0)


def late_village() -> tuple[Village, bytes]:
    """Slot 0 lacks c2, whose reading comes after the acceptance window."""
    village = Village(with_technician)
    readings = village.close(0)
    late = readings.pop("c2")
    village.commit([village.batch(readings.values(), 0)], 0)
    for slot in range(1_000, WINDOW + 2_000, 1_000):
        village.commit([], min(slot, WINDOW + 1))
    return village, late


def test_a_window_that_ended_without_a_meter_is_a_case_and_late_readings_settle_by_it_only() -> (
    None
):
    village, late = late_village()
    case = village.app.case("z1", starts(0))
    assert case is not None
    assert (case.case.cause, case.missing) == (Cause.WINDOW_ENDED, ("c2",))
    village.commit([], WINDOW + 1, [resolution(village, 0, nonce=bytes(16))])
    assert sorted(credits_at(village, 0)) == ["c1", "c3", "pv"]
    assert village.decide(late, WINDOW + 1) == "late"
    assert sorted(credits_at(village, 0)) == ["c1", "c3", "pv"]
    report = village.app.case("z1", starts(0))
    assert report is not None
    assert report.late == ("c2",)
    village.commit([], WINDOW + 1, [resolution(village, 0)])
    assert credits_at(village, 0)["c2"] == (300, 0)


def test_settled_by_a_case_a_window_is_never_merged_into_another() -> None:
    village = Village(with_technician)
    village.commit([village.batch(village.close(0).values(), 0)], 0)
    village.commit([village.batch(village.close(1, c2=None, b0=(9_000, 0)).values(), 1)], 1)
    village.commit([], 6)
    village.commit([], 6, [resolution(village, 1)])
    village.meters["c2"].import_wh += 300
    village.commit([village.batch(village.close(6).values(), 6)], 6)
    assert all(seal.start_s != starts(1) or seal.revision == 0 for seal in village.seals)
    village.commit([], 6, [resolution(village, 1, nonce=bytes(16))])
    assert "c2" not in credits_at(village, 1), "its registers are not known at the window's end"


def test_a_merged_window_takes_the_cases_of_its_windows_with_it() -> None:
    """Else one resolution would credit an interval twice, and name intervals nobody has sealed."""
    village = Village(with_technician)
    village.commit([village.batch(village.close(0).values(), 0)], 0)
    village.commit([village.batch(village.close(1, c2=None).values(), 1)], 1)
    village.commit([village.batch(village.close(2, c2=None, b0=(9_000, 0)).values(), 2)], 2)
    village.commit([village.batch(village.close(3, c2=None).values(), 3)], 3)
    village.commit([], 7)
    waits = resolution(village, 2)
    assert refusal(village, waits, 7) == ""
    village.meters["c2"].import_wh += 900
    village.commit([village.batch([village.close(4)["c2"]], 7)], 7)
    cases = [(each.start_s, each.case.status) for each in village.app.cases()]
    assert cases == [(starts(1), Status.OPEN), (starts(2), Status.CLEARED)]
    assert refusal(village, waits, 7) == "case-closed"
    village.commit([], 7, [resolution(village, 1, 1)])
    assert credits_at(village, 1)["c2"] == (900, 0)
    assert credits_at(village, 2) == {}
    assert village.app.tally("z1")[-2:] == (2, 2)


def test_a_dismissed_case_of_a_window_that_was_merged_is_not_settled_any_more() -> None:
    village = Village(with_technician)
    village.commit([village.batch(village.close(0).values(), 0)], 0)
    village.commit([village.batch(village.close(1, c2=None).values(), 1)], 1)
    village.commit([village.batch(village.close(2, c2=None, b0=(9_000, 0)).values(), 2)], 2)
    village.commit([], 7)
    village.commit([], 7, [resolution(village, 2, 0, DISMISS)])
    village.meters["c2"].import_wh += 600
    village.commit([village.batch([village.close(3)["c2"]], 7)], 7)
    assert refusal(village, resolution(village, 2, nonce=bytes(16)), 7) == "case-moved-on"


def nested(content: dict[str, Any]) -> None:
    with_technician(content)
    content["zones"].append(
        {"id": "z0", "parent": "", "operator": "PEA", "p0_mw": 0, "branches": [], "root": "mv"}
    )
    content["zones"][0]["parent"] = "z0"
    content["gateways"][0]["zones"] = ["z0", "z1"]
    content["meters"].append(meter_entry("a0", "mv", "boundary", zone="z0", rating_w=100_000))


def test_a_parents_case_tells_what_the_children_say() -> None:
    village = Village(nested)
    village.commit([village.batch(village.close(0, a0=(2_000, 0)).values(), 0)], 0)
    report = village.app.case("z0", starts(0))
    assert report is not None
    assert report.inside == (("z1", Verdict.BALANCED),)
    credit = village.app.credits("c1", starts(0), starts(1))[0]
    assert (credit.import_wh, credit.firm) == (500, False)
    village.commit([], 1, [resolution(village, 0, zone="z0")])
    assert village.app.credits("c1", starts(0), starts(1))[0].firm
    assert village.app.credits("b0", starts(0), starts(1))[0].firm


@pytest.mark.parametrize(
    "items",
    [
        ["resolve-case", "z1", 0, 0, "pardon", ""],
        ["resolve-case", "z1", 0, 0, "settle", "x" * 501],
        ["resolve-case", "z1", 0, -1, "settle", ""],
        ["resolve-case", "z1", 0, 0, "settle"],
        ["dissolve-case", "z1", 0, 0, "settle", ""],
    ],
)
def test_a_resolution_of_another_shape_is_none(items: list[Any]) -> None:
    with pytest.raises(Malformed):
        ResolveCase.of_items(items)
