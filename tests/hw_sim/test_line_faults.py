"""Each fault by itself, two together, and that a seed repeats them."""

from random import Random

import pytest

from hwsim.counter_faults import Glitch, NotKnown, Reset, RollOver, Stuck
from hwsim.curves import PowerSteps
from hwsim.faults import (
    Babbling,
    Cut,
    Dead,
    Duplicated,
    Exceptional,
    Flipped,
    Holes,
    Late,
    Lost,
    When,
    WrongUnit,
    noise,
)
from hwsim.modbus_device import ModbusDevice, always, between, usually, with_check_sum
from hwsim.registers import Curve
from hwsim.rs485 import Device, Wire
from hwsim.vendors.abb import B23
from hwsim.vendors.peacefair import Pzem
from tests.hw_sim.line_master import ask, listen, read_frame, words_of

ALWAYS = When()
REQUEST = read_frame(1, 0, 10)
STEPS = PowerSteps([(0.0, 3_600.0)], import_wh=180_200)
"""A watt-hour a second."""


def pzem(curve: Curve = STEPS) -> ModbusDevice:
    return ModbusDevice(1, Pzem(), curve)


def reply_of(device: Device, at_s: float = 0.0, wait_s: float = 1.0) -> bytes:
    return ask(Wire([device]), at_s, REQUEST, wait_s)


def energy_wh(curve: Curve, at_s: float) -> int:
    words = words_of(reply_of(pzem(curve), at_s))
    return words[5] | words[6] << 16


def test_a_late_answer_comes_after_its_time() -> None:
    healthy = listen_first_s(pzem())
    assert listen_first_s(Late(pzem(), ALWAYS, always(1.5))) == pytest.approx(healthy + 1.5)


def listen_first_s(device: Device) -> float:
    wire = Wire([device])
    wire.send(0.0, REQUEST)
    return listen(wire, 10.0)[0][0]


def test_delays_follow_their_distribution() -> None:
    random = Random(1)
    assert {always(0.5)(random) for _ in range(5)} == {0.5}
    drawn = [between(0.1, 0.2)(random) for _ in range(200)]
    assert min(drawn) >= 0.1
    assert max(drawn) <= 0.2
    long_tail = sorted(usually(0.03, 0.5)(random) for _ in range(999))
    assert long_tail[500] == pytest.approx(0.03, rel=0.1)
    assert long_tail[-1] > 0.09


@pytest.mark.parametrize("fault", [Lost, Dead])
def test_lost_answers_and_dead_meters_are_silence(fault: type[Lost] | type[Dead]) -> None:
    assert reply_of(fault(pzem(), ALWAYS)) == b""


def test_a_lost_answers_request_was_carried_out_and_a_dead_meters_was_not() -> None:
    reset = with_check_sum(b"\x01\x42")
    for fault, counted in ((Lost, 0), (Dead, 180_200)):
        wire = Wire([fault(pzem(lambda _: STEPS(0.0)), When(until_s=1.0))])
        assert ask(wire, 0.0, reset, 0.9) == b""
        words = words_of(ask(wire, 2.0, REQUEST))
        assert words[5] | words[6] << 16 == counted


def test_an_answer_said_twice_is_there_twice() -> None:
    healthy = reply_of(pzem())
    assert reply_of(Duplicated(pzem(), ALWAYS)) == healthy * 2


def test_a_cut_answer_is_a_part_of_it() -> None:
    healthy = reply_of(pzem())
    for seed in range(20):
        part = reply_of(Cut(pzem(), When(random=Random(seed))))
        assert healthy.startswith(part)
        assert 0 < len(part) < len(healthy)


def test_flipped_bits_are_as_many_as_asked() -> None:
    healthy = reply_of(pzem())
    spoilt = reply_of(Flipped(pzem(), ALWAYS, bits=3))
    assert (int.from_bytes(healthy) ^ int.from_bytes(spoilt)).bit_count() == 3


def test_a_wrong_unit_answers_with_a_sound_check_sum() -> None:
    reply = reply_of(WrongUnit(pzem(), ALWAYS, 77))
    assert reply[0] == 77
    assert words_of(reply) == words_of(reply_of(pzem()))


@pytest.mark.parametrize("code", [3, 4, 6])
def test_a_transient_exception_passes(code: int) -> None:
    wire = Wire([Exceptional(pzem(), When(until_s=1.0), code)])
    assert ask(wire, 0.0, REQUEST)[:3] == bytes([1, 0x84, code])
    words_of(ask(wire, 2.0, REQUEST))


