"""The control socket: reads through a bus that goes on polling; nothing else, never too much."""

import asyncio
import json
import stat
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config import GatewayConfig
from gateway.delivery.intervals import Subject
from gateway.delivery.reader import Reader
from gateway.delivery.spool import Spool
from gateway.lines.frames import READ_INPUT, WRITE_MULTIPLE, DeviceRefused, Garbled, Request
from gateway.lines.line import NoAnswer
from gateway.lines.readout_line import line_for
from gateway.lines.transport import Tap
from gateway.meters.decode import Limits
from gateway.operation.asking import asked, connect
from gateway.operation.control import MOST_LINE, ControlSocket, short_name, socket_path
from gateway.operation.scanning import scan
from gateway.operation.sniffing import sniff
from gateway.polling.bus import BusActor
from gateway.registered import PolledMeter
from tests.gateway.meters_on_a_line import METERS, QUIET, bus_on, configured, on_a_pty, quiet
from tests.gateway.street import START_S, StepClock, until
from tests.gateway.world import READER
from wire.errors import Unavailable

ASK = {"bus": "line", "unit": 1, "function": 4, "address": 72, "count": 2}


class FakeBus:
    """Answers at once, as it was told."""

    def __init__(self) -> None:
        self.name = "line"
        self.taps: set[Tap] = set()
        self.asked: list[Request] = []
        self.fails: Exception | None = None

    def submit(self, request: Request, silence_ms: int) -> asyncio.Future[tuple[int, ...]]:
        self.asked.append(request)
        answer: asyncio.Future[tuple[int, ...]] = asyncio.get_running_loop().create_future()
        if self.fails is not None:
            answer.set_exception(self.fails)
        else:
            answer.set_result(tuple(range(request.count)))
        return answer


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def served(folder: Path, bus: FakeBus, act: Callable[[GatewayConfig], Awaitable[None]]) -> None:
    async def scene() -> None:
        config = configured(folder, "/dev/null")
        path = socket_path(config.spool)
        work = asyncio.ensure_future(ControlSocket(path, lambda: [bus]).run())
        try:
            await until(path.exists)
            await act(config)
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        assert not path.exists()

    asyncio.run(scene())


def talking(folder: Path, bus: FakeBus, talk: Talk) -> None:
    async def act(config: GatewayConfig) -> None:
        connection = await connect(config.spool)
        assert connection is not None
        try:
            await talk(*connection)
        finally:
            connection[1].close()

    served(folder, bus, act)


async def say(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes
) -> dict[str, Any]:
    writer.write(line)
    async with asyncio.timeout(5):
        answer: dict[str, Any] = json.loads(await reader.readline())
    return answer


def test_only_its_owner_may_use_the_socket(tmp_path: Path) -> None:
    async def act(config: GatewayConfig) -> None:
        mode = socket_path(config.spool).stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600

    served(tmp_path, FakeBus(), act)


def test_a_socket_that_was_left_behind_is_taken_over(tmp_path: Path) -> None:
    socket_path(tmp_path / "spool.sqlite").write_text("left behind")

    async def act(config: GatewayConfig) -> None:
        await until(lambda: socket_path(config.spool).is_socket())

    served(tmp_path, FakeBus(), act)


