"""Every template reads its simulated meter over a real pty; a scan finds and names all of them."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.lines.line import Line
from gateway.lines.transport import SerialTransport
from gateway.meters.decode import Registers, decode
from gateway.meters.energy import Ask, NoSuchModel, find_base, read_energy, sunspec_models
from gateway.operation.scanning import Found, scan, settings_with_answers
from gateway.polling.probing import Verdict, check, identify, probe
from gateway.polling.window import WrongMeter
from tests.gateway.meters_on_a_line import METERS, QUIET, OnTheLine, bus_on, on_a_pty, quiet


def asking(
    folder: Path, meters: tuple[OnTheLine, ...], act: Callable[[Ask], Awaitable[None]]
) -> None:
    async def scene() -> None:
        with on_a_pty(folder, *meters) as path:
            bus = bus_on(path)
            line = Line(bus, SerialTransport(bus))
            try:
                await act(line.ask)
            finally:
                line.close()

    asyncio.run(scene())


def test_every_modbus_template_reads_its_meter(tmp_path: Path) -> None:
    async def act(ask: Ask) -> None:
        found: dict[str, Registers] = {}
        for unit, meter in enumerate(METERS, 1):
            template = quiet(meter.template)
            base = await check(ask, unit, template)
            found[meter.template] = decode(template, await read_energy(ask, unit, template, base))
        assert found == {each.template: each.registers for each in METERS}

    asking(tmp_path, METERS, act)


def test_a_scan_finds_every_meter_and_says_what_it_is(tmp_path: Path) -> None:
    told: list[str] = []
    found: list[Found] = []

    async def act(ask: Ask) -> None:
        found.extend(await scan(ask, range(1, len(METERS) + 2), QUIET, told.append))

    asking(tmp_path, METERS, act)
    assert {each.unit: [held.template.name for held in each.probes] for each in found} == {
        unit: [meter.template] for unit, meter in enumerate(METERS, 1)
    }
    assert told[-1] == f"unit 13, 13 of 13: {len(METERS)} found"
    named = {each.unit for each in found if each.probes[0].sure}
    hints = {"eastron-sdm630", "peacefair-pzem", "carlo-gavazzi-em24", "carlo-gavazzi-em24-import"}
    assert {METERS[unit - 1].template for unit in range(1, 13) if unit not in named} == hints


FALSE_EM340 = 4
MODE_A = OnTheLine("carlo-gavazzi-em340", "carlo-gavazzi-em340", Registers(0, 0))


def test_a_meter_in_the_wrong_mode_is_told_and_not_read(tmp_path: Path) -> None:
    async def act(ask: Ask) -> None:
        held = await probe(ask, 1, quiet("carlo-gavazzi-em340"))
        assert held.matches
        assert held.sure
        assert [each.says for each in held.wrong_modes] == ["0000"]
        with pytest.raises(WrongMeter, match="counts up whatever its direction"):
            await check(ask, 1, quiet("carlo-gavazzi-em340"))
        both = await identify(ask, 1, QUIET)
        assert [each.template.name for each in both] == [
            "carlo-gavazzi-em340",
            "carlo-gavazzi-em340-import",
        ]
        template = quiet("carlo-gavazzi-em340-import")
        words = await read_energy(ask, 1, template, await check(ask, 1, template))
        # In mode A what was given is in the counter too: why the template says so.
        assert decode(template, words) == Registers(1_333_300, 0)

    asking(tmp_path, (MODE_A,), act)


def test_a_meter_that_names_itself_otherwise_is_not_read(tmp_path: Path) -> None:
    async def act(ask: Ask) -> None:
        iem3155, sdm120, abb = 1, 2, 3
        with pytest.raises(WrongMeter, match="its models: none"):
            await check(ask, iem3155, quiet("sunspec-der-701"))
        with pytest.raises(WrongMeter, match="it is no carlo-gavazzi-em340"):
            await check(ask, FALSE_EM340, quiet("carlo-gavazzi-em340"))
        # What refuses the question, or gives only a hint, is nobody else yet.
        assert await check(ask, abb, quiet("schneider-iem3155")) == 0
        assert await check(ask, sdm120, quiet("eastron-sdm630")) == 0
        held = await probe(ask, sdm120, quiet("eastron-sdm630"))
        assert (held.matches, held.identity[0].verdict) == (False, Verdict.DIFFERS)
        held = await probe(ask, abb, quiet("schneider-iem3155"))
        assert (held.matches, held.identity[0].verdict) == (False, Verdict.UNKNOWN)

    em540 = OnTheLine("carlo-gavazzi-em340", "carlo-gavazzi-em540", Registers(0, 0))
    wanted = {"schneider-iem3155", "eastron-sdm120", "abb-b23"}
    by_model = {each.model: each for each in METERS if each.model in wanted}
    meters = [by_model[name] for name in ("schneider-iem3155", "eastron-sdm120", "abb-b23")]
    asking(tmp_path, (*meters, em540), act)


def test_sunspec_models_are_found_at_each_base(tmp_path: Path) -> None:
    sunspec = [each for each in METERS if each.model.startswith("sunspec")]

    async def act(ask: Ask) -> None:
        found = [await sunspec_models(ask, unit, 0) for unit in range(1, 5)]
        assert found == [
            {1: 40_002, 203: 40_070},
            {1: 2, 213: 70},
            {1: 50_002, 103: 50_070},
            {1: 40_002, 701: 40_070},
        ]
        with pytest.raises(NoSuchModel, match="no SunSpec model 213; its models: 1, 203"):
            await find_base(ask, 1, quiet("sunspec-meter-213"))

    asking(tmp_path, tuple(sunspec), act)


def test_line_settings_are_found_by_trying(tmp_path: Path) -> None:
    async def scene() -> None:
        with on_a_pty(tmp_path, METERS[0]) as path:
            found = await settings_with_answers(bus_on(path, 60), [1], lambda _: None)
        assert [(bus.baudrate, there) for bus, there in found] == [(115_200, [1])]

    asyncio.run(scene())
