"""pysunspec2 lays SunSpec models out; our templates read the same energies out of its octets."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import sunspec2
from hypothesis import given
from hypothesis import strategies as st
from sunspec2.file.client import FileClientModel

from gateway.meters import templates
from gateway.meters.decode import NoValue, Registers, decode
from gateway.meters.words import bytes_words

DATA = Path(sunspec2.__file__).parent / "tests/test_data"
UINT32 = st.integers(0, 2**32 - 1)
SCALES = st.integers(-2, 3)


def read(template: str, model: int, values: Mapping[str, object]) -> tuple[int, int] | None:
    """Energies as our template reads them of a model that pysunspec2 laid out."""
    laid_out = FileClientModel(model, data={"ID": model, **values})
    words = bytes_words(laid_out.get_mb())
    count = templates.load(template).energy.words
    assert words[1] + 2 >= count
    try:
        found = decode(templates.load(template), words[:count])
    except NoValue:
        return None
    return found.import_wh, found.export_wh


def scaled(counts: int, scale: int) -> int:
    """Whole watt-hours, halves upwards."""
    unit = int(10 ** abs(scale))
    return counts * unit if scale >= 0 else (2 * counts + unit) // (2 * unit)


@given(UINT32, UINT32, SCALES)
def test_an_integer_meter_is_read_as_pysunspec2_lays_it_out(
    taken: int, given_: int, scale: int
) -> None:
    values = {"TotWhImp": taken, "TotWhExp": given_, "TotWh_SF": scale}
    wanted = (scaled(taken, scale), scaled(given_, scale))
    found = read("sunspec-meter-203", 203, values)
    assert found == (wanted if any(wanted) else None)


@given(st.integers(1, 2**32 - 1), SCALES)
def test_an_inverter_is_read_as_pysunspec2_lays_it_out(produced: int, scale: int) -> None:
    found = read("sunspec-inverter-103", 103, {"WH": produced, "WH_SF": scale})
    wanted = scaled(produced, scale)
    assert found == ((0, wanted) if wanted else None)


@given(st.integers(1, 2**40), st.integers(0, 2**40), SCALES)
def test_a_resource_is_read_as_pysunspec2_lays_it_out(
    injected: int, absorbed: int, scale: int
) -> None:
    values = {"TotWhInj": injected, "TotWhAbs": absorbed, "TotWh_SF": scale}
    wanted = (scaled(absorbed, scale), scaled(injected, scale))
    if max(wanted) > 10**15:
        return
    found = read("sunspec-der-701", 701, values)
    assert found == (wanted if any(wanted) else None)


@given(st.integers(1, 2**24), st.integers(0, 2**24))
def test_a_float_meter_is_read_as_pysunspec2_lays_it_out(taken: int, given_: int) -> None:
    values = {"TotWhImp": float(taken), "TotWhExp": float(given_)}
    assert read("sunspec-meter-213", 213, values) == (taken, given_)


def test_the_resource_in_pysunspec2s_own_data_is_read_as_it_reads_it() -> None:
    models = json.loads((DATA / "device_1547.json").read_text())["models"]
    model = FileClientModel(701, data=next(each for each in models if each["ID"] == 701))
    template = templates.load("sunspec-der-701")
    found = decode(template, bytes_words(model.get_mb())[: template.energy.words])
    assert found == Registers(round(model.TotWhAbs.cvalue), round(model.TotWhInj.cvalue))
    assert found.export_wh == 150_000


@pytest.mark.parametrize("point", ["TotWh_SF"])
def test_a_scale_that_is_not_implemented_makes_no_value(point: str) -> None:
    values = {"TotWhImp": 5, "TotWhExp": 5, point: None}
    assert read("sunspec-meter-203", 203, values) is None
