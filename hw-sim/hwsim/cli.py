"""`gridwitness sim`: test equipment for the bench."""

import argparse
import json
from pathlib import Path
from typing import Any


def add_commands(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> "argparse._SubParsersAction[Any]":
    """Add `sim`; returns its sub-commands, so that others can be put beside them."""
    sim = subparsers.add_parser("sim", help="simulators: feeders, meters, agreement")
    verbs = sim.add_subparsers(dest="verb", required=True, metavar="VERB")
    feeder = verbs.add_parser("feeder", help="a feeder's day: what its meters count")
    feeder.add_argument(
        "--grid", default="synthetic", help="SimBench code, or 'synthetic' (the default)"
    )
    feeder.add_argument("--json", action="store_true", help="the whole day as JSON")
    feeder.set_defaults(run=show_feeder)
    meters = verbs.add_parser("meters", help="simulated Eastron meters on Modbus TCP and RTU")
    meters.add_argument("--config", type=Path, required=True, help="JSON, see hwsim.meters_config")
    meters.set_defaults(run=run_meters)
    return verbs


def show_feeder(args: argparse.Namespace) -> int:
    """Print a feeder's day."""
    from dataclasses import asdict

    from hwsim.simbench_day import feeder_day

    day = feeder_day(args.grid)
    if args.json:
        print(json.dumps(asdict(day)))
        return 0
    print(f"{day.name}: {len(day.meters)} meters, {len(day.branches)} lines")
    for each in day.meters:
        taken = each.import_wh[-1] - each.import_wh[0]
        given = each.export_wh[-1] - each.export_wh[0]
        print(f"  {each.id:20} {each.role:9} at {each.node:20} {taken:8} Wh in {given:8} Wh out")
    return 0


def run_meters(args: argparse.Namespace) -> int:
    """Serve simulated meters until SIGTERM."""
    import asyncio

    from hwsim import meters, meters_config

    asyncio.run(meters.serve(meters_config.load(args.config)))
    return 0
