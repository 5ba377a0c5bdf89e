"""What is kept of the registries says what they say when asked anew, interval by interval."""

import random

import pytest

from tests.app.enrolments import starts
from tests.app.registry_kinds import (
    GENESIS,
    KINDS,
    Z1,
    administered_village,
    made,
    resiting,
    rotation,
    signed,
)
from tests.app.village import Village, gateway_entry
from validator.app import terms
from validator.app.application import RefusedTransaction
from validator.app.entries import Gateway
from validator.app.registries import Registries
from validator.app.terms import KeptTerms, Terms
from wire.transaction import Transaction
from wire.transaction_bodies import Entry

SLOTS = range(10)


def _change(name: str, slot: int, dice: random.Random) -> Transaction:
    """A change of that kind, from an interval on; of what the terms rest on another than usual."""
    if name.startswith("rotate"):
        _, _, role = name.partition(" ")
        holder = {"meter": "c1", "technician": "tech-1"}.get(role, "gw-a")
        until_s = starts(slot) + dice.randrange(2_000)
        return signed(rotation(holder, role, starts(slot), until_s, f"new {role}"), ["PEA"])
    if name == "change zone":
        return signed(Entry("change-zone", Z1 | {"parent": "z2"}, starts(slot)), ["PEA"])
    if name == "change gateway":
        moved = gateway_entry("gw-b") | {"zones": ["z2"]}
        return signed(Entry("change-gateway", moved, starts(slot)), ["PEA"])
    return made(name, slot)


def _changed(seed: int) -> Village:
    """A village in which some changes of every kind are registered, from several intervals on."""
    dice, village = random.Random(seed), administered_village()
    for name in dice.sample(sorted(KINDS), 9):
        change = _change(name, dice.randrange(2, 8), dice)
        try:
            village.check(change, GENESIS.time_ms)
        except RefusedTransaction:
            continue  # It does not fit those before it.
        village.commit([], 0, [change])
    return village


def _asked(
    kept: KeptTerms, registries: Registries, name: str, ask: tuple[int, int]
) -> list[Terms | None]:
    """The terms of a meter by each gateway that is there when the second slot ends."""
    start_s, witnessed_at_s = starts(ask[0]), starts(ask[1] + 1) + 2
    gateways = [registries.gateway(each, witnessed_at_s) for each in ("gw-a", "gw-b", "gw-c")]
    return [
        kept.by(registries, each, witnessed_at_s).of(name, start_s)
        for each in gateways
        if each is not None
    ]


def _but_times(found: list[Terms | None]) -> list[Terms | None]:
    return [None if each is None else each._replace(from_s=0, until_s=0) for each in found]


@pytest.mark.parametrize("seed", range(12))
def test_kept_terms_are_what_the_registries_say_of_each_interval(seed: int) -> None:
    dice, village = random.Random(seed), _changed(seed)
    registries, kept = village.app.registries, KeptTerms()
    assert registries.changes
    for _ in range(300):
        ask = dice.choice(SLOTS), dice.choice(SLOTS)
        name = dice.choice(["b0", "c1", "c2", "c3", "pv", "c9", "nobody"])
        found = _but_times(_asked(kept, registries, name, ask))
        assert found == _but_times(_asked(KeptTerms(), registries, name, ask))
        meter = registries.meter(name, starts(ask[0]))
        assert all((None if each is None else each.meter) == meter for each in found)


def test_a_change_between_two_blocks_is_followed_at_once() -> None:
    village = administered_village()
    meter = village.meters["c1"]
    assert village.decide(meter.close(0, 1, 0), 0) == "accepted"
    before = village.app.registries
    village.commit([], 0, [signed(resiting(starts(2)), ["c1", "tech-1", "PEA"])])
    assert village.app.registries is not before
    assert village.decide(meter.close(1, 1, 0), 1) == "accepted"
    assert village.decide(meter.sign(meter.reading(2, 1, 0)), 2) == "wrong-node"
    there = village.app.registries.meter("c1", starts(2))
    assert there is not None
    moved = {"node": there.node, "configuration_id": there.configuration_id}
    assert village.decide(meter.close(2, 1, 0, **moved), 2) == "accepted"


def test_a_change_within_a_block_is_followed_by_the_batches_after_it() -> None:
    village = administered_village()
    meter = village.meters["c1"]
    first, last = (village.batch([meter.close(slot, 1, 0)], slot) for slot in (0, 1))
    ended = made("compromise meter")
    assert village.commit([first], 0) == [["accepted"]]
    assert village.commit([last], 1, [ended]) == [[], ["accepted"]]
    assert village.decide(meter.close(2, 1, 0), 2) == "compromised-key"


def test_terms_are_gathered_once_for_all_blocks_between_two_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else they would cost more than they save."""
    asked: list[str] = []
    gathered = terms._gathered

    def counted(registries: Registries, gateway: Gateway, name: str, start_s: int) -> Terms | None:
        asked.append(name)
        return gathered(registries, gateway, name, start_s)

    monkeypatch.setattr(terms, "_gathered", counted)
    village = administered_village()
    for slot in range(4):
        village.commit([village.batch(village.close(slot).values(), slot)], slot)
    assert sorted(asked) == ["b0", "c1", "c2", "c3", "pv"]
    village.commit([], 4, [made("add technician", 6)])
    village.commit([village.batch(village.close(4).values(), 4)], 4)
    assert len(asked) == 10


def test_nobody_makes_the_kept_terms_grow_past_their_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terms, "_KEPT", 4)
    registries, kept = administered_village().app.registries, KeptTerms()
    gateway = registries.gateway("gw-a", starts(0))
    assert gateway is not None
    carried = kept.by(registries, gateway, starts(1))
    assert all(carried.of(f"nobody-{number}", starts(0)) is None for number in range(50))
    assert len(carried) == 0
    for name in ("b0", "c1", "c2", "c3", "pv"):
        carried.of(name, starts(0))
        carried.of(name, starts(5))
    assert len(carried) == 5
    kept.tidy()
    assert len(kept.by(registries, gateway, starts(1))) == 0
