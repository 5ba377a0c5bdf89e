"""Registers become watt-hours exactly; what is doubtful is read again."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import templates
from gateway.decode import Limits, NoValue, Registers, confirms, decode, doubt
from gateway.templates import UnknownTemplate
from tests.gateway.street import float_words

NAMES = ("eastron-sdm630", "eastron-sdm120")
LIMITS = Limits(power_w=20_000, resolution_wh=10)
QUARTER_MS = 900_000


@pytest.mark.parametrize("name", NAMES)
def test_each_template_says_where_it_comes_from_and_decodes_its_golden_words(name: str) -> None:
    template = templates.load(name)
    assert "Modbus Protocol" in template.source
    assert len(template.hash) == 8
    for golden in template.golden:
        assert decode(template, golden.words) == Registers(golden.import_wh, golden.export_wh)


def test_templates_have_different_hashes() -> None:
    assert len({templates.load(name).hash for name in NAMES}) == len(NAMES)


def test_a_fence_as_long_as_the_energy_is_no_fence() -> None:
    text = b'name="x"\n[source]\ndocument="d"\nplace="p"\n[line]\nsilence_ms=1\nfunction=4\n'
    text += b'[energy]\naddress=0\nwords=4\ntype="float32-kwh"\nimport_at=0\nexport_at=2\n'
    text += b"resolution_wh=1\n[fence]\naddress=0\nwords=4\n[[golden]]\n"
    text += b'words=""\nimport_wh=0\nexport_wh=0\n'
    with pytest.raises(UnknownTemplate, match="differ in length"):
        templates.parse(text)
    with pytest.raises(UnknownTemplate, match="cannot be read"):
        templates.parse(b'name="x"')


@given(st.integers(0, 2**24 - 1))
def test_a_register_of_whole_hundredths_is_exact_to_its_step(hundredths: int) -> None:
    template = templates.load("eastron-sdm630")
    found = decode(template, float_words(hundredths / 100, 0)).import_wh
    step_wh = 1000 * 2.0 ** (math.floor(math.log2(max(hundredths / 100, 1e-3))) - 23)
    assert abs(found - 10 * hundredths) <= step_wh / 2 + 0.5


@given(st.floats(0, 1e6, width=32), st.floats(0, 1e6, width=32))
def test_decoding_never_turns_an_order_round(one: float, other: float) -> None:
    template = templates.load("eastron-sdm630")
    found = decode(template, float_words(min(one, other), max(one, other)))
    assert found.import_wh <= found.export_wh


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0])
def test_a_sentinel_is_no_energy(value: float) -> None:
    with pytest.raises(NoValue):
        decode(templates.load("eastron-sdm630"), float_words(1.0, value))


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ((1000, 0), (1000, 0), ""),
        ((1000, 0), (6000, 0), ""),
        ((1000, 0), (990, 0), "runs backwards"),
        ((1000, 500), (1000, 0), "runs backwards"),
        ((180_200, 0), (5_000_000, 0), "jumped"),
    ],
)
def test_a_value_that_cannot_be_is_doubted(
    before: tuple[int, int], now: tuple[int, int], words: str
) -> None:
    assert words in doubt(Registers(*before), Registers(*now), QUARTER_MS, LIMITS)
    assert not doubt(None, Registers(*now), QUARTER_MS, LIMITS)


def test_a_second_read_confirms_only_the_same() -> None:
    odd = Registers(5_000_000, 0)
    assert confirms(odd, odd, 50, LIMITS)
    assert not confirms(odd, Registers(180_400, 0), 50, LIMITS)
