"""`gridwitness gateway scan | probe | read | sniff`: look at a line and who is on it.

Each goes through the running gateway when there is one, without stopping its polling, and opens the
line itself otherwise. Nothing here can write a register.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.asking import Asked
    from gateway.config import BusConfig, BusMeter, GatewayConfig
    from gateway.probing import Answer, Probe
    from gateway.scanning import Found

_PROGRESS_EVERY_S = 2.0


def add_commands(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verbs to those of `gateway`."""
    scan = _verb(verbs, "scan", run_scan, "find who answers on a bus, and what it is")
    scan.add_argument("--units", default="1-247", help="addresses, as 1-247 or 1,5,10-12")
    scan.add_argument(
        "--lines", action="store_true", help="try the usual baud rates and parities first"
    )
    probe = _verb(verbs, "probe", run_probe, "say what is at an address, and how it is set")
    probe.add_argument("unit", type=int, help="address, 1 to 247")
    probe.add_argument("--template", default="", help="hold it against this template only")
    read = _verb(verbs, "read", run_read, "read a configured meter's energy now, or raw registers")
    read.add_argument("meter", nargs="?", default="", help="id of a meter of the configuration")
    read.add_argument("--raw", action="store_true", help="registers as they are, with guesses")
    read.add_argument("--unit", type=int, default=1, help="with --raw: address")
    read.add_argument("--function", type=int, default=3, choices=(3, 4), help="with --raw")
    read.add_argument("--address", type=_number, default=0, help="with --raw: register, 0x48")
    read.add_argument("--count", type=int, default=2, help="with --raw: registers, 1 to 125")
    sniff = _verb(verbs, "sniff", run_sniff, "print the frames on a line, and say nothing oneself")
    sniff.add_argument("--for", dest="for_s", type=float, default=0.0, help="seconds; 0: for ever")


def _verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[argparse.Namespace], int],
    words: str,
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=words)
    verb.add_argument("config", type=Path, help="gateway.toml")
    verb.add_argument("--bus", default="", help="name of the bus, when there are several")
    verb.add_argument("--timeout-ms", type=int, default=0, help="how long to wait for an answer")
    verb.add_argument("--json", action="store_true", help="JSON instead of text")
    verb.set_defaults(run=run)
    return verb


def _number(text: str) -> int:
    return int(text, 0)


def _bus(args: argparse.Namespace, settings: "GatewayConfig") -> "BusConfig":
    from gateway.asking import bus_named
    from gateway.config_table import BadConfiguration

    bus = bus_named(settings, args.bus)
    if bus.readout and args.verb in ("scan", "probe"):
        raise BadConfiguration(f"bus {bus.name} speaks IEC 62056-21: {args.verb} asks Modbus only")
    return replace(bus, timeout_ms=args.timeout_ms) if args.timeout_ms else bus


@contextlib.asynccontextmanager
async def _asked(settings: "GatewayConfig", bus: "BusConfig") -> AsyncIterator["Asked"]:
    from gateway.asking import asked

    async with asked(settings, bus) as way:
        how = "through the running gateway" if way.live else "on a line of our own"
        print(f"bus {bus.name}, {how}", file=sys.stderr)
        yield way


class _Progress:
    """Says how far the work is, now and then."""

    def __init__(self) -> None:
        self._said_s = time.monotonic()

    def __call__(self, words: str) -> None:
        if time.monotonic() - self._said_s >= _PROGRESS_EVERY_S:
            self._said_s = time.monotonic()
            print(words, file=sys.stderr, flush=True)


def run_scan(args: argparse.Namespace) -> int:
    """Find who answers."""
    from gateway import config
    from gateway.config_table import BadConfiguration
    from gateway.scanning import units_of

    settings = config.load(args.config)
    try:
        units = units_of(args.units)
    except ValueError as reason:
        raise BadConfiguration(f"--units: {reason}") from None
    return asyncio.run(_scan(args, settings, units))


