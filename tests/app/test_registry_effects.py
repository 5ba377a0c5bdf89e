"""What a registry transaction that stands changes, and from when on: keys, places, zones, loads."""

from typing import Any

import pytest

from tests.app.enrolments import NEW, starts
from tests.app.registry_kinds import (
    GENESIS,
    Z1,
    administered_village,
    compromise,
    made,
    resiting,
    rotation,
    settle,
    signed,
    zone_entry,
)
from tests.app.village import Village, block_ms, branch, gateway_entry, signer
from validator.app.application import Application, InvalidBlock, RefusedBatch
from validator.app.changes import Exchange
from validator.app.registries import Registries
from wire.results import REASONS
from wire.transaction import Body, Transaction
from wire.transaction_bodies import Entry, Retirement
from wire.witness import Batch

HALF_S = 450


def village_with(*changes: Transaction) -> Village:
    village = administered_village()
    village.commit([], 0, changes)
    return village


def carried(village: Village, batch: Batch, slot: int) -> str:
    """Why a block may not carry the batch; "" when it may. The mempool and the block agree."""
    picked = village.pick(block_ms(slot), [batch])
    try:
        village.check(batch)
    except RefusedBatch as refused:
        why = REASONS[refused.reason].name
    else:
        village.execute([batch], slot)
        assert picked == [batch]
        return ""
    assert picked == []
    with pytest.raises(InvalidBlock):
        village.execute([batch], slot)
    return why


def witnessed(village: Village, slot: int, key: str = "gw-a", **changes: Any) -> str:
    batch = village.batch(
        [village.meters["c1"].close(slot, 1, 0)], slot, key=signer(key), **changes
    )
    return carried(village, batch, slot)


# Keys.


def test_a_witness_key_counts_by_the_time_of_the_statement() -> None:
    """The old key to the end of the overlap, the new one from its first interval on."""
    village = village_with(
        signed(rotation("gw-a", "witness", starts(3), starts(4) + HALF_S), ["PEA"])
    )
    old = [witnessed(village, slot, "gw-a") for slot in (1, 2, 3, 4)]
    new = [witnessed(village, slot, "new key") for slot in (1, 2, 3, 4)]
    no = "unknown-witness-key"
    assert old == ["", "", "", no]
    assert new == [no, "", "", ""]


def test_what_an_old_key_witnessed_in_its_time_stands_however_late_it_comes() -> None:
    village = village_with(signed(rotation("gw-a", "witness", starts(3)), ["PEA"]))
    batch = village.batch([village.meters["c1"].close(1, 1, 0)], 1)
    assert carried(village, batch, 9) == ""


def test_a_compromised_key_admits_nothing_later_whatever_time_it_claims() -> None:
    village = administered_village()
    before = village.batch([village.meters["c1"].close(0, 1, 0)], 0)
    waits = village.batch([village.meters["c2"].close(0, 1, 0)], 0)
    ended = signed(compromise("gw-a", "witness"), ["PEA"])
    assert village.commit([before], 0, [ended]) == [[], ["accepted"]]
    assert not village.app.may_stand(waits)
    assert carried(village, waits, 1) == "compromised-witness-key"
    village.check(before)  # It is on the ledger: it is answered again.


def test_backlog_is_witnessed_again_with_the_key_that_follows_a_compromised_one() -> None:
    village = village_with(signed(compromise("gw-a", "witness"), ["PEA"]))
    entry = gateway_entry("gw-a") | {"witness_key": signer("new").public.text}
    village.commit([], 0, [signed(Entry("change-gateway", entry, starts(2)), ["PEA", "new"])])
    reading = village.meters["c1"].close(0, 1, 0)
    assert carried(village, village.batch([reading], 0), 2) == "compromised-witness-key"
    again = village.batch([reading], 2, key=signer("new"))
    assert village.commit([again], 2) == [["accepted"]]


def test_a_meters_key_counts_by_the_interval_of_the_reading() -> None:
    village = village_with(signed(rotation("c1", "meter", starts(2), starts(3)), ["PEA"]))
    meter = village.meters["c1"]
    found = [village.decide(meter.close(slot, 1, 0), slot) for slot in (1, 2, 3)]
    assert found == ["accepted"] * 3
    assert village.decide(meter.close(4, 1, 0), 4) == "unknown-key"
    meter.signer, meter.sequence = signer("new key"), 3
    assert village.decide(meter.sign(meter.reading(1, 1, 0)), 4) == "unknown-key"
    village = village_with(signed(rotation("c1", "meter", starts(2)), ["PEA"]))
    meter = village.meters["c1"]
    assert village.decide(meter.close(1, 1, 0), 1) == "accepted"
    meter.signer = signer("new key")
    assert village.decide(meter.close(2, 1, 0), 2) == "accepted"