def test_a_folder_with_a_long_name_has_a_socket_too(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 150)
    folder.mkdir()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = json.dumps({"ask": ASK}).encode() + b"\n"
        assert await say(reader, writer, question) == {"words": [0, 1]}

    talking(folder, FakeBus(), talk)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"function": WRITE_MULTIPLE}, "function can be 3 to 4; only reads"),
        ({"function": 6}, "only reads can be asked"),
        ({"unit": 0}, "unit can be 1 to 247"),
        ({"unit": "1"}, "unit can be 1 to 247"),
        ({"unit": True}, "unit can be 1 to 247"),
        ({"count": 126}, "count can be 1 to 125"),
        ({"count": None}, "count can be"),
        ({"address": 1.5}, "address can be"),
        ({"silence_ms": 10**9}, "silence_ms can be"),
        ({"bus": "other"}, "no bus 'other'; there are line"),
        ({"bus": ["line"]}, "no bus"),
    ],
)
def test_what_may_not_be_asked_is_refused_and_never_sent(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    bus = FakeBus()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = await say(reader, writer, json.dumps({"ask": ASK | change}).encode() + b"\n")
        assert words in answer["reason"]
        # The connection goes on.
        assert await say(reader, writer, json.dumps({"ask": ASK}).encode() + b"\n") == {
            "words": [0, 1]
        }

    talking(tmp_path, bus, talk)
    assert bus.asked == [Request(1, READ_INPUT, 72, 2)]


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"{\n",
        b"\xff\xfe\n",
        b"[]\n",
        b"{}\n",
        b'{"ask": 1}\n',
        b'{"write": {}}\n',
        b'{"ask": {}, "sniff": {}}\n',
        b"[" * 900 + b"\n",
        b"9" * 1_000 + b"\n",
    ],
)
def test_a_line_that_is_no_question_is_told_so(tmp_path: Path, line: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await say(reader, writer, line))["error"] in ("malformed", "unknown-bus")

    talking(tmp_path, FakeBus(), talk)


def test_a_line_without_end_ends_the_talk(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = await say(reader, writer, b"x" * (4 * MOST_LINE))
        assert "longer than 1024 octets" in answer["reason"]
        async with asyncio.timeout(5):
            assert await reader.read() == b""

    talking(tmp_path, FakeBus(), talk)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(min_size=1, max_size=3_000))
def test_whatever_is_said_the_socket_lives_and_nothing_is_asked(
    tmp_path_factory: pytest.TempPathFactory, said: bytes
) -> None:
    bus = FakeBus()

    async def act(config: GatewayConfig) -> None:
        connection = await connect(config.spool)
        assert connection is not None
        connection[1].write(said)
        connection[1].write_eof()
        async with asyncio.timeout(5):
            await connection[0].read()
        connection[1].close()
        way = asked(config, config.buses[0])
        async with way as live:
            assert await live.ask(Request(1, READ_INPUT, 0, 1), 0) == (0,)

    served(tmp_path_factory.mktemp("said"), bus, act)
    assert len(bus.asked) == 1


def test_too_many_at_once_are_sent_away(tmp_path: Path) -> None:
    async def act(config: GatewayConfig) -> None:
        connections = [await connect(config.spool) for _ in range(9)]
        assert None not in connections
        last = connections[-1]
        assert last is not None
        async with asyncio.timeout(5):
            assert b"busy" in await last[0].read()
        for each in connections:
            assert each is not None
            each[1].close()

    served(tmp_path, FakeBus(), act)


@pytest.mark.parametrize("reason", [DeviceRefused(2), NoAnswer("silence"), Garbled("noise")])
def test_errors_arrive_as_they_were(tmp_path: Path, reason: Exception) -> None:
    bus = FakeBus()
    bus.fails = reason

    async def act(config: GatewayConfig) -> None:
        async with asked(config, config.buses[0]) as way:
            assert way.live
            with pytest.raises(type(reason), match=str(reason)):
                await way.ask(Request(1, READ_INPUT, 0, 1), 0)
            bus.fails = Unavailable("the line is down")
            with pytest.raises(Unavailable, match="line is down"):
                await way.ask(Request(1, READ_INPUT, 0, 1), 0)

    served(tmp_path, bus, act)


def test_a_sniffer_hears_both_ways_until_it_goes(tmp_path: Path) -> None:
    bus = FakeBus()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'{"sniff": {"bus": "line"}}\n')
        await until(lambda: bool(bus.taps))
        for tap in tuple(bus.taps):
            tap(True, b"\x01\x04")
            tap(False, b"\x02")
        assert json.loads(await reader.readline()) == {"sent": True, "octets": "0104"}
        assert json.loads(await reader.readline()) == {"sent": False, "octets": "02"}
        writer.write_eof()
        await until(lambda: not bus.taps)

    talking(tmp_path, bus, talk)