async def _scan(args: argparse.Namespace, settings: "GatewayConfig", units: Sequence[int]) -> int:
    from gateway import templates
    from gateway.scanning import scan, settings_words

    known = templates.load_all(settings.templates)
    bus = _bus(args, settings)
    lines = [(bus, list(units))]
    if args.lines:
        lines = await _lines(settings, bus, units)
    report = []
    for line, there in lines:
        async with _asked(settings, line) as way:
            found = await scan(way.ask, there, known, _Progress())
        report.append({"line": settings_words(line), "units": [_found(each) for each in found]})
        if not args.json:
            print(f"{settings_words(line)}: {len(found)} answer")
            print("".join(f"{_found_words(each)}\n" for each in found), end="")
    if args.json:
        print(json.dumps({"bus": bus.name, "asked": len(units), "lines": report}))
    return 0 if any(each["units"] for each in report) else 1


async def _lines(
    settings: "GatewayConfig", bus: "BusConfig", units: Sequence[int]
) -> list[tuple["BusConfig", list[int]]]:
    from gateway.asking import connect
    from gateway.config import Address
    from gateway.config_table import BadConfiguration
    from gateway.scanning import settings_with_answers

    if isinstance(bus.port, Address):
        raise BadConfiguration(f"bus {bus.name} is TCP: it has no line settings to try")
    if (connection := await connect(settings.spool)) is not None:
        connection[1].close()
        raise BadConfiguration(f"bus {bus.name} is polled: end the gateway to try other settings")
    return await settings_with_answers(bus, units, _Progress())


def _found(found: "Found") -> dict[str, Any]:
    return {
        "unit": found.unit,
        "garbled": found.garbled,
        "signing": found.signing,
        "templates": [_probe(each) for each in found.probes],
    }


def _probe(probe: "Probe") -> dict[str, Any]:
    return {
        "template": probe.template.name,
        "sure": probe.sure,
        "matches": probe.matches,
        "identity": [_answer(each) for each in probe.identity],
        "modes": [_answer(each) for each in probe.modes],
    }


def _answer(answer: "Answer") -> dict[str, str]:
    return {
        "what": answer.check.what,
        "verdict": str(answer.verdict),
        "says": answer.says,
        "harm": answer.check.harm,
    }


def _found_words(found: "Found") -> str:
    if found.garbled:
        return f"  unit {found.unit:3}  garbled: two devices with this address, or a bad line"
    if found.signing:
        return f"  unit {found.unit:3}  gridwitness  {found.signing}, signs its readings"
    if not found.probes:
        return f"  unit {found.unit:3}  answers; no template knows it"
    return "\n".join(
        f"  unit {found.unit:3}  {each.template.name}  {_reason(each)}" for each in found.probes
    )


def _reason(probe: "Probe") -> str:
    if probe.template.energy_registers.model:
        words = f"SunSpec model {probe.template.energy_registers.model} at {probe.base}"
    else:
        words = ", ".join(
            f"{each.check.what} {each.says}"
            for each in probe.identity
            if each.check.sure or not probe.sure
        )
    wrong = "".join(f"; WRONG: {each.check.what} is {each.says}" for each in probe.wrong_modes)
    return words + ("" if probe.sure else " (a hint, not its name)") + wrong


def run_probe(args: argparse.Namespace) -> int:
    """Say what is at an address; the status is 1 when a template would read it wrongly."""
    from gateway import config

    return asyncio.run(_probe_unit(args, config.load(args.config)))


async def _probe_unit(args: argparse.Namespace, settings: "GatewayConfig") -> int:
    from gateway import templates
    from gateway.probing import probe
    from gateway.scanning import Found, look
    from wire.errors import Unavailable

    async with _asked(settings, _bus(args, settings)) as way:
        if args.template:
            held = await probe(
                way.ask, args.unit, templates.load(args.template, settings.templates)
            )
            found: Found | None = Found(args.unit, False, "", (held,))
        else:
            found = await look(way.ask, args.unit, templates.load_all(settings.templates))
    if found is None:
        raise Unavailable(f"nobody answers at unit {args.unit}: scan the bus, or try --lines")
    if args.json:
        print(json.dumps(_found(found)))
    else:
        _print_probe(found)
    good = found.signing or any(each.matches and not each.wrong_modes for each in found.probes)
    return 0 if good else 1


