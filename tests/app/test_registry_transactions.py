"""Registry transactions: who must sign, from when they hold, and that nothing earlier changes."""

import dataclasses
from typing import Any

from tests.app.enrolments import (
    NEW,
    Enrolment,
    enrol,
    enrolling_village,
    refusal,
    retire,
    starts,
)
from tests.app.village import Village, genesis, signer
from validator.app.application import Application
from validator.app.registries import Registries
from validator.app.registry import Registry
from wire import merkle
from wire.results import TxResult, Verdict
from wire.transaction import enrolment_of

WITH_NEW: dict[str, Any] = {"b0": (704, 0), NEW: (100, 0)}


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
    assert execution.affairs.registries != before


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
        content["meters"].append(dict(enrolment_of(transaction).entry))

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


def test_readings_beside_an_enrolment_in_one_block_are_decided_as_before() -> None:
    village = enrolling_village()
    transaction = enrol(village, 2)
    batch = village.batch(village.close(0).values(), 0)
    assert village.commit([batch], 0, [transaction]) == [[], ["accepted"] * 5]
    assert village.seals[0].verdict is Verdict.BALANCED
