"""Where a gateway says it is: the receiver's fixes, the survey, and what is believed of either."""

import asyncio
import os
import pty
import random
import tty
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress

import pytest

from gateway.config import Address, PlaceConfig
from gateway.place import FIXES, FRESH_S, Place
from gateway.receiver import Fix, GpsdReceiver, NmeaReceiver, Sentences, receiver_for, tpv_fix
from wire.errors import Unavailable
from wire.witness import WitnessPosition

SITE = PlaceConfig(187_883_200, 989_851_000, 50)
HERE = Fix(187_883_210, 989_851_020, 30)
TPV = (
    b'{"class":"TPV","device":"/dev/ttyACM0","mode":3,"time":"2026-11-21T10:00:00.000Z",'
    b'"lat":18.788321,"lon":98.985102,"eph":4.2}\n'
)


def sentence(body: str) -> bytes:
    checksum = 0
    for octet in body.encode():
        checksum ^= octet
    return f"${body}*{checksum:02X}\r\n".encode()


GGA = sentence("GNGGA,101112.00,1847.29926,N,09859.10612,E,1,09,0.9,310.0,M,-38.0,M,,")
GGA_FIX = Fix(187_883_210, 989_851_020, 46)


@asynccontextmanager
async def running(place: Place) -> AsyncIterator[Place]:
    task = asyncio.ensure_future(place.run())
    try:
        yield place
    finally:
        task.cancel()
        await asyncio.wait({task})


async def comes(place: Place, words: str) -> None:
    async with asyncio.timeout(10):
        while words not in place.state:
            await asyncio.sleep(0.01)


class Told:
    """A receiver that tells what it is told, then goes away."""

    def __init__(self, fixes: list[Fix]) -> None:
        self._fixes = fixes

    async def fixes(self) -> AsyncGenerator[Fix, None]:
        for fix in self._fixes:
            yield fix
        raise Unavailable("the cable is out")


def test_without_a_receiver_the_survey_is_named_and_says_so() -> None:
    place = Place(SITE, receiver_for(SITE))
    assert place.position(5.0) == WitnessPosition(187_883_200, 989_851_000, 50, 0, 0)
    assert place.report(5.0)["receiver"] == "none"


def test_fixes_are_named_with_their_age() -> None:
    place = Place(SITE, Told([]))
    place.heard(HERE, 100.0)
    assert place.position(107.9) == WitnessPosition(187_883_210, 989_851_020, 30, 7, 1)


def test_old_fixes_give_way_to_the_survey() -> None:
    place = Place(SITE, Told([]))
    place.heard(HERE, 100.0)
    assert place.position(100.0 + FRESH_S).source == 1
    assert place.position(102.0 + FRESH_S) == WitnessPosition(187_883_200, 989_851_000, 50, 0, 0)


def test_fixes_that_jump_change_nothing_while_they_are_few() -> None:
    place = Place(SITE, Told([]))
    wild = Fix(0, 0, 9_000)
    for number in range(2 * FIXES):
        place.heard(wild if number % 9 in (1, 3, 5, 7) else HERE, float(number))
    position = place.position(2.0 * FIXES)
    assert (position.lat_e7, position.lon_e7, position.accuracy_dm) == (
        187_883_210,
        989_851_020,
        30,
    )


def test_a_gateway_that_was_carried_away_says_so() -> None:
    place = Place(SITE, Told([]))
    for number in range(FIXES):
        place.heard(HERE, float(number))
    assert not place.report(9.0)["moved"]
    there = Fix(188_000_000, 989_851_020, 30)
    for number in range(FIXES):
        place.heard(there, 10.0 + number)
    report = place.report(20.0)
    assert report["moved"]
    assert report["from_site_m"] == pytest.approx(1_300, abs=2)
    assert place.position(20.0).lat_e7 == 188_000_000


def test_degrees_of_longitude_shrink_towards_the_poles() -> None:
    place = Place(PlaceConfig(600_000_000, 1_799_999_000, 50), Told([]))
    place.heard(Fix(600_000_000, -1_799_999_000, 10), 0.0)  # 2e-4 degrees over the date line.
    assert place.report(0.0)["from_site_m"] == 11


def test_a_sentence_becomes_a_fix_however_it_is_cut() -> None:
    for cut in range(len(GGA)):
        sentences = Sentences()
        assert [*sentences.take(GGA[:cut]), *sentences.take(GGA[cut:])] == [GGA_FIX]


def test_the_receivers_own_deviation_is_taken_for_one_fix() -> None:
    sentences = Sentences()
    found = sentences.take(sentence("GPGST,101112.00,8.1,,,,0.3,0.4,0.8") + GGA + GGA)
    assert [fix.accuracy_dm for fix in found] == [6, 46]


def test_a_fix_without_a_bound_is_worth_fifty_metres() -> None:
    unsaid = "GNGGA,101112.00,1847.29926,N,09859.10612,E,1,09,,310.0,M,-38.0,M,,"
    assert [fix.accuracy_dm for fix in Sentences().take(sentence(unsaid))] == [501]


