"""`gridwitness gateway read`: the meters' energy now, or registers as they are.

Goes through the running gateway when there is one. Nothing here can write a register.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gateway.operation.cli_bus import add_verb, asked_aloud, named_bus

if TYPE_CHECKING:
    from gateway.config import BusConfig, BusMeter, GatewayConfig
    from gateway.operation.asking import Asked


def add_command(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `read` to the verbs of `gateway`."""
    read = add_verb(verbs, "read", run_read, "read the meters' energy now, or raw registers")
    read.add_argument("--meter", default="", help="only this meter of the configuration")
    read.add_argument("--raw", action="store_true", help="registers as they are, with guesses")
    read.add_argument("--unit", type=int, default=1, help="with --raw: address")
    read.add_argument("--function", type=int, default=3, choices=(3, 4), help="with --raw")
    read.add_argument("--address", type=_number, default=0, help="with --raw: register, 0x48")
    read.add_argument("--count", type=int, default=2, help="with --raw: registers, 1 to 125")


def _number(text: str) -> int:
    return int(text, 0)


def run_read(args: argparse.Namespace) -> int:
    """Read energy, or registers."""
    from gateway import config

    settings = config.load(args.config)
    if args.raw:
        return asyncio.run(_read_raw(args, settings))
    return asyncio.run(_read_meters(args, settings, _wanted(args, settings)))


def _wanted(
    args: argparse.Namespace, settings: "GatewayConfig"
) -> list[tuple["BusConfig", list["BusMeter"]]]:
    """The meters to read, by bus: the one that was named, or all that do not sign."""
    from gateway.config import SIGNING
    from gateway.config_table import BadConfiguration

    buses = [named_bus(args, settings)] if args.bus else list(settings.buses)
    named = [each for bus in buses for each in bus.meters if each.id == args.meter]
    if args.meter and not named:
        raise BadConfiguration(f"no meter {args.meter!r} in {args.config}")
    if named and named[0].template == SIGNING:
        raise BadConfiguration(f"meter {args.meter} signs its readings: the gateway fetches those")
    return [
        (
            replace(bus, timeout_ms=args.timeout_ms) if args.timeout_ms else bus,
            [
                each
                for each in bus.meters
                if each.template != SIGNING and args.meter in ("", each.id)
            ],
        )
        for bus in buses
    ]


async def _read_raw(args: argparse.Namespace, settings: "GatewayConfig") -> int:
    from gateway.config_table import BadConfiguration
    from gateway.lines.frames import Request
    from gateway.meters.guesses import guesses

    if not (1 <= args.count <= 125 and 0 <= args.address <= 0xFFFF and 1 <= args.unit <= 247):
        raise BadConfiguration("a read is 1 to 125 registers of unit 1 to 247, from 0 to 0xFFFF")
    request = Request(args.unit, args.function, args.address, args.count)
    async with asked_aloud(settings, named_bus(args, settings)) as way:
        words = await way.ask(request, 60)
    rows = [(args.address + at, word, guesses(words[at:])) for at, word in enumerate(words)]
    if args.json:
        print(json.dumps([{"address": at, "word": word, **each} for at, word, each in rows]))
        return 0
    for at, word, each in rows:
        print(f"0x{at:04X}  {word:04x}  " + "  ".join(f"{k} {v}" for k, v in each.items()))
    return 0


async def _read_meters(
    args: argparse.Namespace,
    settings: "GatewayConfig",
    wanted: Sequence[tuple["BusConfig", Sequence["BusMeter"]]],
) -> int:
    from wire.errors import Refused, Unavailable

    status, reports = 0, []
    for bus, meters in wanted:
        if not meters:
            continue
        async with asked_aloud(settings, bus) as way:
            for meter in meters:
                try:
                    reports.append(await _energy(settings, way, meter))
                except (Refused, Unavailable) as reason:
                    if args.meter:
                        raise
                    status = 1
                    print(f"{meter.id}: {reason}", file=sys.stderr)
                    continue
                if not args.json:
                    _print_energy(reports[-1])
    if args.json:
        print(json.dumps(reports))
    return status


async def _energy(settings: "GatewayConfig", way: "Asked", meter: "BusMeter") -> dict[str, Any]:
    """One meter's energy now, and what it was made from."""
    from gateway.meters import templates
    from gateway.meters.decode import decode, evidence
    from gateway.meters.energy import read_energy
    from gateway.polling.probing import check

    template = templates.load(meter.template, settings.templates)
    base = await check(way.ask, meter.unit, template)
    words = await read_energy(way.ask, meter.unit, template, base)
    found = decode(template, words)
    return {
        "meter": meter.id,
        "import_wh": found.import_wh,
        "export_wh": found.export_wh,
        "words": evidence(template, words).hex(),
        "template": template.name,
        "template_hash": template.hash.hex(),
    }


def _print_energy(report: Mapping[str, Any]) -> None:
    print(f"{report['meter']}: import {report['import_wh']} Wh, export {report['export_wh']} Wh")
    print(f"  words {bytes.fromhex(report['words']).hex(' ', 2)}")
    print(f"  template {report['template']}, {report['template_hash']}")
