"""Simulated receivers, as strangers and the gateway hear them."""

import asyncio
import json
import math
import os
import signal
import subprocess
import sys
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pynmeagps import NMEAReader
from pynmeagps.exceptions import NMEAParseError

from gateway.config import Address
from gateway.receiver import Fix, GpsdReceiver, NmeaReceiver, Sentences, tpv_fix
from gridwitness import cli
from hwsim.gps import METRES_PER_DEGREE, TALKERS, SatelliteReceiver, Trouble, sentences
from hwsim.gpsd import GpsdServer, sky, tpv
from wire.errors import Malformed

LAT, LON = 18.7883, 98.9853
PATIENCE_S = 10.0


def receiver(*troubles: str, **settings: Any) -> SatelliteReceiver:
    return SatelliteReceiver(LAT, LON, troubles=[Trouble.of(each) for each in troubles], **settings)


def fixes(there: SatelliteReceiver, seconds: int = 10, talker: str = "GN") -> list[Fix]:
    heard = Sentences()
    return [
        fix
        for second in range(seconds)
        for fix in heard.take(b"".join(sentences(there.epoch(second), talker)))
    ]


def away_m(fix: Fix) -> float:
    north_m = (fix.lat_e7 / 1e7 - LAT) * METRES_PER_DEGREE
    east_m = (fix.lon_e7 / 1e7 - LON) * METRES_PER_DEGREE * math.cos(math.radians(LAT))
    return math.hypot(north_m, east_m)


@pytest.mark.parametrize("talker", TALKERS)
def test_a_stranger_parses_every_sentence_of_every_talker(talker: str) -> None:
    spoken = sentences(receiver().epoch(0), talker)
    parsed = [NMEAReader.parse(line) for line in spoken]
    assert [(each.talker, each.msgID) for each in parsed] == [
        (talker, kind) for kind in ("GGA", "GSA", "GST", "RMC")
    ]
    assert (parsed[0].lat, parsed[3].lon) == pytest.approx((LAT, LON), abs=1e-4)
    assert (parsed[1].navMode, parsed[3].status, parsed[3].posMode) == (3, "A", "A")
    assert max(map(len, spoken)) <= 82


@pytest.mark.parametrize(
    ("lat", "lon", "words"),
    [
        (-33.5, -0.0000001, ("3330.00000,S", "00000.00001,W")),
        (0.99999999, 179.9999999, ("0100.00000,N", "17959.99999,E")),
        (0.0, 0.0, ("0000.00000,N", "00000.00000,E")),
    ],
)
def test_places_are_written_in_degrees_and_minutes(
    lat: float, lon: float, words: tuple[str, str]
) -> None:
    there = SatelliteReceiver(lat, lon, wander_m=0.0)
    gga = sentences(there.epoch(0))[0].decode()
    assert ",".join(words) in gga


def test_the_gateway_takes_its_fixes() -> None:
    found = fixes(receiver())
    assert len(found) == 10
    assert max(away_m(each) for each in found) < 10
    assert all(10 < each.accuracy_dm < 50 for each in found)


@pytest.mark.parametrize(
    "trouble", ["no-fix", "estimated", "simulated", "bad-checksum", "cut", "silent"]
)
def test_what_is_no_measured_fix_is_not_taken_for_one(trouble: str) -> None:
    healthy = [(fix.lat_e7, fix.lon_e7) for fix in fixes(receiver())]
    taken = [(fix.lat_e7, fix.lon_e7) for fix in fixes(receiver(f"{trouble}@3-6"))]
    assert taken == healthy[:3] + healthy[6:]


def test_a_fix_that_is_lost_leaves_its_fields_empty() -> None:
    gga, gsa, _, rmc = (NMEAReader.parse(each) for each in sentences(receiver("no-fix").epoch(0)))
    assert (gga.quality, gga.lat, gsa.navMode, rmc.status, rmc.lon) == (0, "", 1, "V", "")


def test_two_dimensions_have_no_height() -> None:
    gga, gsa, *_ = (NMEAReader.parse(each) for each in sentences(receiver("2d").epoch(0)))
    assert (gga.alt, gsa.navMode) == ("", 2)
    assert "alt" not in tpv(receiver("2d").epoch(0))


def test_a_receiver_that_jumps_is_kilometres_away() -> None:
    found = fixes(receiver("jumping@5-6"))
    assert [away_m(each) > 4_000 for each in found] == [False] * 5 + [True] + [False] * 4


