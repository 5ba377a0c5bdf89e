"""What each model of meter holds where and what it refuses; published frames octet by octet."""

import math
import struct
from dataclasses import replace

import pytest
from sunspec2.modbus.client import SunSpecModbusClientDevice

from hwsim.modbus_device import ModbusDevice, with_check_sum
from hwsim.registers import Flow, RegisterMap
from hwsim.rs485 import Wire
from hwsim.vendors.abb import B23
from hwsim.vendors.eastron import Sdm120, Sdm630
from hwsim.vendors.gavazzi import Em24, Em340, Em540
from hwsim.vendors.peacefair import Pzem
from hwsim.vendors.schneider import Iem3155
from hwsim.vendors.sunspec import Der701, Inverter103, Meter203, Meter213, SunSpec
from tests.hw_sim.line_master import ask

FLOW = Flow(1_234_567_890, 98_765_432, (300.0, 400.5, -100.0))
"""1,234.567 890 kWh taken, 98.765 432 kWh given."""

NOT_KNOWN = Flow(None, None, (0.0,) * 3)


def read(
    meter: RegisterMap, address: int, count: int, function: int = 3, flow: Flow = FLOW
) -> list[int]:
    words = meter.read(function, address, count, flow)
    assert not isinstance(words, int), f"exception {words}"
    return words


def refusal(meter: RegisterMap, address: int, count: int, function: int = 3) -> int:
    answer = meter.read(function, address, count, FLOW)
    assert isinstance(answer, int), f"read {answer}"
    return answer


def singles(words: list[int]) -> list[float]:
    return list(struct.unpack(f">{len(words) // 2}f", struct.pack(f">{len(words)}H", *words)))


def on_the_line(meter: RegisterMap, flow: Flow, request: str) -> str:
    """What a meter with unit 1 answers on a line, in hexadecimal."""
    wire = Wire([ModbusDevice(1, meter, lambda _: flow)])
    return ask(wire, 0.0, bytes.fromhex(request)).hex(" ").upper()


@pytest.mark.parametrize(
    ("volts", "reply"),
    [
        # Eastron's document for the SDM630; a scan of a real one in volkszaehler/mbmd issue 63.
        (230.20001220703125, "01 04 04 43 66 33 34 1B 38"),
        (231.6848907470703, "01 04 04 43 67 AF 55 E2 10"),
    ],
)
def test_an_eastron_says_its_voltage_as_documented(volts: float, reply: str) -> None:
    flow = Flow(0, 0, (0.0,), volts)
    assert on_the_line(Sdm630(), flow, "01 04 00 00 00 02 71 CB") == reply
    assert on_the_line(Sdm120(), flow, "01 04 00 00 00 02 71 CB") == reply


def test_an_eastrons_baud_rate_is_set_as_solarnetwork_does() -> None:
    meter = Sdm120()
    request = "01 10 00 1C 00 02 04 40 00 00 00 E7 36"
    assert on_the_line(meter, FLOW, request) == "01 10 00 1C 00 02 80 0E"
    assert singles(read(meter, 0x1C, 2)) == [2.0]


def test_an_eastrons_setting_of_one_reads_as_documented() -> None:
    meter = Sdm120()
    request = with_check_sum(bytes.fromhex("01 03 00 14 00 02")).hex()
    assert on_the_line(meter, FLOW, request) == "01 03 04 3F 80 00 00 F7 CF"


@pytest.mark.parametrize("printed", ["01 03 00 00 00 14 C4 0B"])
def test_a_frame_printed_with_a_wrong_check_sum_is_not_answered(printed: str) -> None:
    assert on_the_line(Sdm120(), FLOW, printed) == ""
    recomputed = with_check_sum(bytes.fromhex(printed)[:-2])
    assert recomputed.hex(" ").upper() == "01 03 00 00 00 14 45 C5"
    assert on_the_line(Sdm120(), FLOW, recomputed.hex()).startswith("01 83 ")


