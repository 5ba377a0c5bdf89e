"""Readouts of IEC 62056-21: telegrams of real meters, and simulated ones over a pty."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import BusConfig, BusMeter
from gateway.lines.frames import READ_HOLDING, Garbled, Request
from gateway.lines.line import NoAnswer
from gateway.lines.readout import (
    block_in,
    identification_in,
    pushed_in,
    seven_bits,
    with_parity,
)
from gateway.lines.readout_line import ReadoutLine, line_for
from gateway.lines.transport import SerialTransport
from gateway.meters import templates
from gateway.meters.decode import NoValue, Registers, decode
from gateway.meters.obis import TEXT_OCTETS, energy_lines, energy_of, lay_out, numbers_in
from gateway.meters.words import bytes_words
from gateway.polling.window import WrongMeter
from hwsim.curves import PowerSteps
from hwsim.iec62056 import PushMeter, ReadoutMeter
from hwsim.line_port import LinePort
from hwsim.rs485 import Device, Wire

TEMPLATE = templates.load("iec62056-21")
READ = Request(1, READ_HOLDING, 0, 64)

# vzlogger, tests/MeterD0.cpp.
HAGER = b"/HAG5eHZ010C_EHZ1vA02\r\n1-0:1.8.0*255(000001.2963)\r\n!\n"
LANDIS_GYR = (
    b"F.F(00000000)\r\n0.0.0( 20000)\r\n1.8.1(001846.0*kWh)\r\n1.8.2(000000.0*kWh)\r\n"
    b"2.8.1(004329.6*kWh)\r\n2.8.2(000000.0*kWh)\r\n1.8.0(001846.0*kWh)\r\n"
    b"2.8.0(004329.6*kWh)\r\n!\r\n"
)
ACE3000 = bytes.fromhex(
    "7f7f7f7f7f2f3f210d0a2f414345305c336b3236305630312e31390d0a"
    "02462e46283030290d0a432e31283131323631"
    "3230303533333232333533290d0a"
    "432e352e30283030290d0a"
    "312e382e30283031333932352e352a29590202010021"
    "0d0a03467f"
)
# dsmr_parser, test/example_telegrams.py: a DSMR 4.2 meter with its own CRC.
DSMR = (
    b"/KFM5KAIFA-METER\r\n\r\n1-3:0.2.8(42)\r\n0-0:1.0.0(161113205757W)\r\n"
    b"0-0:96.1.1(3960221976967177082151037881335713)\r\n1-0:1.8.1(001581.123*kWh)\r\n"
    b"1-0:1.8.2(001435.706*kWh)\r\n1-0:2.8.1(000000.000*kWh)\r\n1-0:2.8.2(000000.000*kWh)\r\n"
    b"0-0:96.14.0(0002)\r\n1-0:1.7.0(02.027*kW)\r\n1-0:2.7.0(00.000*kW)\r\n0-0:96.7.21(00015)\r\n"
    b"0-0:96.7.9(00007)\r\n1-0:99.97.0(3)(0-0:96.7.19)(000104180320W)(0000237126*s)"
    b"(000101000001W)(2147583646*s)(000102000003W)(2317482647*s)\r\n1-0:32.32.0(00000)\r\n"
    b"1-0:52.32.0(00000)\r\n1-0:72.32.0(00000)\r\n1-0:32.36.0(00000)\r\n1-0:52.36.0(00000)\r\n"
    b"1-0:72.36.0(00000)\r\n0-0:96.13.1()\r\n0-0:96.13.0()\r\n1-0:31.7.0(000*A)\r\n"
    b"1-0:51.7.0(006*A)\r\n1-0:71.7.0(002*A)\r\n1-0:21.7.0(00.170*kW)\r\n1-0:22.7.0(00.000*kW)\r\n"
    b"1-0:41.7.0(01.247*kW)\r\n1-0:42.7.0(00.000*kW)\r\n1-0:61.7.0(00.209*kW)\r\n"
    b"1-0:62.7.0(00.000*kW)\r\n0-1:24.1.0(003)\r\n"
    b"0-1:96.1.0(4819243993373755377509728609491464)\r\n"
    b"0-1:24.2.1(161129200000W)(00981.443*m3)\r\n!6796\r\n"
)


def registers(data: bytes) -> Registers:
    octets = lay_out(energy_lines(data))
    assert octets is not None
    return decode(TEMPLATE, bytes_words(octets))


def test_a_hager_telegram_without_a_unit_is_kilowatt_hours() -> None:
    found = pushed_in(b"noise" + HAGER + HAGER)
    assert found is not None
    telegram, end = found
    assert (telegram.checked, end) == (False, 5 + len(HAGER))
    assert registers(telegram.data) == Registers(1_296, 0)


def test_a_landis_gyr_readout_has_totals_and_tariffs() -> None:
    telegram = block_in(LANDIS_GYR)
    assert telegram is not None
    assert registers(telegram.data) == Registers(1_846_000, 4_329_600)


def test_an_ace_readout_that_was_damaged_on_the_line_is_refused() -> None:
    """vzlogger's test takes 13925.5 from it; its check character says what stood there."""
    who = identification_in(ACE3000)
    assert who is not None
    assert who[0].baudrate == 300
    with pytest.raises(Garbled, match="check character"):
        block_in(who[1])
    telegram = block_in(who[1].replace(b"*)Y\x02\x02\x01\x00!", b"*kWh)\r\n!"))
    assert telegram is not None
    assert telegram.checked
    assert registers(telegram.data) == Registers(13_925_500, 0)