def test_a_compromised_meters_readings_are_refused_for_good() -> None:
    village = village_with(signed(compromise("c1", "meter"), ["PEA"]))
    assert village.decide(village.meters["c1"].close(0, 1, 0), 1) == "compromised-key"
    [reason] = [each for each in REASONS.values() if each.name == "compromised-key"]
    assert not reason.retry


def test_a_reader_signs_what_it_has_read_by_its_key_of_then_or_of_when_it_was_seen() -> None:
    village = village_with(signed(rotation("gw-a", "reader", starts(2)), ["PEA"]))
    meter = village.meters["c3"]
    assert village.decide(meter.close(1, 1, 0), 1) == "accepted"
    meter.signer = signer("new key")
    late = meter.close(0, 0, 0)
    assert village.decide(late, 0) == "unknown-key"
    assert village.decide(late, 1) == "accepted"  # Seen as the second interval begins.


# Places.


def test_a_moved_gateway_brings_what_it_read_before_and_only_that() -> None:
    far = gateway_entry("gw-b") | {"zones": ["z2"]}
    village = village_with(signed(Entry("change-gateway", far, starts(2)), ["PEA"]))
    meter = village.meters["c1"]
    backlog, newer = meter.close(1, 1, 0), meter.close(2, 1, 0)
    assert village.decide(backlog, 2, gateway="gw-b") == "accepted"
    assert village.decide(newer, 2, gateway="gw-b") == "zone-not-served"


def test_a_gateway_witnesses_from_its_first_interval_to_its_last() -> None:
    village = village_with(made("add gateway", 2), made("retire gateway", 3))
    c = [witnessed(village, slot, "gw-c", gateway="gw-c") for slot in (0, 1, 2)]
    b = [witnessed(village, slot, "gw-b", gateway="gw-b") for slot in (1, 2, 3)]
    assert c == ["unknown-gateway", "", ""]
    assert b == ["", "unknown-gateway", "unknown-gateway"]


def test_a_meter_is_elsewhere_from_its_interval_on() -> None:
    resited = resiting(starts(2))
    village = village_with(made("re-site"))
    meter = village.meters["c1"]
    found = [village.decide(meter.close(slot, 1, 0), slot) for slot in (0, 1)]
    assert found == ["accepted", "accepted"]
    assert village.decide(meter.sign(meter.reading(2, 1, 0)), 2) == "wrong-node"
    meter.entry = dict(resited.entry)
    assert village.decide(meter.close(2, 1, 0), 2) == "accepted"


def test_a_replacement_ends_one_meter_begins_another_and_joins_their_registers() -> None:
    village = village_with(made("replace", 2))
    registries = village.app.registries
    assert registries.exchange(NEW) == Exchange("c2", (5_000, 7), (12, 0))
    assert [sorted(registries.at(starts(slot)).meters) for slot in (1, 2)] == [
        ["b0", "c1", "c2", "c3", "pv"],
        ["b0", "c1", "c3", NEW, "pv"],
    ]
    assert village.decide(village.meters["c2"].close(2, 1, 0), 2) == "not-registered-then"


# Zones and loads.


def test_a_zone_has_its_lines_from_its_interval_on() -> None:
    lines = [branch("bus", "n1"), branch("n1", "n2"), branch("n1", "n3")]
    village = village_with(
        signed(Entry("change-zone", Z1 | {"branches": lines}, starts(2)), ["PEA"])
    )
    feeders = [village.app.registries.at(starts(slot)).feeders["z1"] for slot in (1, 2)]
    assert feeders[0].parameters_hash != feeders[1].parameters_hash
    assert [len(each.lines) for each in feeders] == [3, 3]
    assert feeders[0].lines != feeders[1].lines