def test_without_a_gateway_the_line_is_our_own(tmp_path: Path) -> None:
    async def scene() -> None:
        with on_a_pty(tmp_path, METERS[0]) as path:
            config = configured(tmp_path, path)
            async with asked(config, config.buses[0]) as way:
                assert not way.live
                assert len(await way.ask(Request(1, READ_INPUT, 0x48, 4), 0)) == 4

    asyncio.run(scene())


def test_a_scan_through_the_gateway_costs_no_reading(tmp_path: Path) -> None:
    """A bus of two meters is scanned again and again while three boundaries pass."""
    template = quiet("eastron-sdm630")

    async def scene(path: str, spool: Spool) -> None:
        config = configured(tmp_path, path, ("m2", 2, template.name))
        clock = StepClock(START_S + 0.1)
        reader = Reader(spool, clock, READER.public, True)
        await reader.begin(START_S)
        bus = replace(bus_on(path, 50), name=config.buses[0].name)
        subject = Subject("m2", "node-m2", bytes(8), template.hash)
        meter = PolledMeter("m2", 2, template, subject, Limits(20_000, 10))
        actor = BusActor(bus, (meter,), line_for(bus), (spool, reader), clock)
        await actor.begin()
        control = ControlSocket(socket_path(config.spool), lambda: [actor])
        work = [asyncio.ensure_future(each) for each in (actor.run(), control.run())]
        await until(socket_path(config.spool).exists)
        boundary = 0
        try:
            async with asked(config, bus) as way:
                scanning = asyncio.ensure_future(_scan_twice(way.ask))
                while not scanning.done() and boundary < 3:
                    clock.move_to(START_S + 900 * boundary + 0.1)
                    await until(
                        lambda: actor.schedule.done_s("m2") >= START_S + 900 * boundary  # noqa: B023
                    )
                    boundary += 1
                found = await scanning
        finally:
            for each in work:
                each.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            actor.line.close()
        assert boundary == 3
        assert found == [[(1, "abb-b23"), (2, "eastron-sdm630")]] * 2
        assert reader.gaps == 0
        rows = await spool.rows("SELECT sequence FROM reading ORDER BY sequence")
        assert [sequence for (sequence,) in rows] == [START_S // 900, START_S // 900 + 1]

    async def opened() -> None:
        abb = next(each for each in METERS if each.model == "abb-b23")
        spool = await Spool.open(tmp_path / "spool.sqlite")
        try:
            with on_a_pty(tmp_path, abb, METERS[1]) as path:
                await scene(path, spool)
        finally:
            await spool.close()

    asyncio.run(opened())


async def _scan_twice(ask: Any) -> list[list[tuple[int, str]]]:
    found = []
    for _ in range(2):
        there = await scan(ask, [1, 2, 3], QUIET, lambda _: None)
        found.append([(each.unit, each.probes[0].template.name) for each in there])
    return found


def test_the_socket_has_a_short_name_whatever_its_folder(tmp_path: Path) -> None:
    with short_name(tmp_path / "spool.control") as name:
        assert len(name) < 100


def test_sniff_shows_both_sides_of_a_talk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bus = FakeBus()

    async def act(config: GatewayConfig) -> None:
        listening = asyncio.ensure_future(sniff(config, config.buses[0], 0.3, False))
        await until(lambda: bool(bus.taps))
        for tap in tuple(bus.taps):
            tap(True, bytes.fromhex("01040000000271CB"))
            tap(False, bytes.fromhex("01040443663334"))
            tap(False, bytes.fromhex("1B38FF"))
        await listening

    served(tmp_path, bus, act)
    said = [line[14:] for line in capsys.readouterr().out.splitlines()]
    assert said == [
        "> unit   1  asked by function 4: 2 registers from 0x0000  [01040000000271cb]",
        "< unit   1  answers function 4: 4366 3334  [010404436633341b38]",
        "< NOISE     1 octets that are no frame  [ff]",
    ]


def test_a_bus_that_is_unknown_cannot_be_sniffed(tmp_path: Path) -> None:
    async def act(config: GatewayConfig) -> None:
        other = replace(config.buses[0], name="other")
        with pytest.raises(Unavailable, match="no bus 'other'"):
            await sniff(config, other, 1.0, False)

    served(tmp_path, FakeBus(), act)
