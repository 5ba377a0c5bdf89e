"""A reply that comes late, or twice, is never taken for the answer to something else."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import BusConfig
from gateway.delivery.reader import Reader
from gateway.delivery.spool import Spool
from gateway.lines.frames import READ_INPUT, Request
from gateway.lines.line import Line
from gateway.lines.transport import Inbox
from gateway.meters import templates
from gateway.meters.template import Block
from gateway.polling.bus import BusActor
from gridwitness.simulated_bus import BarePymodbus, LoopClock, Notes, meter_of
from hwsim.rs485 import Wire
from hwsim.virtual_time import WireTransport, run_jumping
from tests.gateway.slow_meters import TCP, Memory, Mood, QuietLine, SlowMeter, TcpLine
from wire.errors import Refused, Unavailable

TIMEOUT_MS = 200
RATE = 30
"""Network seconds per second of the jumping loop: a boundary each 30 s, 2 s to read it."""

UNITS = (1, 2, 3)
MOST_AGAIN_S = 0.4
ENERGY = (0x48, 6)
"""Address and length of the energy read: the words behind the energies hold the number."""

SDM630 = templates.load("eastron-sdm630")
TEMPLATE = replace(
    SDM630,
    energy_registers=replace(SDM630.energy_registers, blocks=(Block(READ_INPUT, *ENERGY),)),
)
OTHER_QUESTIONS = [(0x0C, 2), (0x34, 4), (0x5A, 6)]
"""The last is as long as the energy read."""


class Scene:
    """The gateway's actor and three slow meters; judges each value when it is believed."""

    def __init__(self, line: str, moods: Iterator[Mood], twice: bool) -> None:
        self.memory = Memory()
        self.mistakes: list[str] = []
        self.believed = self.answered = 0
        self._twice = twice
        meters = [SlowMeter(unit, moods, self.memory) for unit in UNITS]
        port: Any = TCP if line == "tcp" else "/dev/simulated"
        bus = BusConfig("bus", port, 9_600, TIMEOUT_MS, ())
        quiet = {"quiet": QuietLine, "tcp": TcpLine}
        transport: Any = (
            quiet[line](meters) if line in quiet else WireTransport(Wire(meters), Inbox)
        )
        notes = _Judge(self)
        self.actor = BusActor(
            bus,
            [meter_of(unit, TEMPLATE) for unit in UNITS],
            Line(bus, transport),
            (cast(Spool, notes), cast(Reader, notes)),
            LoopClock(RATE),
        )

    def judge(
        self, number: int, unit: int, asked: tuple[int, int], since_s: float | None = None
    ) -> None:
        """See what the answer with this number was for.

        Without `since_s` it is judged before the meter can be asked anything else.
        """
        question = self.memory.questions[number]
        age_s = asyncio.get_running_loop().time() - question.at_s
        old = not self.memory.latest(question) if since_s is None else question.at_s < since_s
        if (question.unit, question.address, question.count) != (unit, *asked):
            self.mistakes.append(f"unit {unit} was asked {asked} and given {question}")
        elif old and not (self._twice and age_s < 2.0):
            self.mistakes.append(f"unit {unit} was given an answer {age_s} s old")

    async def run(self, until_s: float, random: Random) -> "Scene":
        """Poll, and ask other things between polls."""
        await self.actor.begin()
        work = asyncio.ensure_future(self.actor.run())
        asking = asyncio.ensure_future(self._ask_other_things(random))
        await asyncio.sleep(until_s)
        assert not work.done()
        assert not asking.done()
        for each in (asking, work):
            each.cancel()
        await asyncio.gather(work, asking, return_exceptions=True)
        return self

    async def _ask_other_things(self, random: Random) -> None:
        while True:
            await asyncio.sleep(random.uniform(0.0, 6.0))
            unit, asked = random.choice(UNITS), random.choice(OTHER_QUESTIONS)
            since_s = asyncio.get_running_loop().time()
            try:
                words = await self.actor.submit(Request(unit, READ_INPUT, *asked), 0)
            except (Unavailable, Refused):
                continue
            self.answered += 1
            self.judge(words[-2] << 16 | words[-1], unit, asked, since_s)


class _Judge(Notes):
    def __init__(self, scene: Scene) -> None:
        super().__init__()
        self._scene = scene

    async def keep_sample(self, meter: Any, sample: Any) -> None:
        self._scene.believed += 1
        number = int.from_bytes(sample.words[-4:], "big")
        self._scene.judge(number, meter.unit, ENERGY)


