"""`gridwitness sim`: test equipment for the bench."""

import argparse
import json
from pathlib import Path
from typing import Any

from wire.errors import Malformed


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
    meters = verbs.add_parser(
        "meters",
        help="simulated Eastron meters that follow a feeder's day, as the demo starts them",
        description='CONFIG is {"pace": FILE, "day": FILE,'
        ' "tcp": [{"port": N, "units": {"1": METER}}], "rtu": [{"link": FILE, "units": {…}}]}:'
        " the network's time, a feeder's day, and who answers where. For meters that run by"
        " themselves: sim line.",
    )
    meters.add_argument("--config", type=Path, required=True, help="JSON")
    meters.set_defaults(run=run_meters)
    line = verbs.add_parser(
        "line",
        help="a simulated RS-485 line with meters and faults, on a pty for any Modbus master",
        description="Serves until told to end; its first line says the port. docs/SIMULATION.md"
        " lists models and faults.",
    )
    line.add_argument("file", type=Path, nargs="?", metavar="FILE.toml", help="what is on the line")
    line.add_argument("--link", type=Path, help="a name for the port, which outlives unplugging")
    line.add_argument("--frames", action="store_true", help="show every frame on the line")
    line.add_argument("--json", action="store_true", help="the same as JSON, an object a line")
    line.add_argument("--example", action="store_true", help="print an example file and end")
    line.set_defaults(run=run_line)
    _add_gps(verbs)
    return verbs


def _add_gps(verbs: "argparse._SubParsersAction[Any]") -> None:
    gps = verbs.add_parser(
        "gps",
        help="a simulated satellite receiver: NMEA on a pty, and a gpsd",
        description="Speaks once a second until told to end; its first line says the port.",
    )
    gps.add_argument("--place", default="18.7883,98.9853", metavar="LAT,LON", help="degrees")
    gps.add_argument("--talker", default="GN", help="of the sentences: GP, GN, GL, GA or GB")
    gps.add_argument("--link", type=Path, help="a name for the port")
    gps.add_argument("--gpsd", type=int, metavar="PORT", help="a gpsd too, 0 for any free port")
    gps.add_argument(
        "--trouble",
        action="append",
        default=[],
        metavar="NAME[@FROM-UNTIL]",
        help="what goes wrong, seconds from the begin; see docs/SIMULATION.md",
    )
    gps.add_argument("--utc", metavar="TIME", help="when it begins, ISO 8601; now if not given")
    gps.add_argument("--json", action="store_true", help="tell the addresses as JSON")
    gps.set_defaults(run=run_gps)


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


def run_line(args: argparse.Namespace) -> int:
    """Serve a simulated line until SIGTERM or SIGINT."""
    import asyncio

    from hwsim import line_service

    if args.example:
        print(line_service.example(), end="")
        return 0
    if args.file is None:
        raise Malformed("no FILE.toml says what is on the line; --example prints one")
    asyncio.run(line_service.serve(args.file, args.link, args.frames, args.json))
    return 0


def run_gps(args: argparse.Namespace) -> int:
    """Serve a simulated receiver until SIGTERM or SIGINT."""
    import asyncio
    from datetime import UTC, datetime

    from hwsim import gps_service
    from hwsim.gps import TALKERS, SatelliteReceiver, Trouble

    try:
        lat, lon = map(float, args.place.split(","))
        start = datetime.fromisoformat(args.utc) if args.utc else datetime.now(UTC)
    except ValueError as reason:
        raise Malformed(f"a place is LAT,LON in degrees, a time ISO 8601: {reason}") from None
    if not (abs(lat) <= 90 and abs(lon) <= 180):
        raise Malformed(f"no place on earth: {args.place}")
    if args.talker not in TALKERS:
        raise Malformed(f"a talker is one of {', '.join(TALKERS)}, not {args.talker}")
    troubles = [Trouble.of(each) for each in args.trouble]
    receiver = SatelliteReceiver(lat, lon, start=start.astimezone(UTC), troubles=troubles)
    asyncio.run(gps_service.serve(receiver, args.talker, args.link, args.gpsd, args.json))
    return 0