def test_a_pzem_says_its_ten_registers_as_the_published_frame() -> None:
    flow = Flow(38_000, 0, (24.4,), 225.7)
    request = with_check_sum(bytes.fromhex("01 04 00 00 00 0A")).hex()
    assert on_the_line(Pzem(), flow, request) == (
        "01 04 14 08 D1 00 6C 00 00 00 F4 00 00 00 26 00 00 01 F4 00 64 00 00 51 34"
    )


def test_an_eastron_counts_in_steps_of_its_resolution() -> None:
    assert singles(read(Sdm630(), 0x48, 4, 4)) == pytest.approx([1_234.56, 98.76])
    assert singles(read(Sdm630(step_wh=1), 0x48, 4, 4)) == pytest.approx([1_234.567, 98.765])


def test_an_sdm630_switched_to_mega_shows_a_thousandth() -> None:
    taken, given = singles(read(Sdm630(prefix="M"), 0x48, 4, 4))
    assert (taken, given) == pytest.approx((1.23456, 0.09876))


def test_an_sdm630_has_sums_and_phases() -> None:
    assert singles(read(Sdm630(), 0x0C, 6, 4)) == [300.0, 400.5, -100.0]
    assert singles(read(Sdm630(), 0x34, 2, 4)) == [600.5]
    assert sum(singles(read(Sdm630(), 0x15A, 6, 4))) == pytest.approx(1_234.567, abs=0.03)


def test_an_sdm120s_total_counts_both_ways_until_its_mode_is_changed() -> None:
    meter = Sdm120()
    assert singles(read(meter, 0x156, 2, 4)) == pytest.approx([1_333.33])
    for mode, total in ((1, 1_234.56), (3, 1_135.80)):
        assert meter.write(0xF920, (mode,)) == 0
        assert singles(read(meter, 0x156, 2, 4)) == pytest.approx([total])


def test_an_eastron_refuses_odd_and_long_questions() -> None:
    for meter in (Sdm120(), Sdm630()):
        assert refusal(meter, 0x49, 2, 4) == 2
        assert refusal(meter, 0x48, 3, 4) == 2
        assert refusal(meter, 0, 82, 4) == 3
        assert len(read(meter, 0, 80, 4)) == 80
        assert refusal(meter, 0x400, 2, 4) == 2
        assert refusal(meter, 0x48, 4, 3) == 2
        assert meter.write(0x48, (0, 0)) == 2
        assert meter.write(0x14, (0x7FC0, 0)) == 3
    assert Sdm120().write(0xF920, (4,)) == 3


def test_an_eastron_has_a_serial_number_and_a_code() -> None:
    assert read(Sdm120(serial=0x12345678), 0xFC00, 3) == [0x1234, 0x5678, 0x0020]


def test_an_eastron_rolls_over_where_its_display_does() -> None:
    flow = replace(FLOW, import_mwh=10**12 + 5_000_000)
    assert singles(read(Sdm630(), 0x48, 2, 4, flow)) == [5.0]


def test_anybody_can_reset_a_pzem() -> None:
    meter = Pzem()
    assert read(meter, 5, 2, 4) == [1_333_333 & 0xFFFF, 1_333_333 >> 16]
    assert meter.answer(b"\x42", FLOW) == b"\x42"
    assert read(meter, 5, 2, 4) == [0, 0]
    later = replace(FLOW, import_mwh=FLOW.import_mwh + 70_000) if FLOW.import_mwh else FLOW
    assert read(meter, 5, 2, 4, later) == [70, 0]


def test_a_pzem_that_starts_says_all_ones_and_rolls_over_at_its_range() -> None:
    assert read(Pzem(), 5, 2, 4, NOT_KNOWN) == [0xFFFF, 0xFFFF]
    assert read(Pzem(), 5, 2, 4, Flow(9_999_995_000, 0, (1.0,))) == [5, 0]


def test_a_pzem_has_ten_registers_and_alarms() -> None:
    assert refusal(Pzem(), 0, 11, 4) == 2
    assert refusal(Pzem(), 0, 1, 6) == 1
    meter = Pzem()
    assert meter.write(1, (500,)) == 0
    assert read(meter, 9, 1, 4) == [0xFFFF]
    assert read(meter, 1, 2) == [500, 1]


