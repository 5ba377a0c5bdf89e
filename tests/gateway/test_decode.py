"""Registers become watt-hours exactly; what is doubtful is read again."""

import math
import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.meters import templates
from gateway.meters.decode import Limits, NoValue, Registers, confirms, decode, doubt
from gateway.meters.template import HIGH_FIRST, LOW_FIRST, Number, Template
from gateway.meters.words import bytes_words, number_of
from tests.gateway.street import float_words

LIMITS = Limits(power_w=20_000, resolution_wh=10)
QUARTER_MS = 900_000


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


PZEM = templates.load("peacefair-pzem")
METER_203 = templates.load("sunspec-meter-203")


def pzem_words(energy: int) -> tuple[int, ...]:
    return (2257, 108, 0, 244, 0, energy & 0xFFFF, energy >> 16, 500, 100, 0)


def model_203(import_counts: int, export_counts: int, scale: int) -> tuple[int, ...]:
    words = [0] * 55
    words[0], words[1] = 203, 105
    words[38], words[39] = divmod(export_counts, 1 << 16)
    words[46], words[47] = divmod(import_counts, 1 << 16)
    words[54] = scale & 0xFFFF
    return tuple(words)


@given(st.floats(width=32))
def test_a_float_register_is_the_fraction_that_ieee_754_says(value: float) -> None:
    found = number_of(Number("float32", HIGH_FIRST), float_words(value))
    assert found == (Fraction(value) if math.isfinite(value) else None)


@given(st.floats())
def test_a_double_register_is_the_fraction_that_ieee_754_says(value: float) -> None:
    words = bytes_words(struct.pack(">d", value))
    found = number_of(Number("float64", HIGH_FIRST), words)
    assert found == (Fraction(value) if math.isfinite(value) else None)


@given(st.sampled_from(["u16", "s16", "u32", "s32", "u64", "s64"]), st.data())
def test_an_integer_register_is_the_integer_that_was_put_there(
    kind: str, data: st.DataObject
) -> None:
    bits, signed = int(kind[1:]), kind.startswith("s")
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    value = data.draw(st.integers(low, high))
    words = bytes_words(value.to_bytes(bits // 8, "big", signed=signed))
    assert number_of(Number(kind, HIGH_FIRST), words) == value
    assert number_of(Number(kind, LOW_FIRST), words[::-1]) == value
    assert number_of(Number(kind, HIGH_FIRST), words[1:]) is None


@given(st.sampled_from(templates.load_all()), st.data())
def test_whatever_registers_hold_is_an_energy_or_no_value(
    template: Template, data: st.DataObject
) -> None:
    count = sum(block.words for block in template.energy_registers.blocks)
    words = data.draw(st.lists(st.integers(0, 0xFFFF), min_size=count, max_size=count))
    if data.draw(st.booleans()) and template.energy_registers.model:
        words[0] = template.energy_registers.model
    try:
        found = decode(template, words)
    except NoValue:
        return
    assert found.import_wh >= 0
    assert found.export_wh >= 0


def test_a_pzem_that_powers_up_has_no_value() -> None:
    assert decode(PZEM, pzem_words(0xFFFF_FFFE)).import_wh == 0xFFFF_FFFE
    with pytest.raises(NoValue):
        decode(PZEM, pzem_words(0xFFFF_FFFF))


@pytest.mark.parametrize("low", [0, 1, 0xFFFF])
def test_an_overflow_of_a_gavazzi_meter_is_no_value_whatever_its_low_word(low: int) -> None:
    words = [0] * 28
    words[0], words[1] = low, 0x7FFF
    with pytest.raises(NoValue):
        decode(templates.load("carlo-gavazzi-em340"), words)


def test_a_register_that_began_again_is_named() -> None:
    limits = Limits(20_000, 1, 10_000_000)
    before, after = Registers(9_999_000, 0), Registers(500, 0)
    assert "it began again at 10000000 Wh" in doubt(before, after, QUARTER_MS, limits)
    assert doubt(before, Registers(5_000_000, 0), QUARTER_MS, limits) == "a register runs backwards"


@pytest.mark.parametrize(("scale", "unit_wh"), [(0, 1), (1, 10), (3, 1000), (-2, Fraction(1, 100))])
def test_a_scale_factor_multiplies_what_stands_in_the_same_answer(
    scale: int, unit_wh: Fraction
) -> None:
    found = decode(METER_203, model_203(123_400, 500, scale))
    assert found == Registers(int(123_400 * unit_wh), int(500 * unit_wh))


@pytest.mark.parametrize("scale", [-0x8000, 11, -11])
def test_a_scale_factor_that_is_not_there_makes_no_value(scale: int) -> None:
    with pytest.raises(NoValue, match="scale factor"):
        decode(METER_203, model_203(1, 1, scale))


def test_another_model_where_one_was_expected_is_no_value() -> None:
    words = (204, *model_203(5, 5, 0)[1:])
    with pytest.raises(NoValue, match="SunSpec model 204"):
        decode(METER_203, words)


def test_a_zero_after_a_count_is_a_device_that_sleeps_never_a_reset() -> None:
    before = Registers(123_456, 0)
    assert decode(METER_203, model_203(123_457, 0, 0), before) == Registers(123_457, 0)
    for asleep in (model_203(0, 0, 0), model_203(0, 7, 0)):
        with pytest.raises(NoValue, match="not woken up"):
            decode(METER_203, asleep, before)
    with pytest.raises(NoValue, match="not woken up"):
        decode(METER_203, model_203(0, 0, 0), None)


def test_a_second_read_confirms_only_the_same() -> None:
    odd = Registers(5_000_000, 0)
    assert confirms(odd, odd, 50, LIMITS)
    assert not confirms(odd, Registers(180_400, 0), 50, LIMITS)