def test_a_dsmr_telegram_is_the_sum_of_its_tariffs_and_its_crc_counts() -> None:
    found = pushed_in(DSMR)
    assert found is not None
    assert found[0].checked
    assert registers(found[0].data) == Registers(1_581_123 + 1_435_706, 0)
    with pytest.raises(Garbled, match="CRC"):
        pushed_in(DSMR.replace(b"1581.123", b"1581.223"))


@pytest.mark.parametrize(
    ("data", "energies"),
    [
        (b"1.8.0*1(000500.0*kWh)\r\n1.8.0(000700.0*kWh)\r\n", (700_000, 0)),
        (b"2-1:1.8.0*255(000500.0)\r\n1-0:2.8.0*255(17*Wh)", (0, 17)),
        (b"1-1:1.8.1(1*MWh)\r\n1-1:1.8.2(1*MWh)", (2_000_000, 0)),
        (b"1-1:1.8.0(100*kWh)\r\n1-0:1.8.0(900*kWh)", (900_000, 0)),
    ],
)
def test_only_registers_of_now_in_energy_units_count(
    data: bytes, energies: tuple[int, int]
) -> None:
    assert registers(data) == Registers(*energies)


@pytest.mark.parametrize(
    "data",
    [
        b"1.8.0(5*kvarh)",
        b"1-0:1.8.1(10*kWh)\r\n1-0:1.8.0(1x0*kWh)",
        b"1.8.0(5)\r\n1.8.0(7)",
        b"1-1:1.8.1(10*kWh)\r\n1-2:1.8.2(20*kWh)",
    ],
)
def test_energy_lines_that_cannot_be_told_are_garbled(data: bytes) -> None:
    with pytest.raises(Garbled):
        energy_lines(data)


def test_a_direction_that_the_meter_had_and_does_not_say_is_no_value() -> None:
    had = Registers(2_100, 1_900)
    for data in (b"0.0.0(12)\r\nF.F(00)\r\n", b"1.8.0(2.2)\r\n", b"2.8.0(1.9)\r\n"):
        lines = lay_out(energy_lines(data))
        assert lines is not None
        with pytest.raises(NoValue):
            decode(TEMPLATE, bytes_words(lines), had)
    empty = lay_out(energy_lines(b""))
    assert empty is not None
    with pytest.raises(NoValue):
        decode(TEMPLATE, bytes_words(empty))


