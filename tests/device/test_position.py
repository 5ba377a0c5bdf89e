"""What a satellite receiver says, and what is made of a line full of anything."""

import calendar
import datetime
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.board import micropython
from meter.position import AT_ONCE, LONGEST, Receiver

FIRMWARE = Path(__file__).parents[2] / "device" / "firmware"


def sentence(body: str) -> bytes:
    """With its checksum and its end."""
    checksum = 0
    for byte in body.encode():
        checksum ^= byte
    return f"${body}*{checksum:02X}\r\n".encode()


GGA = "GNGGA,081836.75,3751.650,S,14507.360,E,1,05,1.50,280.2,M,-34.0,M,,"
GST = "GPGST,081836.75,1.8,5.0,3.0,10.0,3.0,4.0,9.9"
RMC = "GPRMC,081836.75,A,3751.650,S,14507.360,E,000.0,360.0,130998,011.3,E"
MELBOURNE = (-378_608_333, 1_451_226_667)


class Line:
    """A UART with bytes in it, and the board's ticks."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = data
        self.now = 1000
        self.receiver = Receiver(
            self, lambda: self.now, lambda a, b: (a - b + 2**29) % 2**30 - 2**29
        )

    def read(self, size: int) -> bytes | None:
        taken, self.data = self.data[:size], self.data[size:]
        return taken or None

    def say(self, *bodies: str | bytes) -> Any:
        """Let the receiver say it all, and be stepped until it is taken."""
        self.data += b"".join(sentence(b) if isinstance(b, str) else b for b in bodies)
        while self.data:
            self.receiver.step()
        return self.receiver


def test_a_position_is_in_ten_millionths_of_a_degree() -> None:
    line = Line()
    assert line.receiver.fix() is None
    assert line.say(GGA).fix() == (*MELBOURNE, 76, 0)
    line.now += 61_999
    assert line.receiver.fix() == (*MELBOURNE, 76, 61)


@pytest.mark.parametrize(
    ("latitude", "longitude", "expected"),
    [
        ("0000.00000,N", "00000.00000,W", (0, 0)),
        ("9000.0,N", "18000.0,E", (900_000_000, 1_800_000_000)),
        ("1344.57613,N", "10030.08122,E", (137_429_355, 1_005_013_537)),
        ("0000.0000006,S", "00000.0000012,W", (0, 0)),
        ("4530,N", "00959.9999999,W", (455_000_000, -100_000_000)),
    ],
)
def test_angles_are_rounded_in_integers(
    latitude: str, longitude: str, expected: tuple[int, int]
) -> None:
    found = Line().say(f"GPGGA,1,{latitude},{longitude},1,05,1.0,,M,,M,,").fix()
    assert found[:2] == expected


@given(st.integers(0, 90 * 600_000), st.integers(0, 180 * 600_000))
def test_any_angle_is_within_a_unit_of_what_was_sent(latitude: int, longitude: int) -> None:
    def written(value: int, width: int) -> str:
        return f"{value // 600_000:0{width}}{value % 600_000 // 10_000:02}.{value % 10_000:04}"

    body = f"GPGGA,1,{written(latitude, 2)},S,{written(longitude, 3)},E,1,05,1.0,,M,,M,,"
    found = Line().say(body).fix()
    # A ten-thousandth of a minute is 50/3 units.
    assert abs(-found[0] * 3 - latitude * 50) <= 2
    assert abs(found[1] * 3 - longitude * 50) <= 2


def test_fresh_deviations_are_the_accuracy_and_old_ones_are_not() -> None:
    line = Line()
    assert line.say(GST, GGA).fix()[2] == 56  # 3 and 4 m: no less than 5 m.
    line.now += 5_001
    assert line.say(GGA).fix()[2] == 76


@given(st.integers(0, 99_999), st.integers(0, 99_999))
def test_the_accuracy_of_two_deviations_is_never_too_good(a_mm: int, b_mm: int) -> None:
    written = [f"{value // 1000}.{value % 1000:03}" for value in (a_mm, b_mm)]
    found = Line().say(f"GPGST,1,1,1,1,1,{written[0]},{written[1]},1", GGA).fix()
    true_dm = (a_mm**2 + b_mm**2) ** 0.5 / 100
    assert true_dm <= found[2] <= true_dm * 1.13 + 2


@pytest.mark.parametrize("quality", ["0", "6", "7", "8", "9", "", "11"])
def test_a_position_that_was_not_measured_is_none(quality: str) -> None:
    assert Line().say(GGA.replace(",E,1,", f",E,{quality},")).fix() is None


@pytest.mark.parametrize(("gone_s", "age_s"), [(0, 0), (254, 254), (255, 255), (256, 255)])
def test_a_lost_fix_leaves_the_old_position_with_its_age(gone_s: int, age_s: int) -> None:
    line = Line()
    line.say(GGA)
    line.now += 1000 * gone_s
    line.say(GGA.replace(",E,1,", ",E,0,"))
    assert line.receiver.fix() == (*MELBOURNE, 76, age_s)


def test_an_age_is_never_more_than_a_record_has_room_for_however_long_the_fix_is_lost() -> None:
    line = Line()
    line.say(GGA)
    for _ in range(40):
        line.now += 2**28  # The ticks wrap every four of these.
        line.say(GGA.replace(",E,1,", ",E,0,"))
        assert line.receiver.fix() == (*MELBOURNE, 76, 255)


def test_an_accuracy_is_never_more_than_a_record_has_room_for() -> None:
    found = Line().say("GPGST,1,1,1,1,1,99999999.0,99999999.0,1", GGA).fix()
    assert found == (*MELBOURNE, 0xFFFF, 0)


def test_time_is_the_second_and_what_has_passed_since() -> None:
    line = Line()
    assert line.receiver.time() is None
    line.say(RMC.replace("130998", "130926"))
    line.now += 1_300
    unix_s = calendar.timegm((2026, 9, 13, 8, 18, 36))
    assert line.receiver.time() == (unix_s, 750 + 1_300)


@settings(deadline=None)
@given(st.datetimes(datetime.datetime(2000, 1, 1), datetime.datetime(2099, 12, 31)))
def test_every_second_of_the_century_is_right(moment: datetime.datetime) -> None:
    body = f"GNRMC,{moment:%H%M%S},A,,,,,,,{moment:%d%m%y},,,A"
    assert Line().say(body).time() == (calendar.timegm(moment.timetuple()), 0)


@pytest.mark.parametrize(
    ("time_of_day", "date"),
    [
        ("240000", "010126"),
        ("236000", "010126"),
        ("235961", "010126"),
        ("23595", "010126"),
        ("-10000", "010126"),
        ("235959.5x", "010126"),
        ("235959", "290226"),
        ("235959", "300224"),
        ("235959", "310426"),
        ("235959", "000126"),
        ("235959", "011326"),
        ("235959", "010026"),
        ("235959", "01012026"),
        ("235959", ""),
        ("", "010126"),
    ],
)
def test_a_moment_that_no_calendar_has_is_none(time_of_day: str, date: str) -> None:
    assert Line().say(f"GPRMC,{time_of_day},A,,,,,,,{date},,,A").time() is None


def test_leap_days_and_leap_seconds_exist() -> None:
    found = Line().say("GPRMC,235960,A,,,,,,,290228,,,A").time()
    assert found == (calendar.timegm((2028, 3, 1, 0, 0, 0)), 0)


@pytest.mark.parametrize("change", [(",A,", ",V,"), (",011.3,E", ",011.3,E,E"), (",E", ",E,N")])
def test_a_time_that_is_not_valid_is_none(change: tuple[str, str]) -> None:
    head, _, tail = RMC.rpartition(change[0])
    body = RMC.replace(*change) if change[0] == ",A," else head + change[1] + tail
    assert Line().say(body).time() is None


def test_any_talker_counts_and_other_sentences_do_not() -> None:
    assert Line().say(GGA.replace("GNGGA", "BDGGA")).fix() is not None
    for name in ("GGA", "PGNGGA", "GPGGB", "PUBX,00", ""):
        assert Line().say(GGA.replace("GNGGA", name)).fix() is None


@given(st.integers(0, len(sentence(GGA)) - 3), st.integers(1, 255))
def test_a_damaged_sentence_is_none(at: int, wrong: int) -> None:
    data = bytearray(sentence(GGA))
    data[at] ^= wrong
    found = Line().say(bytes(data)).fix()
    assert found is None or data.upper() == sentence(GGA)


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_garbage_is_survived_and_the_sentence_behind_it_is_heard(garbage: bytes) -> None:
    line = Line()
    line.say(garbage)
    found = line.say(b"\n", GGA).fix()
    assert found[:2] == MELBOURNE


@settings(deadline=None)
@given(
    st.lists(st.text("0123456789.,ANSEWV+-_ eEx\x00\u00b2", max_size=12), min_size=1, max_size=14),
    st.sampled_from(["GPGGA", "GPRMC", "GPGST"]),
)
def test_nonsense_with_a_right_checksum_is_survived(fields: list[str], name: str) -> None:
    body = (name + "," + ",".join(fields)).encode()
    checksum = 0
    for byte in body:
        checksum ^= byte
    line = Line()
    receiver = line.say(b"$%s*%02X\n" % (body, checksum))
    found = receiver.fix()
    assert found is None or (abs(found[0]) <= 90 * 10**7 and abs(found[1]) <= 180 * 10**7)


def test_a_sentence_without_an_end_takes_no_memory() -> None:
    line = Line()
    line.data = b"$GPGGA" + b"1" * 5000
    while line.data:
        line.receiver.step()
        assert len(line.receiver._line) <= LONGEST
    assert line.say(b"\n", GGA).fix() is not None


def test_a_step_takes_a_little_and_never_waits() -> None:
    line = Line(bytes(1000))
    line.receiver.step()
    assert len(line.data) == 1000 - AT_ONCE
    line.data = b""
    line.receiver.step()


def test_a_sentence_may_come_byte_by_byte() -> None:
    line = Line()
    for byte in sentence(GGA):
        line.say(bytes((byte,)))
    assert line.receiver.fix()[:2] == MELBOURNE


def test_micropython_hears_the_same() -> None:
    code = (
        "import time\n"
        "from meter.position import Receiver\n"
        "class Uart:\n"
        f"    data = {b'noise$' + sentence(GST) + sentence(GGA) + sentence(RMC)!r}\n"
        "    def read(self, size):\n"
        "        taken, self.data = self.data[:size], self.data[size:]\n"
        "        return taken or None\n"
        "uart = Uart()\n"
        "receiver = Receiver(uart, lambda: 7, time.ticks_diff)\n"
        "while uart.data:\n"
        "    receiver.step()\n"
        "print(receiver.fix(), receiver.time())\n"
    )
    done = subprocess.run(
        [micropython(), "-X", "heapsize=64k", "-c", code],
        env={"MICROPYPATH": f"{FIRMWARE}:.frozen"},
        capture_output=True,
        text=True,
        check=False,
    )
    unix_s = calendar.timegm((2098, 9, 13, 8, 18, 36))
    assert done.stdout.strip() == f"{(*MELBOURNE, 56, 0)} ({unix_s}, 750)", done.stderr