def test_a_day_can_have_a_second_more() -> None:
    start = datetime(2027, 6, 30, 23, 59, 59, tzinfo=UTC)
    there = receiver("leap-second", start=start)
    stamps = [sentences(there.epoch(second))[3].split(b",") for second in range(3)]
    assert [each[1] for each in stamps] == [b"235959.00", b"235960.00", b"000001.00"]
    assert [each[9] for each in stamps] == [b"300627", b"300627", b"010727"]


def test_weeks_roll_over_and_gps_time_is_not_utc() -> None:
    start = datetime(2026, 11, 21, 10, tzinfo=UTC)
    assert receiver("week-rollover").epoch(0).at == start - timedelta(weeks=1024)
    assert receiver("gps-time").epoch(0).at == start + timedelta(seconds=18)


@pytest.mark.parametrize(
    ("text", "words"), [("asleep", "there are: no-fix"), ("no-fix@x", "@FROM-UNTIL in seconds")]
)
def test_a_trouble_that_is_none_is_refused(text: str, words: str) -> None:
    with pytest.raises(Malformed, match=words):
        Trouble.of(text)


def test_a_tpv_is_a_fix_only_when_it_is_measured() -> None:
    assert tpv_fix(json.dumps(tpv(receiver().epoch(0))).encode()) is not None
    for trouble in ("no-fix", "estimated", "simulated"):
        assert tpv_fix(json.dumps(tpv(receiver(trouble).epoch(0))).encode()) is None
    assert (sky(receiver().epoch(0))["uSat"], sky(receiver("no-fix").epoch(0))["uSat"]) == (4, 0)


async def lines(reader: asyncio.StreamReader, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(PATIENCE_S):
        return [json.loads(await reader.readline()) for _ in range(count)]


def test_gpsd_answers_as_documented() -> None:
    async def talk() -> None:
        server = GpsdServer()
        await server.listen(0)
        there = receiver()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            assert [each["class"] for each in await lines(reader, 1)] == ["VERSION"]
            server.report(there.epoch(0))
            writer.write(b"?POLL;\n?DEVICES;?VERSION;\n")
            polled, devices, version = await lines(reader, 3)
            assert polled["tpv"][0]["mode"] == 3
            assert (devices["class"], version["proto_major"]) == ("DEVICES", 3)
            writer.write(b'?WATCH={"enable":true,"json":true};\n')
            assert [each["class"] for each in await lines(reader, 2)] == ["DEVICES", "WATCH"]
            server.report(there.epoch(1))
            assert [each["class"] for each in await lines(reader, 2)] == ["TPV", "SKY"]
            writer.write(b'?WATCH={"enable":false};\nhello\n?WATCH=[;\n')
            last = await lines(reader, 4)
            assert (last[1]["enable"], last[2]["class"], last[3]["class"]) == (
                False, "ERROR", "ERROR",
            )  # fmt: skip
            server.report(there.epoch(2))
        finally:
            server.close()
        assert await reader.read() == b""
        writer.close()

    asyncio.run(talk())


def test_the_gateway_listens_to_both(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from gridwitness.cli import main; exit(main())"]
    command += ["sim", "gps", "--gpsd", "0", "--json", "--link", str(tmp_path / "gps")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None

    async def first(source: GpsdReceiver | NmeaReceiver) -> Fix:
        async with asyncio.timeout(PATIENCE_S), aclosing(source.fixes()) as found:
            return await anext(found)

    try:
        told = json.loads(process.stdout.readline())
        host, port = told["gpsd"].split(":")
        for source in (GpsdReceiver(Address(host, int(port))), NmeaReceiver(told["path"], 9_600)):
            assert away_m(asyncio.run(first(source))) < 10
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, errors) == (0, "")
        assert not os.path.lexists(told["path"])
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    "arguments", [["--place", "north"], ["--place", "91,0"], ["--talker", "XX"], ["--utc", "soon"]]
)
def test_a_receiver_that_cannot_be_is_refused_in_words(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["sim", "gps", *arguments]) == cli.REFUSED
    assert capsys.readouterr().err.count("\n") == 1


def test_what_a_stranger_refuses_is_broken_as_meant() -> None:
    with pytest.raises(NMEAParseError):
        NMEAReader.parse(sentences(receiver("bad-checksum").epoch(0))[0])