def _print_probe(found: "Found") -> None:
    if not found.probes:
        print(_found_words(found).strip())
    for each in found.probes:
        template = each.template
        match = "fits" if each.matches else "DOES NOT FIT"
        print(f"unit {found.unit}: {template.name} {match}, {', '.join(template.meters)}")
        print(f"  source: {template.source}")
        for answer in (*each.identity, *each.modes):
            mark = {"holds": "ok ", "differs": "BAD", "unknown": "?  "}[answer.verdict]
            if not answer.check.holds and mark == "BAD":
                mark = "!  "
            print(f"  {mark} {answer.check.what}: {answer.says}")
            if mark != "ok " and answer.check.harm:
                print(f"      {answer.check.harm}")
        for title, words in (
            ("look at the meter", template.by_hand),
            ("trap", template.traps),
            ("doubt", template.doubts),
        ):
            for line in words:
                print(f"  {title}: {line}")


def run_read(args: argparse.Namespace) -> int:
    """Read energy, or registers."""
    from gateway import config
    from gateway.config_table import BadConfiguration

    settings = config.load(args.config)
    if args.raw:
        return asyncio.run(_read_raw(args, settings))
    if not args.meter:
        raise BadConfiguration("name a meter of the configuration, or ask for registers with --raw")
    for bus in settings.buses:
        for meter in bus.meters:
            if meter.id == args.meter:
                return asyncio.run(_read_meter(args, settings, bus, meter))
    raise BadConfiguration(f"no meter {args.meter!r} in {args.config}")


async def _read_raw(args: argparse.Namespace, settings: "GatewayConfig") -> int:
    from gateway.config_table import BadConfiguration
    from gateway.frames import Request
    from gateway.guesses import guesses

    if not (1 <= args.count <= 125 and 0 <= args.address <= 0xFFFF and 1 <= args.unit <= 247):
        raise BadConfiguration("a read is 1 to 125 registers of unit 1 to 247, from 0 to 0xFFFF")
    request = Request(args.unit, args.function, args.address, args.count)
    async with _asked(settings, _bus(args, settings)) as way:
        words = await way.ask(request, 60)
    rows = [(args.address + at, word, guesses(words[at:])) for at, word in enumerate(words)]
    if args.json:
        print(json.dumps([{"address": at, "word": word, **each} for at, word, each in rows]))
        return 0
    for at, word, each in rows:
        print(f"0x{at:04X}  {word:04x}  " + "  ".join(f"{k} {v}" for k, v in each.items()))
    return 0


async def _read_meter(
    args: argparse.Namespace, settings: "GatewayConfig", bus: "BusConfig", meter: "BusMeter"
) -> int:
    from gateway import templates
    from gateway.config import SIGNING
    from gateway.config_table import BadConfiguration
    from gateway.decode import decode, evidence
    from gateway.energy import read_energy
    from gateway.probing import check

    if meter.template == SIGNING:
        raise BadConfiguration(f"meter {meter.id} signs its readings: the gateway fetches those")
    template = templates.load(meter.template, settings.templates)
    if args.timeout_ms:
        bus = replace(bus, timeout_ms=args.timeout_ms)
    async with _asked(settings, bus) as way:
        base = await check(way.ask, meter.unit, template)
        words = await read_energy(way.ask, meter.unit, template, base)
    found = decode(template, words)
    report: Mapping[str, Any] = {
        "meter": meter.id,
        "import_wh": found.import_wh,
        "export_wh": found.export_wh,
        "words": evidence(template, words).hex(),
        "template": template.name,
        "template_hash": template.hash.hex(),
    }
    if args.json:
        print(json.dumps(report))
    else:
        print(f"{meter.id}: import {found.import_wh} Wh, export {found.export_wh} Wh")
        print(f"  words {evidence(template, words).hex(' ', 2)}")
        print(f"  template {template.name}, {template.hash.hex()}")
    return 0


def run_sniff(args: argparse.Namespace) -> int:
    """Print frames until told to end."""
    from gateway import config
    from gateway.sniffing import sniff

    settings = config.load(args.config)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(sniff(settings, _bus(args, settings), args.for_s, args.json))
    return 0
