"""SunSpec's own library reads out of the block what went into it, point by point."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sunspec2.modbus.client import SunSpecModbusClientDevice

from meter import sunspec

ENERGIES = st.integers(0, 2**40)
PHASE = st.tuples(
    st.integers(0, 300_000), st.integers(0, 100_000), st.integers(-25_000_000, 25_000_000)
)
MEASURED = st.tuples(
    st.integers(45_000, 65_000),
    st.one_of(st.tuples(PHASE), st.tuples(PHASE, PHASE, PHASE)),
)
Measured = tuple[int, tuple[tuple[int, int, int], ...]]


class Reader(SunSpecModbusClientDevice):  # type: ignore[misc]
    """pysunspec2's client, on bytes in memory instead of a line."""

    def __init__(self, block: bytes) -> None:
        super().__init__()
        self._block = block

    def read(self, addr: int, count: int) -> bytes:
        start = 2 * (addr - sunspec.START)
        assert start >= 0
        assert start + 2 * count <= len(self._block), "a read behind the end"
        return bytes(self._block[start : start + 2 * count])


def models(*arguments: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The points of models 1 and 203, scaled, with None for what is not implemented."""
    device = Reader(sunspec.block(*arguments))
    device.scan()
    assert sorted(key for key in device.models if isinstance(key, int)) == [1, 203]
    common, meter = device.models[1][0], device.models[203][0]
    assert (common.error_info, meter.error_info) == ("", "")
    return values(common), values(meter)


def values(model: Any) -> dict[str, Any]:
    return {name: point.cvalue for name, point in model.points.items()}


def test_the_common_model_says_who_made_what() -> None:
    common, _ = models("GW-000001", "0123456789abcdef0123", 1, 2, None, 17)
    assert common == {
        "ID": 1,
        "L": 66,
        "Mn": "GridWitness",
        "Md": "Signing meter",
        "Opt": "EMR-1",
        "Vr": "0123456789abcdef",
        "SN": "GW-000001",
        "DA": 17,
        "Pad": 0x8000,
    }


def near(found: float | None, wanted: float, step: float) -> None:
    """What fits no register is not there; everything else is right to half a step."""
    if abs(wanted) > 32_767 * step:
        assert found is None
    else:
        assert found is not None
        assert abs(found - wanted) <= step / 2 * (1 + 1e-9)


@settings(deadline=None, max_examples=200)
@given(ENERGIES, ENERGIES, MEASURED)
def test_every_point_is_what_was_measured(
    import_wh: int, export_wh: int, measured: Measured
) -> None:
    _, found = models("M", "s", import_wh, export_wh, measured)
    frequency_mhz, phases = measured
    near(found["Hz"], frequency_mhz / 1000, 0.01)
    power_step = 1.0 if len(phases) == 1 else 10.0
    for name, (voltage_mv, current_ma, power_mw) in zip("ABC", phases, strict=False):
        near(found[f"PhVph{name}"], voltage_mv / 1000, 0.1)
        near(found[f"Aph{name}"], current_ma / 1000, 0.01)
        near(found[f"Wph{name}"], power_mw / 1000, power_step)
    near(found["PhV"], sum(v for v, _, _ in phases) // len(phases) / 1000, 0.1)
    near(found["A"], sum(a for _, a, _ in phases) / 1000, 0.01)
    near(found["W"], sum(w for _, _, w in phases) / 1000, power_step)
    volt_amperes = sum(v * a // 1000 for v, a, _ in phases) / 1000
    near(found["VA"], volt_amperes, power_step)
    if volt_amperes:
        factor = 100 * sum(w for _, _, w in phases) / 1000 / volt_amperes
        near(found["PF"], max(-100.0, min(100.0, factor)), 0.0101)
    assert (found["TotWhImp"] or 0) == import_wh % 2**32
    assert (found["TotWhExp"] or 0) == export_wh % 2**32


def test_what_is_not_measured_is_not_implemented() -> None:
    _, found = models("M", "s", 5, 6, (50_000, ((230_000, 5_000, -1_100_000),)))
    there = {name: value for name, value in found.items() if value is not None}
    assert there == {
        "ID": 203,
        "L": 105,
        "A": 5.0,
        "AphA": 5.0,
        "A_SF": -2,
        "PhV": 230.0,
        "PhVphA": 230.0,
        "V_SF": -1,
        "Hz": 50.0,
        "Hz_SF": -2,
        "W": -1100,
        "WphA": -1100,
        "W_SF": 0,
        "VA": 1150,
        "VAphA": 1150,
        "VA_SF": 0,
        "PF": -95.65,
        "PFphA": -95.65,
        "PF_SF": -2,
        "TotWhExp": 6,
        "TotWhImp": 5,
        "TotWh_SF": 0,
        "Evt": 0,
    }


def test_an_element_that_knows_nothing_leaves_only_the_registers() -> None:
    _, found = models("M", "s", 5, 6, None)
    there = {name for name, value in found.items() if value is not None}
    assert there == {"ID", "L", "TotWhExp", "TotWhImp", "TotWh_SF", "Evt"}


@pytest.mark.parametrize(("wh", "shown"), [(2**32 - 1, 2**32 - 1), (2**32 + 1, 1), (2**33 + 7, 7)])
def test_accumulators_begin_again_behind_their_32_bits(wh: int, shown: int) -> None:
    _, found = models("M", "s", wh, wh, None)
    assert (found["TotWhImp"], found["TotWhExp"]) == (shown, shown)