def test_what_does_not_fit_is_no_readout() -> None:
    lines = b"\r\n".join(b"1-0:1.8.%d*255(000001.2963*kWh)" % each for each in range(1, 5))
    assert lay_out(energy_lines(lines)) is None


@given(st.binary(max_size=TEXT_OCTETS))
def test_registers_that_hold_no_lines_have_no_energy(octets: bytes) -> None:
    found = energy_of(octets.ljust(TEXT_OCTETS, b"\0"))
    assert found is None or found >= 0
    if found is None:
        with pytest.raises(NoValue):
            decode(TEMPLATE, bytes_words(octets.ljust(TEXT_OCTETS, b"\0") * 2))


@given(st.binary(max_size=300))
def test_whatever_comes_is_no_telegram_or_garbled(received: bytes) -> None:
    for take in (identification_in, block_in, pushed_in):
        try:
            take(received)
        except Garbled:
            continue


@given(st.text(st.characters(max_codepoint=127), max_size=40))
def test_parity_is_put_on_and_taken_off(text: str) -> None:
    octets = text.encode()
    assert seven_bits(with_parity(octets)) == octets
    assert seven_bits(octets) == octets


def test_a_flipped_bit_breaks_parity() -> None:
    sent = bytearray(with_parity(b"1.8.0(000700.0*kWh)"))
    sent[8] ^= 1
    with pytest.raises(Garbled, match="parity"):
        seven_bits(bytes(sent))


def over_a_pty(device: Device, bus: BusConfig, count: int = 1) -> list[Registers]:
    """What is read of a meter that speaks 7E1, by a port of 8N1, over a real pty."""

    async def read() -> list[Registers]:
        port = LinePort(Wire([device], bus.baudrate, "8N1"))
        line = ReadoutLine(bus, _serial(bus, port.path))
        try:
            return [decode(TEMPLATE, await line.ask(READ)) for _ in range(count)]
        finally:
            line.close()
            port.close()

    return asyncio.run(read())


def _serial(bus: BusConfig, path: str) -> SerialTransport:
    return SerialTransport(replace(bus, port=path))


CURVE = PowerSteps([(0.0, 0.0)], import_wh=1_234_567.0, export_wh=89_000.0)


def head(mode: str, baudrate: int, timeout_ms: int = 8_000, address: str = "") -> BusConfig:
    meter = BusMeter("m1", 1, "iec62056-21", None, address)
    return BusConfig("head", "", baudrate, timeout_ms, (meter,), readout=mode)


def test_mode_c_signs_on_and_changes_the_rate() -> None:
    meter = ReadoutMeter(CURVE, serial="4711")
    found = over_a_pty(meter, head("sign-on", 300, address="4711"))
    assert found == [Registers(1_234_567, 89_000)]


def test_a_pushed_telegram_counts_when_the_next_one_agrees() -> None:
    found = over_a_pty(PushMeter(CURVE, every_s=0.3), head("push", 9_600), 2)
    assert found == [Registers(1_234_567, 89_000)] * 2


def test_a_meter_of_another_address_stays_silent() -> None:
    with pytest.raises(NoAnswer, match="no readout within 900 ms"):
        over_a_pty(ReadoutMeter(CURVE, serial="4711"), head("sign-on", 300, 900, "4712"))


def test_a_meter_that_says_another_number_is_not_read() -> None:
    # The gas meter behind it (0-1) says its own number, which is not this meter's.
    assert numbers_in(DSMR) == {"3960221976967177082151037881335713"}
    assert numbers_in(LANDIS_GYR) == {"20000"}
    assert numbers_in(HAGER) == set()
    bus = head("push", 9_600, address="4712")
    with pytest.raises(WrongMeter, match="says it is 4711, not 4712"):
        over_a_pty(PushMeter(CURVE, every_s=0.2, serial="4711"), bus)


def test_a_bus_of_that_kind_gets_such_a_line() -> None:
    assert isinstance(line_for(head("push", 9_600)), ReadoutLine)