def test_reads_that_touch_a_hole_are_refused() -> None:
    device = Holes(ModbusDevice(1, B23(), STEPS), ALWAYS, [range(0x5008, 0x500A)])
    wire = Wire([device])
    words_of(ask(wire, 0.0, read_frame(1, 0x5000, 8, 3)))
    assert ask(wire, 2.0, read_frame(1, 0x5000, 9, 3))[:3] == b"\x01\x83\x02"
    assert ask(wire, 4.0, read_frame(1, 0x5009, 4, 3))[:3] == b"\x01\x83\x02"
    words_of(ask(wire, 6.0, read_frame(1, 0x500A, 4, 3)))


def test_a_babbling_meter_talks_without_being_asked() -> None:
    wire = Wire([Babbling(pzem(), When(from_s=2.0, until_s=7.5), always(1.0), b"\x01\x04\x00")])
    heard = listen(wire, 20.0)
    begins = [at_s for (at_s, octet) in heard if octet == b"\x01"]
    assert begins == pytest.approx([each + 10 / 9_600 for each in (3, 4, 5, 6, 7)])
    words_of(ask(wire, 30.0, REQUEST))


def test_noise_is_nobodys_and_spoils_answers() -> None:
    busy = Wire([pzem(), noise(When(random=Random(3)), between(0.01, 0.02))])
    spoilt = sum(len(ask(busy, 2.0 * number, REQUEST)) != 25 for number in range(10))
    assert spoilt == 10
    rare = Wire([pzem(), noise(When(random=Random(3)), always(1_000.0))])
    assert len(ask(rare, 0.0, REQUEST)) == 25


def test_faults_stack_and_a_seed_repeats_them() -> None:
    def play(seed: int) -> list[bytes]:
        inner = Exceptional(pzem(), When(chance=0.5, random=Random(seed)), 6)
        wire = Wire([Lost(inner, When(chance=0.3, random=Random(seed + 1)))])
        return [ask(wire, 2.0 * number, REQUEST) for number in range(40)]

    played = play(5)
    assert played == play(5)
    assert played != play(6)
    assert {len(each) for each in played} == {0, 5, 25}


def test_energy_follows_power() -> None:
    steps = PowerSteps([(0.0, 3_600.0), (100.0, -1_800.0)], import_wh=500, export_wh=7)
    assert (steps(50.0).import_mwh, steps(50.0).export_mwh) == (550_000, 7_000)
    assert (steps(300.0).import_mwh, steps(300.0).export_mwh) == (600_000, 107_000)
    assert (steps(50.0).watts, steps(300.0).watts) == (3_600.0, -1_800.0)


def test_a_glitch_shows_another_value_and_the_right_one_again() -> None:
    curve = Glitch(STEPS, When(from_s=100.0, until_s=200.0), 5_000_000)
    shown = [energy_wh(curve, at_s) for at_s in (50.0, 150.0, 250.0)]
    assert shown == [180_250, 5_000_000, 180_450]


def test_a_stuck_counter_catches_up() -> None:
    curve = Stuck(STEPS, When(from_s=100.0, until_s=200.0))
    shown = [energy_wh(curve, at_s) for at_s in (50.0, 150.0, 199.0, 201.0)]
    assert shown == [180_250, 180_300, 180_300, 180_401]


def test_a_reset_counter_counts_on_from_zero() -> None:
    curve = Reset(STEPS, When(from_s=100.0))
    assert [energy_wh(curve, at_s) for at_s in (99.0, 101.0, 160.0)] == [180_299, 1, 60]


def test_a_counter_rolls_over() -> None:
    curve = RollOver(STEPS, 180_300)
    assert [energy_wh(curve, at_s) for at_s in (99.0, 101.0)] == [180_299, 1]


def test_what_is_not_known_is_the_vendors_sentinel() -> None:
    curve = NotKnown(STEPS, When(until_s=10.0))
    assert energy_wh(curve, 5.0) == 0xFFFFFFFF
    assert energy_wh(curve, 11.0) == 180_211
    wire = Wire([ModbusDevice(1, B23(), curve)])
    assert words_of(ask(wire, 1.0, read_frame(1, 0x5000, 8, 3))) == [0xFFFF] * 8