@pytest.mark.parametrize("meter", [Em340("C"), Em24("C")])
def test_a_gavazzi_puts_the_low_word_first(meter: RegisterMap) -> None:
    assert read(meter, 0x28, 2) == [6005, 0]
    assert read(meter, 0x16, 2) == [0x10000 - 1000, 0xFFFF]
    assert read(meter, 0x00, 2, 4) == [2300, 0]


def test_an_em340_counts_in_tenths_and_in_thousandths() -> None:
    meter = Em340("C")
    assert read(meter, 0x34, 2) == [12_345, 0]
    assert read(meter, 0x4E, 2) == [987, 0]
    assert read(meter, 0x400, 4) == [1_234, 0, 567, 0]
    assert read(meter, 0x408, 4) == [98, 0, 765, 0]


def test_mode_a_counts_everything_as_taken() -> None:
    meter = Em340()
    assert read(meter, 0x1103, 1) == [0]
    assert read(meter, 0x34, 2) == [13_333, 0]
    assert read(meter, 0x4E, 2) == [0, 0]
    assert meter.write(0x1103, (2,)) == 0
    assert read(meter, 0x34, 2) == [12_345, 0]
    assert meter.write(0x1103, (3,)) == 3


def test_a_gavazzis_identity_is_there_for_a_question_of_one_register() -> None:
    assert read(Em340(), 0x0B, 1) == [341]
    assert read(Em540(), 0x0B, 1) == [1744]
    assert read(Em340(), 0x0A, 2) == [3984, 0]


def test_a_gavazzi_that_overflows_says_so_in_its_high_word() -> None:
    assert read(Em340(), 0x34, 2, flow=NOT_KNOWN) == [0xFFFF, 0x7FFF]
    assert read(Em340(), 0x34, 2, flow=replace(FLOW, import_mwh=10**15)) == [0xFFFF, 0x7FFF]


def test_an_em540_refuses_a_question_that_ends_on_what_it_has_not() -> None:
    meter = Em540("C")
    assert refusal(meter, 0x34, 0x13) == 2
    assert len(read(meter, 0x34, 0x1C)) == 0x1C
    assert read(meter, 0x500, 4) == [1_234_567 & 0xFFFF, 1_234_567 >> 16, 0, 0]


def test_an_em24_has_its_total_at_3e_and_what_can_be_reset_at_42() -> None:
    assert read(Em24(), 0x3E, 2) == [12_345, 0]
    assert read(Em24(), 0x42, 2) == [2_345, 0]
    assert read(Em24(), 0x5C, 2) == [987, 0]
    assert refusal(Em24(export=False), 0x5C, 2) == 2


def test_an_abb_counts_hundredths_in_64_bits() -> None:
    assert read(B23(), 0x5000, 8) == [0, 0, 1, 123_456 - 65_536, 0, 0, 0, 9_876]
    assert read(B23(), 0x5B14, 2) == [0, 60_050]
    assert read(B23(), 0x5B1A, 2) == [0xFFFF, 65_536 - 10_000]
    assert read(B23(), 0x8960, 2) == [0x4232, 0x3320]
    assert refusal(B23(), 0x5000, 8, 4) == 1


def test_an_abb_answers_as_its_makers_example() -> None:
    # ABB A43 manual, chapter 9.11.1: the counters; reactive energy does not flow here.
    flow = Flow(8_567_200_000, 2_012_259_000, (0.0,) * 3)
    wire = Wire([ModbusDevice(5, B23(), lambda _: flow)])
    reply = ask(wire, 0.0, bytes.fromhex("05 03 50 00 00 24 55 55"))
    assert reply[:27].hex(" ").upper() == (
        "05 03 48 00 00 00 00 00 0D 12 90 00 00 00 00 00 03 12 09 00 00 00 00 00 0A 00 86"
    )


def test_an_abb_says_all_ones_for_what_is_not_there() -> None:
    assert read(B23(), 0x5000, 8, flow=NOT_KNOWN) == [0xFFFF] * 8
    single = Flow(0, 0, (5.0,))
    assert read(B23("B21 "), 0x5B00, 6, flow=single) == [0, 2300, *[0xFFFF] * 4]
    assert read(B23("B21 "), 0x5B18, 2, flow=single) == [0x7FFF, 0xFFFF]