def play(line: str, moods: Iterator[Mood], twice: bool, seed: int = 0) -> Scene:
    scene: Scene = run_jumping(_play(line, moods, twice, seed))
    return scene


async def _play(line: str, moods: Iterator[Mood], twice: bool, seed: int) -> Scene:
    return await Scene(line, moods, twice).run(300.0, Random(seed))


delays = st.one_of(st.floats(0.001, 0.19), st.floats(0.15, 0.6), st.floats(0.3, 100.0))
late_or_lost = st.builds(Mood, delays, st.booleans())
any_mood = st.builds(Mood, delays, st.booleans(), st.none() | st.floats(0.001, MOST_AGAIN_S))
LINES = ["wire", "quiet", "tcp"]


@pytest.mark.parametrize("line", LINES)
@settings(max_examples=25, deadline=None)
@given(moods=st.lists(late_or_lost, max_size=60))
def test_no_value_is_another_registers_or_meters_or_older_than_its_question(
    line: str, moods: list[Mood]
) -> None:
    assert play(line, iter(moods), twice=False).mistakes == []


@pytest.mark.parametrize("line", LINES)
@settings(max_examples=25, deadline=None)
@given(moods=st.lists(any_mood, max_size=60))
def test_an_answer_that_comes_twice_is_nobody_elses_either(line: str, moods: list[Mood]) -> None:
    assert play(line, iter(moods), twice=True).mistakes == []


def always_moody(random: Random) -> Iterator[Mood]:
    """Meters that are never well for long, and often late by the same time."""
    while True:
        habit_s = random.choice([0.03, 0.21, 0.3, random.uniform(0, 1), random.uniform(0, 40)])
        for _ in range(random.randint(1, 12)):
            delay_s = habit_s * random.choice([1, 1, 1, random.random()])
            again_s = random.uniform(0, MOST_AGAIN_S) if random.random() < 0.1 else None
            yield Mood(delay_s, random.random() < 0.1, again_s)


@pytest.mark.parametrize(("line", "scenes"), [("wire", 25), ("quiet", 150), ("tcp", 150)])
def test_thousands_of_answers_of_moody_meters_are_each_given_to_their_own_question(
    line: str, scenes: int
) -> None:
    asked = 0
    for seed in range(scenes):
        scene = play(line, always_moody(Random(seed)), twice=True, seed=seed)
        assert scene.mistakes == [], seed
        asked += len(scene.memory.questions)
    assert asked >= 100 * scenes


def test_the_bus_recovers_once_answers_come_in_time() -> None:
    moods = [Mood(each) for each in (5.0, 0.25, 0.3, 0.01, 0.3)]
    scene = play("wire", iter(moods), twice=False)
    assert scene.mistakes == []
    assert scene.believed >= 3 * 9
    assert scene.answered >= 50


async def pymodbus_meets(moods: Iterator[Mood]) -> list[str]:
    """Ask by pymodbus's client what the gateway is asked; return what it got wrong."""
    memory = Memory()
    wire = Wire([SlowMeter(unit, moods, memory) for unit in UNITS])
    master = BarePymodbus(wire, TIMEOUT_MS / 1000, 0, 0.06)
    await master.open()
    mistakes = []
    for turn in range(20):
        for unit in UNITS:
            for asked in (ENERGY, OTHER_QUESTIONS[turn % len(OTHER_QUESTIONS)]):
                words = await master.read(unit, *asked)
                if words is None:
                    continue
                question = memory.questions[words[-2] << 16 | words[-1]]
                if (question.unit, question.address, question.count) != (unit, *asked):
                    mistakes.append(f"unit {unit} was asked {asked} and given {question}")
    return mistakes


def test_bare_pymodbus_gives_a_late_reply_to_the_next_question() -> None:
    late_once = iter([Mood(0.262)])  # While the meter thinks about the next question.
    mistakes = run_jumping(pymodbus_meets(late_once))
    assert mistakes, "pymodbus tells late replies from others now: say so in the documents"
    assert "was asked (12, 2) and given Question(unit=1, address=72, count=6" in mistakes[0]


def test_bare_pymodbus_fails_what_the_gateway_holds() -> None:
    mistaken = 0
    for seed in range(40):
        mistaken += bool(run_jumping(pymodbus_meets(always_moody(Random(seed)))))
    assert mistaken >= 20
