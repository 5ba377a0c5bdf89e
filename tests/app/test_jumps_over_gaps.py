"""What fuses let through bounds what registers may tell over a gap; every seal can be read."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.app.test_merged_windows import close_all, seals_of, slept, starts
from tests.app.village import Village
from validator.app.capacity import capacity
from validator.app.settlement import credited
from wire.results import Verdict, ZoneSeal

GAP = (1, 2)


def after_a_gap(name: str, import_wh: int, export_wh: int) -> Village:
    """A meter makes no record of two intervals, and shows then that it counted so much in them."""
    village = Village()
    close_all(village, 0)
    for slot in GAP:
        close_all(village, slot, name)
    slept(village, name, import_wh)
    village.meters[name].export_wh += export_wh
    close_all(village, 3)
    return village


def most(village: Village, name: str) -> tuple[int, int]:
    """What a meter can import and export in the gap."""
    registered = village.app.registries.base.meters[name]
    found = capacity(registered, village.app.registries.base.parameters)
    return found.import_wh * len(GAP), found.export_wh * len(GAP)


@pytest.mark.parametrize(("name", "sign"), [("c2", 1), ("pv", -1), ("b0", 1)])
def test_a_register_that_jumps_beyond_the_fuse_over_a_gap_is_impossible(
    name: str, sign: int
) -> None:
    import_wh, export_wh = most(Village(), name)
    jump = (import_wh + 1, 0) if sign > 0 else (0, export_wh + 1)
    village = after_a_gap(name, *jump)
    assert (1, 2, 0, "IMPOSSIBLE") in seals_of(village)
    assert credited(village.app.state, name, starts(1)) is None


def test_a_forged_export_over_a_gap_is_not_excused_by_the_losses_that_it_would_make() -> None:
    """Losses grow with the square of the flow: a large enough flow would explain itself."""
    for wh in (10_000, 100_000, 1_000_000, 10_000_000):
        village = after_a_gap("pv", 0, wh)
        assert credited(village.app.state, "pv", starts(1)) is None, wh


energy = st.one_of(st.integers(0, 8_000), st.integers(0, 10**9), st.integers(0, 2**62))


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(["b0", "c1", "c2", "pv"]), import_wh=energy, export_wh=energy)
def test_whatever_registers_tell_over_a_gap_its_seal_can_be_read(
    name: str, import_wh: int, export_wh: int
) -> None:
    village = after_a_gap(name, import_wh, export_wh)
    for seal in village.seals:
        assert ZoneSeal.decode(seal.encoded) == seal
        assert seal.loss_low_wh <= seal.loss_high_wh
    over = [seal for seal in village.seals if seal.end_s - seal.start_s == 2 * 900]
    most_import_wh, most_export_wh = most(village, name)
    if import_wh > most_import_wh or export_wh > most_export_wh:
        assert {seal.verdict for seal in over} <= {Verdict.IMPOSSIBLE}