def test_hostile_and_unmeasured_sentences_are_no_fixes() -> None:
    bad = [
        GGA.replace(b"N,", b"S,", 1),  # The checksum is another's.
        GGA.replace(b"*", b""),
        GGA[:-6] + b"\r\n",
        sentence("GNGGA,101112.00,,,,,0,00,99.9,,,,,,"),
        sentence("GNGGA,101112.00,1847.29926,N,09859.10612,E,8,09,0.9,310.0,M,-38.0,M,,"),
        sentence("GNGGA,101112.00,9947.29926,N,09859.10612,E,1,09,0.9,310.0,M,-38.0,M,,"),
        sentence("GNGGA,101112.00,1847.29926,N,09859.10612,E,1,09,999,310.0,M,-38.0,M,,"),
        sentence("GNGGA"),
        sentence("GNGGA,x,y,z,é,1,1,1"),
        sentence("PASHR,1,2,3"),
        sentence("PUBX,00,081350.00,4717.113210,N"),
        b"$" * 100 + b"\n",
        bytes(range(256)) + b"\n",
    ]
    for octets in bad:
        assert Sentences().take(octets + b"\n") == [], octets
    assert Sentences().take(b"".join(bad) + GGA) == [GGA_FIX]


def test_no_damage_to_a_sentence_stops_the_gateway() -> None:
    moments = random.Random(5)
    for _ in range(3_000):
        body = bytearray(GGA[1:-5])
        for _ in range(moments.randrange(1, 4)):
            body[moments.randrange(len(body))] = moments.choice(b",.*$-0123456789ABCGNPRSTXZ")
        Sentences().take(sentence(body.decode()))


def test_a_line_without_an_end_takes_no_memory() -> None:
    sentences = Sentences()
    for _ in range(1_000):
        assert sentences.take(b"$GPGGA," * 1_000) == []
    assert sentences.take(b"\n" + GGA) == [GGA_FIX]


def test_gpsds_reports_of_measured_positions_become_fixes() -> None:
    assert tpv_fix(TPV) == Fix(187_883_210, 989_851_020, 43)
    assert tpv_fix(TPV.replace(b'"eph":4.2', b'"epx":3,"epy":4')) == Fix(
        187_883_210, 989_851_020, 51
    )
    assert tpv_fix(TPV.replace(b',"eph":4.2', b"")) == Fix(187_883_210, 989_851_020, 501)


@pytest.mark.parametrize(
    "line",
    [
        TPV.replace(b'"mode":3', b'"mode":1'),
        TPV.replace(b'"mode":3', b'"mode":3,"status":8'),
        TPV.replace(b'"mode":3', b'"mode":3,"status":5'),
        TPV.replace(b'"mode":3', b'"mode":3,"status":[]'),
        TPV.replace(b'"mode":3', b'"mode":[],"status":2'),
        TPV.replace(b"18.788321", b"1e400"),
        TPV.replace(b"18.788321", b"NaN"),
        TPV.replace(b"18.788321", b"true"),
        TPV.replace(b"18.788321", b"91"),
        TPV.replace(b"4.2", b"40000"),
        b'{"class":"SKY"}',
        b"[" * 100_000,
        b"\xff\n",
        b"17",
    ],
)
def test_other_reports_of_gpsd_are_no_fixes(line: bytes) -> None:
    assert tpv_fix(line) is None


@asynccontextmanager
async def gpsd(lines: bytes, then_close: bool) -> AsyncIterator[Address]:
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(b'{"class":"VERSION","release":"3.25","proto_major":3,"proto_minor":15}\n')
        if (await reader.readline()).startswith(b"?WATCH="):
            writer.write(lines)
            await writer.drain()
        if not then_close:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        try:
            yield Address(*server.sockets[0].getsockname()[:2])
        finally:
            for writer in writers:
                writer.transport.abort()
                with suppress(OSError):
                    await writer.wait_closed()


async def first(receiver: GpsdReceiver | NmeaReceiver) -> Fix:
    async with aclosing(receiver.fixes()) as fixes:
        return await anext(fixes)


def test_gpsd_is_asked_in_its_own_words() -> None:
    async def story() -> None:
        async with gpsd(b'{"class":"DEVICES"}\n' + TPV, then_close=False) as address:
            assert await first(GpsdReceiver(address)) == Fix(187_883_210, 989_851_020, 43)

    asyncio.run(story())


@pytest.mark.parametrize("lines", [b"", b"x" * 100_000], ids=["nothing", "no-end"])
def test_a_gpsd_that_ends_or_babbles_is_away(lines: bytes) -> None:
    async def story() -> None:
        async with (
            gpsd(lines, then_close=True) as address,
            running(Place(SITE, GpsdReceiver(address))) as place,
        ):
            await comes(place, "gpsd at 127.0.0.1:")

    asyncio.run(story())


def test_a_receiver_on_a_serial_port_is_heard_and_its_loss_is_told() -> None:
    async def story() -> None:
        master, slave = pty.openpty()
        tty.setraw(slave)
        async with running(Place(SITE, NmeaReceiver(os.ttyname(slave), 9_600))) as place:
            async with asyncio.timeout(10):
                while place.state != "fixes":
                    os.write(master, GGA)
                    await asyncio.sleep(0.01)
            assert place.position(asyncio.get_running_loop().time()).source == 1
            os.close(slave)
            os.close(master)
            await comes(place, "line went down")

    asyncio.run(story())


def test_a_receiver_that_went_away_leaves_its_last_fixes() -> None:
    async def story() -> None:
        async with running(Place(SITE, Told([HERE]))) as place:
            await comes(place, "the cable is out")
            assert place.position(asyncio.get_running_loop().time()).source == 1

    asyncio.run(story())