def test_a_zone_that_is_hung_anew_takes_its_boundary_meters_along() -> None:
    village = village_with(
        signed(Entry("change-zone", zone_entry("z2", parent="z1"), starts(2)), ["PEA"]),
        signed(Entry("add-zone", zone_entry("z3", parent="z2"), starts(3)), ["PEA"]),
    )
    registries = village.app.registries
    found = [
        [each.id for each in registries.at(starts(slot)).children_of("z1")] for slot in (1, 2, 3)
    ]
    assert found == [[], ["z2"], ["z2"]]
    assert [each.id for each in registries.at(starts(3)).children_of("z2")] == ["z3"]


def test_a_load_without_a_meter_counts_from_its_interval_on() -> None:
    village = village_with(made("add unmetered", 2), made("retire unmetered", 3))
    registries = village.app.registries
    loads = [
        [each.load.id for each in registries.at(starts(slot)).feeders["z1"].unmetered]
        for slot in (1, 2, 3)
    ]
    assert loads == [["l1"], ["l1", "l2"], ["l2"]]


# History.


def test_history_answers_what_was_registered_then() -> None:
    village = village_with(made("rotate witness", 2), made("enrol", 2))
    registries = village.app.registries
    first, second = registries.history("gateways", "gw-a")
    assert (first.from_s, first.until_s, first.change) == (None, starts(2), None)
    assert (second.from_s, second.until_s) == (starts(2), None)
    assert first.written is not None
    assert dict(first.written) == gateway_entry("gw-a") | {"site": first.written["site"]}
    assert second.written is not None
    assert second.change is not None
    assert second.written["witness_key"] == signer("new key").public.text
    assert (second.change.kind, second.change.height) == ("rotate-key", 1)
    [enrolled] = registries.history("meters", NEW)
    assert (enrolled.from_s, enrolled.until_s) == (starts(2), None)
    assert registries.history("meters", "nobody") == []
    [before, after] = village_with(made("retire meter", 3)).app.registries.history("meters", "c1")
    assert before.written is not None
    assert (after.from_s, after.written) == (starts(3), None)


def test_a_restart_gives_every_kinds_registries_again() -> None:
    changes = [
        made(name, slot)
        for name, slot in (
            *(("enrol", 3), ("re-site", 4), ("rotate witness", 2), ("compromise reader", 0)),
            *(("add gateway", 5), ("add technician", 6), ("add zone", 2), ("change zone", 7)),
            *(("add unmetered", 3), ("retire unmetered", 4), ("retire gateway", 6)),
        )
    ]
    village = village_with(*changes)
    again = Application(GENESIS)
    again.restore(
        [
            (table, row, value)
            for table in ("registry", "root")
            for row, value in reversed(list(village.app.state.rows(table)))
        ]
    )
    registries = village.app.registries
    assert again.registries == registries
    assert again.registries.compromised == registries.compromised
    one_by_one = Registries(registries.base)
    for change in reversed(registries.changes):
        one_by_one.at(starts(9)).feeders["z1"]
        one_by_one = one_by_one.with_change(change)
    for slot in range(9):
        at_s = starts(slot)
        assert again.registries.at(at_s) == registries.at(at_s) == one_by_one.at(at_s)
        feeders = [dict(each.at(at_s).feeders) for each in (again.registries, one_by_one)]
        assert feeders == [dict(registries.at(at_s).feeders)] * 2


def test_a_zone_that_is_no_more_is_sealed_no_more() -> None:
    def two_zones(content: dict[str, Any]) -> None:
        settle(content)
        meter = content["meters"][1] | {"id": "d1", "zone": "z2", "node": "x"}
        content["meters"].append(meter | {"key": signer("d1").public.text})
        for gateway in content["gateways"]:
            gateway["zones"] = ["z1", "z2"]

    village = Village(two_zones)
    ends: list[Body] = [
        *(Retirement("retire-meter", "d1", starts(2)), Retirement("retire-zone", "z2", starts(2))),
        Entry("change-gateway", gateway_entry("gw-a"), starts(2)),
        Entry("change-gateway", gateway_entry("gw-b"), starts(2)),
    ]
    order = [ends[0], ends[2], ends[3], ends[1]]
    village.commit([], 0, [signed(each, ["PEA"], village.genesis) for each in order])
    assert village.decide(village.meters["d1"].close(0, 1, 0), 0) == "accepted"
    village.commit([], 40)
    assert [seal.start_s for seal in village.seals if seal.zone == "z2"] == [starts(0), starts(1)]
