"""Where one meter takes another's place nothing of what flowed is lost: their registers join."""

from typing import Any

from tests.app.enrolments import NEW, TECHNICIAN, Enrolment, starts
from tests.app.registry_kinds import settle, signed
from tests.app.village import Register, Village
from validator.app.settlement import credited
from wire.results import Verdict
from wire.transaction_bodies import ReplaceMeter

FROM = 4
"""First interval of the new meter; the old one was taken down in the one before."""


def village_with(old_wh: int, start_wh: int) -> Village:
    """The village with c2 replaced by c9, and what both showed at the exchange."""

    def quick(content: dict[str, Any]) -> None:
        settle(content)
        content["unmetered"].clear()
        content["parameters"]["bridge_wait_s"] = 900

    village = Village(quick)
    shown: dict[str, Any] = {
        "start_wh": [start_wh, 0],
        "old_meter": {"id": "c2", "import_wh": old_wh, "export_wh": 0},
    }
    made = Enrolment(
        village.genesis,
        from_s=starts(FROM),
        record={"node": "n2", "commissioning": shown},
        entry={"node": "n2"},
    ).body()
    body = ReplaceMeter(made.entry, made.from_s, made.commissioning, "c2")
    change = signed(body, (NEW, TECHNICIAN, "PEA"), village.genesis)
    village.commit([], 0, [change])
    village.meters[NEW] = Register(dict(made.entry))
    return village


def live(village: Village, slots: range, **energies: tuple[int, int] | None) -> None:
    for slot in slots:
        closed = village.close(slot, **energies)
        village.commit([village.batch(closed.values(), slot)], slot)


def test_the_window_of_the_exchange_is_sealed_on_both_meters_registers() -> None:
    """c2 counts 100 Wh of the interval, c9 the other 200; neither has a reading of it."""
    village = village_with(old_wh=1_000_000 + 3 * 300 + 100, start_wh=12)
    live(village, range(3))
    live(village, range(3, 4), c2=None)
    village.meters[NEW].import_wh = 12 + 200
    village.meters[NEW].sequence = 5
    live(village, range(4, 12), c2=None, **{NEW: (300, 0)})
    last = {seal.start_s: seal for seal in village.seals if seal.start_s == starts(3)}
    assert last[starts(3)].verdict is Verdict.BALANCED
    found = credited(village.app.state, "c2", starts(3))
    assert found is not None
    assert (found.import_wh, found.export_wh) == (300, 0)
    others = [credited(village.app.state, NEW, starts(slot)) for slot in (3, 4)]
    assert [each is not None for each in others] == [False, True]


def test_energy_that_vanishes_between_the_two_makes_the_window_suspect() -> None:
    """The technician writes down 2 kWh more than flowed: the zone does not add up."""
    village = village_with(old_wh=1_000_000 + 3 * 300 + 2_100, start_wh=12)
    live(village, range(3))
    live(village, range(3, 4), c2=None)
    village.meters[NEW].import_wh = 12 + 200
    live(village, range(4, 12), c2=None, **{NEW: (300, 0)})
    last = {seal.start_s: seal for seal in village.seals if seal.start_s == starts(3)}
    assert last[starts(3)].verdict in (Verdict.SUSPECT, Verdict.IMPOSSIBLE)
    assert credited(village.app.state, "c2", starts(3)) is None


def test_a_first_reading_that_is_missing_is_told_by_the_old_meters_last() -> None:
    """c9 comes up an interval late: its register less what it began with is what flowed."""
    village = village_with(old_wh=1_000_000 + 4 * 300, start_wh=12)
    live(village, range(4))
    live(village, range(4, 5), c2=None)
    village.meters[NEW].import_wh = 12 + 300
    live(village, range(5, 13), c2=None, **{NEW: (300, 0)})
    last = {seal.start_s: seal for seal in village.seals if seal.start_s == starts(4)}
    assert last[starts(4)].verdict is Verdict.BALANCED
    found = credited(village.app.state, NEW, starts(4))
    assert found is not None
    assert found.import_wh == 300
