"""`gridwitness gateway scan | probe | sniff`: look at a line and who is on it.

Each goes through the running gateway when there is one, without stopping its polling, and opens the
line itself otherwise. Nothing here can write a register.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gateway.operation.cli_bus import add_verb, asked_aloud, named_bus

if TYPE_CHECKING:
    from gateway.config import BusConfig, GatewayConfig
    from gateway.meters.template import Template
    from gateway.operation.scanning import Found
    from gateway.polling.probing import Answer, Probe

_PROGRESS_EVERY_S = 2.0
_LAST_UNIT = 247


def add_commands(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verbs to those of `gateway`."""
    scan = add_verb(verbs, "scan", run_scan, "find who answers on a bus, and what it is")
    scan.add_argument("--units", default="1-247", help="addresses, as 1-247 or 1,5,10-12")
    scan.add_argument(
        "--lines", action="store_true", help="try the usual baud rates and parities first"
    )
    probe = add_verb(verbs, "probe", run_probe, "say what is at an address, and how it is set")
    probe.add_argument("unit", type=int, help="address, 1 to 247")
    probe.add_argument("--template", default="", help="hold it against this template only")
    sniff = add_verb(
        verbs, "sniff", run_sniff, "print the frames on a line, and say nothing oneself"
    )
    sniff.add_argument("--for", dest="for_s", type=float, default=0.0, help="seconds; 0: for ever")


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
    from gateway.operation.scanning import units_of

    settings = config.load(args.config)
    try:
        units = units_of(args.units)
    except ValueError as reason:
        raise BadConfiguration(f"--units: {reason}") from None
    return asyncio.run(_scan(args, settings, units))


async def _scan(args: argparse.Namespace, settings: "GatewayConfig", units: Sequence[int]) -> int:
    from gateway.meters import templates
    from gateway.operation.scanning import scan, settings_words

    known = templates.load_all(settings.templates)
    bus = named_bus(args, settings)
    lines = [(bus, list(units))]
    if args.lines:
        lines = await _lines(settings, bus, units)
    report = []
    for line, there in lines:
        async with asked_aloud(settings, line) as way:
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
    from gateway.config import Address
    from gateway.config_table import BadConfiguration
    from gateway.operation.asking import connect
    from gateway.operation.scanning import settings_with_answers

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
    from wire.errors import WrongUsage

    if not 1 <= args.unit <= _LAST_UNIT:
        raise WrongUsage(f"unit {args.unit}: a meter's address is 1 to {_LAST_UNIT}")
    return asyncio.run(_probe_unit(args, config.load(args.config)))


async def _probe_unit(args: argparse.Namespace, settings: "GatewayConfig") -> int:
    from gateway.meters import templates
    from gateway.operation.scanning import Found, look
    from gateway.polling.probing import probe
    from wire.errors import Unavailable

    async with asked_aloud(settings, named_bus(args, settings)) as way:
        if args.template:
            held = await probe(
                way.ask, args.unit, templates.load(args.template, settings.templates)
            )
            found: Found | None = Found(args.unit, False, "", (held,))
        else:
            found = await look(way.ask, args.unit, templates.load_all(settings.templates))
    if found is None:
        raise Unavailable(
            f"nobody answers at unit {args.unit}: try `gateway scan`, or `gateway scan --lines`"
        )
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
        print(f"  {_reads(template)}")
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


def _reads(template: "Template") -> str:
    """What a template reads, and how its meters leave the factory."""
    from gateway.meters.decode import energies

    energy, line = template.energy_registers, template.factory
    reset = ", which can be set to 0" if energy.resettable else ""
    again = f", which begin again at {energy.rollover_wh} Wh" if energy.rollover_wh else ""
    factory = f"{line.baudrate} 8{line.parity[0].upper()}{line.stopbits}"
    works = f"; ex works {factory}" if line.baudrate else ""
    directions = " and ".join(energies(energy))
    return f"reads {directions} in steps of {energy.resolution_wh} Wh{reset}{again}{works}"


def run_sniff(args: argparse.Namespace) -> int:
    """Print frames until told to end."""
    from gateway import config
    from gateway.operation.sniffing import sniff

    settings = config.load(args.config)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(sniff(settings, named_bus(args, settings), args.for_s, args.json))
    return 0