def test_a_schneider_counts_whole_wh_in_64_bits() -> None:
    assert read(Iem3155(), 0x0C83, 8) == [0, 0, 18, 1_234_567 - 18 * 65_536, 0, 0, 1, 33_229]
    assert singles(read(Iem3155(), 0x0BF3, 2)) == pytest.approx([0.6005])
    assert singles(read(Iem3155(), 0x0BD3, 6)) == [230.0] * 3
    model = struct.pack(">20H", *read(Iem3155(), 0x31, 20))
    assert model.rstrip(b"\0") == b"iEM3155"
    assert (Iem3155.baudrate, Iem3155.bits) == (19_200, "8E1")


class Stranger(SunSpecModbusClientDevice):  # type: ignore[misc]
    """pysunspec2 reading a map without a line between."""

    def __init__(self, meter: SunSpec, flow: Flow) -> None:
        super().__init__()
        self.meter, self.flow = meter, flow

    def read(self, address: int, count: int) -> bytes:
        words = []
        for first in range(address, address + count, 125):
            words += read(self.meter, first, min(125, address + count - first), flow=self.flow)
        return struct.pack(f">{len(words)}H", *words)


def points(meter: SunSpec, flow: Flow = FLOW) -> dict[str, float | None]:
    """The model's values as pysunspec2 finds them, scaled."""
    device = Stranger(meter, flow)
    device.scan()
    found = device.models[meter.model][0]
    return {name: point.cvalue for name, point in found.points.items()}


@pytest.mark.parametrize("base", [40_000, 0, 50_000])
def test_pysunspec_reads_a_meter_of_integers_at_any_base(base: int) -> None:
    found = points(Meter203(base))
    assert found["W"] == 600
    assert (found["TotWhImp"], found["TotWhExp"]) == (1_234_567, 98_765)
    assert (found["Hz"], found["PhV"]) == (50.0, 230.0)


def test_pysunspec_reads_a_meter_of_floats() -> None:
    found = points(Meter213())
    assert found["W"] == 600.5
    assert found["TotWhImp"] == pytest.approx(1_234_567.89, rel=1e-6)
    assert found["PF"] is None or math.isnan(found["PF"])


def test_pysunspec_reads_inverters() -> None:
    sunny = Flow(0, 5_000_000, (-1_000.0,) * 3)
    found = points(Inverter103(), sunny)
    assert (found["W"], found["WH"], found["St"]) == (3_000, 5_000, 4)
    der = points(Der701(), sunny)
    assert (der["W"], der["TotWhInj"], der["TotWhAbs"], der["Hz"]) == (3_000, 5_000, 0, 50.0)
    assert der["WL1"] is None


def test_sunspec_scale_factors_are_powers_of_ten() -> None:
    meter = Meter203(scale=2)
    found = points(meter)
    assert found["TotWhImp"] == 1_234_500
    assert read(meter, 40_070 + 46, 2) == [0, 12_345]


def test_a_32_bit_accumulator_wraps() -> None:
    much = replace(FLOW, import_mwh=(2**32 + 17) * 1000)
    assert read(Meter203(), 40_070 + 46, 2, flow=much) == [0, 17]
    assert read(Der701(), 40_070 + 23, 4, flow=much) == [0, 1, 0, 17]


def test_an_inverter_that_wakes_up_says_it_has_produced_nothing() -> None:
    asleep = Inverter103()
    assert read(asleep, 40_070 + 24, 2, flow=NOT_KNOWN) == [0, 0]
    assert read(asleep, 40_070 + 38, 1, flow=NOT_KNOWN) == [2]


def test_sunspec_ends_where_it_ends() -> None:
    assert read(Meter203(), 40_000 + 70 + 107, 2) == [0xFFFF, 0]
    assert refusal(Meter203(), 40_000 + 70 + 107, 3) == 2
    assert refusal(Meter203(), 40_000, 126) == 3
