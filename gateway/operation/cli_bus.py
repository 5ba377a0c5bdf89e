"""What the commands that look at a bus have in common: their options, and the way they ask."""

import argparse
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.config import BusConfig, GatewayConfig
    from gateway.operation.asking import Asked


def add_verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[argparse.Namespace], int],
    words: str,
) -> argparse.ArgumentParser:
    """Add a verb with the options that all of them have."""
    verb = verbs.add_parser(name, help=words)
    verb.add_argument("config", type=Path, help="gateway.toml")
    verb.add_argument("--bus", default="", help="name of the bus, when there are several")
    verb.add_argument("--timeout-ms", type=int, default=0, help="how long to wait for an answer")
    verb.add_argument("--json", action="store_true", help="JSON instead of text")
    verb.set_defaults(run=run)
    return verb


def named_bus(args: argparse.Namespace, settings: "GatewayConfig") -> "BusConfig":
    """The bus that was named, with the time-out that was asked for; raises BadConfiguration."""
    from gateway.config_table import BadConfiguration
    from gateway.operation.asking import bus_named

    bus = bus_named(settings, args.bus)
    if bus.readout and args.verb in ("scan", "probe"):
        raise BadConfiguration(f"bus {bus.name} speaks IEC 62056-21: {args.verb} asks Modbus only")
    return replace(bus, timeout_ms=args.timeout_ms) if args.timeout_ms else bus


@contextlib.asynccontextmanager
async def asked_aloud(settings: "GatewayConfig", bus: "BusConfig") -> AsyncIterator["Asked"]:
    """Ask a bus, and say how."""
    from gateway.operation.asking import asked

    async with asked(settings, bus) as way:
        live = "through the running gateway, with its time-outs"
        how = live if way.live else "on a line of our own"
        print(f"bus {bus.name}, {how}", file=sys.stderr)
        yield way
