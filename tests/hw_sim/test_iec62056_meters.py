"""A meter read by IEC 62056-21, and one that pushes."""

import pytest

from gateway.lines.frames import Garbled
from gateway.lines.readout import pushed_in
from hwsim.curves import PowerSteps
from hwsim.iec62056 import PushMeter, ReadoutMeter, block_check
from hwsim.rs485 import Wire
from hwsim.uart import LineFormat
from tests.hw_sim.line_master import ask, listen

CURVE = PowerSteps([(0.0, -1_500.0)], import_wh=1_296.3, export_wh=2_000)
SIGN_ON = b"/?!\r\n"
IDENTITY = b"/GWT5SIMULATED\r\n"
BLOCK = (
    b"0.0.0(12345678)\r\n1.8.0(000001.2963*kWh)\r\n2.8.0(000002.00%02d*kWh)\r\n"
    b"16.7.0(-01.5000*kW)\r\n!\r\n\x03"
)


def optical(meter: ReadoutMeter) -> Wire:
    return Wire([meter], 300, "7E1")


def readout(wire: Wire, acknowledgement: bytes, baudrate: int) -> bytes:
    """The master's part of mode C, from sign-on on."""
    assert ask(wire, 0.0, SIGN_ON, 1.2) == IDENTITY
    wire.send(1.2, acknowledgement)
    sent_s = 1.2 + len(acknowledgement) * 10 / 300
    wire.receive(sent_s)
    wire.change_format(sent_s, LineFormat.of(baudrate, "7E1"))
    return b"".join(octets for _, octets in listen(wire, 10.0))


@pytest.mark.parametrize(("rate", "baudrate"), [("0", 300), ("3", 2_400), ("5", 9_600)])
def test_a_readout_goes_on_at_the_rate_that_was_chosen(rate: str, baudrate: int) -> None:
    telegram = readout(optical(ReadoutMeter(CURVE)), f"\x060{rate}0\r\n".encode(), baudrate)
    assert telegram[:1] == b"\x02"
    assert telegram[1:-1] == BLOCK % int(telegram.split(b"2.8.0(000002.00")[1][:2])
    assert telegram[-1:] == block_check(telegram[1:-1])


def test_who_does_not_change_its_rate_hears_garbage() -> None:
    telegram = readout(optical(ReadoutMeter(CURVE)), b"\x06050\r\n", 300)
    assert telegram
    assert b"1.8.0" not in telegram


@pytest.mark.parametrize("acknowledgement", [b"\x06060\r\n", b"\x06051\r\n", b"\x06050", b"?"])
def test_rates_it_did_not_offer_and_programming_are_not_answered(acknowledgement: bytes) -> None:
    assert readout(optical(ReadoutMeter(CURVE)), acknowledgement, 9_600) == b""


def test_an_acknowledgement_that_comes_too_late_starts_nothing() -> None:
    wire = optical(ReadoutMeter(CURVE))
    assert ask(wire, 0.0, SIGN_ON, 1.2) == IDENTITY
    assert ask(wire, 4.0, b"\x06000\r\n") == b""
    assert ask(wire, 6.0, SIGN_ON, 1.2) == IDENTITY


def test_only_the_meter_of_that_number_answers() -> None:
    wire = Wire([ReadoutMeter(CURVE, "111"), ReadoutMeter(CURVE, "222", name="ABC")], 300, "7E1")
    assert ask(wire, 0.0, b"/?222!\r\n", 2.0) == b"/ABC5SIMULATED\r\n"
    assert ask(wire, 5.0, b"/?00000111!\r\n", 2.0) == IDENTITY
    assert ask(wire, 10.0, b"/?333!\r\n", 2.0) == b""
    assert ask(wire, 15.0, SIGN_ON, 2.0) not in (IDENTITY, b"/ABC5SIMULATED\r\n")


def test_a_telegram_is_pushed_again_and_again() -> None:
    wire = Wire([PushMeter(CURVE, every_s=3.0)], 9_600, "7E1")
    telegrams = b"".join(octets for _, octets in listen(wire, 7.0)).split(b"!\r\n")
    assert len(telegrams) == 3
    assert telegrams[0] == (
        b"/GWT5SIMULATED\r\n\r\n1-0:0.0.0*255(12345678)\r\n1-0:1.8.0*255(000001.2963)\r\n"
        b"1-0:2.8.0*255(000002.0012)\r\n1-0:16.7.0*255(-01.5000*kW)\r\n"
    )


def test_a_dsmr_telegram_ends_with_its_crc() -> None:
    line = LineFormat.of(115_200, "8N1")
    wire = Wire([PushMeter(CURVE, every_s=1.0, line=line, dsmr=True)], 115_200)
    telegram = b"".join(octets for _, octets in listen(wire, 1.5))
    found = pushed_in(telegram)
    assert found is not None
    assert (found[0].checked, found[1]) == (True, len(telegram))
    assert b"1-0:1.8.0(000001.2963*kWh)" in telegram
    with pytest.raises(Garbled):
        pushed_in(telegram.replace(b"1.2963", b"1.2964"))
