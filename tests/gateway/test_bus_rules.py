"""One bus through bad days, in virtual time: sick meters, a lost adapter, questions."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from gateway.lines.frames import READ_INPUT, DeviceRefused, Request
from gateway.lines.line import NoAnswer
from gateway.meters import templates
from gateway.meters.decode import Limits
from gateway.polling.holes import HOLE_S
from gateway.polling.jobs import MOST_WAITING, NotTaken
from gridwitness.simulated_bus import BEGIN_S, GatewayBus, meter_of
from hwsim.counter_faults import Glitch
from hwsim.curves import PowerSteps
from hwsim.faults import Babbling, Dead, Exceptional, Holes, When
from hwsim.modbus_device import ModbusDevice, always
from hwsim.registers import Curve, RegisterMap
from hwsim.rs485 import Device, Wire
from hwsim.vendors.eastron import Sdm630
from hwsim.vendors.gavazzi import Em340
from hwsim.virtual_time import run_jumping

SDM630 = templates.load("eastron-sdm630")
EM340 = templates.load("carlo-gavazzi-em340")
STEADY = PowerSteps(import_wh=100_000.0)
VOLTS = Request(1, READ_INPUT, 0, 2)
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, FAILED, BUSY = 1, 2, 4, 6


def device(unit: int, registers: RegisterMap | None = None, curve: Curve = STEADY) -> Device:
    return ModbusDevice(unit, registers or Sdm630(), curve)


def play(
    devices: Sequence[Device], act: Callable[[GatewayBus], Awaitable[Any]], **changes: Any
) -> GatewayBus:
    """Poll while something happens; the actor runs until the deed is done."""

    async def scene() -> GatewayBus:
        template = changes.get("template", SDM630)
        meters = [replace(meter_of(each.unit, template), limits=LIMITS) for each in devices]
        bus = GatewayBus.on(Wire(devices, echo=changes.get("echo", False)), meters)
        await bus.actor.begin()
        work = asyncio.ensure_future(bus.actor.run())
        deed = asyncio.ensure_future(act(bus))
        await asyncio.wait({work, deed}, return_when=asyncio.FIRST_COMPLETED)
        deed.result()
        work.cancel()
        await asyncio.wait({work})
        return bus

    found: GatewayBus = run_jumping(scene())
    return found


LIMITS = Limits(20_000, 10)


def until(loop_s: float) -> Callable[[GatewayBus], Awaitable[None]]:
    async def wait(_bus: GatewayBus) -> None:
        await asyncio.sleep(loop_s)

    return wait


def read_at(bus: GatewayBus, boundary: int) -> dict[int, int]:
    """Units read at a boundary, in order, and how late: milliseconds."""
    return {
        each.meter.unit: each.sample.offset_ms
        for each in bus.notes.taken
        if each.sample.boundary_s == BEGIN_S + 900 * boundary
    }


def test_a_busy_meter_is_asked_again_after_the_others() -> None:
    busy = Exceptional(device(1), When(900.0, 900.5), BUSY)
    bus = play([busy, device(2), device(3)], until(1_000.0))
    assert list(read_at(bus, 1)) == [2, 3, 1]
    assert bus.actor.errors_of("m1") == {f"exception-{BUSY}": 2}
    assert bus.actor.schedule.health("m1") == "live"


@pytest.mark.parametrize("code", [ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, 3, FAILED])
def test_no_exception_disables_a_meter_for_ever(code: int) -> None:
    refusing = Exceptional(device(1), When(850.0, 2_000.0), code)
    bus = play([refusing, device(2)], until(2_750.0))
    assert [list(read_at(bus, each)) for each in range(4)] == [[1, 2], [2], [2], [2, 1]]
    assert bus.actor.errors_of("m1")[f"exception-{code}"] >= 4


def test_a_refusing_meter_is_named_and_costs_the_others_nothing() -> None:
    refusing = Exceptional(device(1), When(850.0), FAILED)
    healths = []

    async def look(bus: GatewayBus) -> None:
        await asyncio.sleep(910.0)
        healths.append(str(bus.actor.schedule.health("m1")))

    bus = play([refusing, device(2)], look)
    assert healths == ["refusing"]
    assert read_at(bus, 1)[2] < 500


def em340(hole: range, when: When) -> Device:
    return Holes(device(1, Em340("B")), when, [hole])


def test_a_block_with_a_hole_is_read_in_pieces_and_tried_whole_again_later() -> None:
    energy = EM340.energy
    whole, used = energy.words, EM340.energy_registers.used
    hole = range(energy.address + used[0][1], energy.address + used[1][0])
    mended_s = 10 * 900.0
    asked: list[tuple[float, int]] = []

    async def listen(bus: GatewayBus) -> None:
        loop = asyncio.get_running_loop()

        def tap(sent: bool, data: bytes) -> None:
            if sent and (data[2] << 8 | data[3]) - energy.address in range(whole):
                asked.append((loop.time(), data[4] << 8 | data[5]))

        bus.transport.taps.add(tap)
        await asyncio.sleep(HOLE_S + 3 * 900)

    bus = play([em340(hole, When(until_s=mended_s))], listen, template=EM340)
    assert all(read_at(bus, each) for each in range(20))
    counts = {
        number: [count for at_s, count in asked if -1 < at_s - number * 900 < 60]
        for number in (0, 1, 2, 9, 11, int(HOLE_S / 900) + 2)
    }
    pieces = [size for _, size in used]
    assert counts[0] == [whole, *pieces]
    assert counts[1] == [whole, *pieces], "one exception is not believed"
    assert counts[2] == counts[9] == counts[11] == pieces
    assert counts[int(HOLE_S / 900) + 2] == [whole], "a mended meter is read whole again"
    values = {each.sample.registers.import_wh for each in bus.notes.taken}
    assert min(values) >= 100_000


def test_a_doubtful_value_is_read_again_after_the_others() -> None:
    glitch = Glitch(STEADY, When(900.0, 900.5), 4_800_000)
    bus = play([device(1, curve=glitch), device(2), device(3)], until(1_000.0))
    assert list(read_at(bus, 1)) == [2, 3, 1]
    taken = [each.sample for each in bus.notes.taken if each.meter.unit == 1]
    assert taken[-1].registers.import_wh < 101_000
    assert bus.actor.errors_of("m1") == {"doubtful": 1}


def test_a_lost_adapter_is_told_in_words_and_found_again() -> None:
    reports = []

    async def pull_and_plug(bus: GatewayBus) -> None:
        await asyncio.sleep(850.0)
        bus.transport.unplug()
        await asyncio.sleep(60.0)
        reports.append(bus.actor.report())
        assert bus.actor.schedule.finished_boundaries(910.0) == []
        bus.transport.plug()
        await asyncio.sleep(10.0)
        reports.append(bus.actor.report())

    bus = play([device(1), device(2)], pull_and_plug)
    assert reports[0]["state"] == "down"
    assert "cannot open" in reports[0]["reason"]
    assert (reports[1]["state"], reports[1]["reason"]) == ("up", "")
    assert set(read_at(bus, 1)) == {1, 2}
    assert min(read_at(bus, 1).values()) >= 10_000, "the sample says how late it was read"


def test_the_port_is_opened_again_only_when_nobody_answers() -> None:
    one_dead = play([Dead(device(1), When(10.0)), device(2)], until(2_000.0))
    assert one_dead.transport.opened == 1
    all_dead = play([Dead(device(1), When(10.0)), Dead(device(2), When(10.0))], until(2_000.0))
    assert 10 <= all_dead.transport.opened <= 1_200 / 5


def test_an_adapter_that_hears_itself_is_recognised() -> None:
    bus = play([device(1), device(2)], until(1_000.0), echo=True)
    assert list(read_at(bus, 1)) == [1, 2]
    assert bus.actor.line.echoes
    assert bus.actor.line.errors == {}


def test_who_babbles_is_named_and_read_last() -> None:
    push = bytes([1, 4, 4, 1, 2, 3, 4])
    babbler = Babbling(device(1), When(10.0), always(1.7), push)
    reports = []

    async def look(bus: GatewayBus) -> None:
        await asyncio.sleep(1_000.0)
        reports.append(bus.actor.report())
        await asyncio.sleep(900.0)

    bus = play([babbler, *map(device, range(2, 12))], look)
    assert (reports[0]["state"], reports[0]["babbling_units"]) == ("babbling", [1])
    assert set(read_at(bus, 2)) == set(range(1, 12))
    assert list(read_at(bus, 2))[-1] == 1


def test_a_question_is_answered_between_polls_for_any_unit() -> None:
    found: list[Any] = []

    async def ask(bus: GatewayBus) -> None:
        await asyncio.sleep(10.0)
        found.append(await bus.actor.submit(VOLTS, 60))
        found.append(await bus.actor.submit(replace(VOLTS, unit=9), 60))
        with pytest.raises(NoAnswer):
            await bus.actor.submit(replace(VOLTS, unit=99), 60)
        with pytest.raises(DeviceRefused):
            await bus.actor.submit(replace(VOLTS, count=3), 60)

    stranger = device(9)
    bus = play([device(1), stranger], ask)
    assert found == [(0x4366, 0), (0x4366, 0)]
    assert bus.actor.errors_of("m9") == {}


def test_a_question_waits_while_meters_are_due_and_when_a_boundary_is_near() -> None:
    answered_s = []

    async def ask(bus: GatewayBus) -> None:
        await asyncio.sleep(899.5)
        await bus.actor.submit(replace(VOLTS, unit=99), 60)

    async def time_it(bus: GatewayBus) -> None:
        with pytest.raises(NoAnswer):
            await ask(bus)
        answered_s.append(asyncio.get_running_loop().time())

    bus = play([device(unit) for unit in range(1, 9)], time_it)
    last_ms = max(read_at(bus, 1).values())
    assert last_ms < 8 * 130
    assert answered_s[0] > 900 + last_ms / 1000


def test_too_many_questions_are_refused_and_none_is_left_when_the_bus_ends() -> None:
    async def crowd(bus: GatewayBus) -> None:
        await asyncio.sleep(10.0)
        waiting = [bus.actor.submit(VOLTS, 60) for _ in range(MOST_WAITING)]
        with pytest.raises(NotTaken, match="ask again later"):
            bus.actor.submit(VOLTS, 60)
        waiting[0].cancel()
        waiting.append(bus.actor.submit(VOLTS, 60))
        assert await waiting[1]
        bus.actor.end()
        with pytest.raises(NotTaken, match="has ended"):
            await waiting[-1]
        with pytest.raises(NotTaken, match="has ended"):
            bus.actor.submit(VOLTS, 60)

    play([device(1)], crowd)


def test_a_question_that_failed_makes_its_meter_suspect() -> None:
    async def ask(bus: GatewayBus) -> None:
        await asyncio.sleep(20.0)
        with pytest.raises(NoAnswer):
            await bus.actor.submit(VOLTS, 60)
        assert bus.actor.schedule.is_suspect("m1")
        await asyncio.sleep(5.0)
        assert not bus.actor.schedule.is_suspect("m1"), "fenced at once, not at the next boundary"

    play([Dead(device(1), When(15.0, 22.0)), device(2)], ask)
