"""`gridwitness network zone-from`: the zone part of a genesis file, made from a grid's own data.

Decides what is told about the zone and that the validators' own reader takes it. Figures come from
`hwsim.grid_zone`, the choice of elements from `hwsim.grid_network`.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwsim.grid_zone import GridZone

EPILOG = """\
NETWORK is a SimBench code (1-LV-rural2--0-sw), ieee-european-lv, a function of pandapower.networks
without arguments (create_kerber_landnetz_freileitung_1), or a pandapower network in a .json file.
What is written is a list entry for "zones" in the genesis file. Meters are enrolled apart; the
meter points in the report say at which nodes."""


def add_command(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `zone-from` to `network`."""
    parser = subparsers.add_parser(
        "zone-from",
        help="make the zone part of a genesis file from a pandapower or SimBench network",
        description="Computes each branch's loss coefficient, kappa and largest power, and says"
        " how.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("network", metavar="NETWORK", help="see below")
    parser.add_argument("--zone", default="z1", help="zone id (default z1)")
    parser.add_argument("--operator", default="PEA", help="its grid operator (default PEA)")
    parser.add_argument(
        "--boundary",
        choices=("lv", "hv"),
        default="lv",
        help="side of the transformer where the boundary meter sits; at hv the transformer's losses"
        " are the zone's (default lv)",
    )
    parser.add_argument(
        "--transformer", type=int, help="which transformer, in a network with several"
    )
    parser.add_argument(
        "--join-series", action="store_true", help="make one branch of lines in series"
    )
    parser.add_argument("--out", type=Path, help="write the zone here, a new JSON file")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on stdout")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make the zone, have the registry's reader read it, tell it."""
    from hwsim.grid_network import load_network, zone_of
    from validator.app import entries

    print(f"reading {args.network}", file=sys.stderr)
    network = load_network(args.network)
    made = zone_of(network, args.network, args.boundary, args.transformer, args.join_series)
    entry = made.entry(args.zone, args.operator)
    entries.zone(entry)
    if args.out is not None:
        with args.out.open("x") as file:
            file.write(json.dumps(entry, indent=2) + "\n")
    if args.json:
        print(json.dumps({"zone": entry, **explained(made)}))
    else:
        print(report(made, args.zone))
        if args.out is None:
            print("\nthe zone's entry in the genesis file:")
            print(json.dumps(entry))
    return 0


def explained(zone: "GridZone") -> dict[str, Any]:
    """The report's content for scripts."""
    return {
        "grid": zone.grid,
        "boundary_side": zone.side,
        "no_load_loss": zone.p0_words,
        "branches": [
            {
                "id": each.id,
                "explanation": f"{each.words}; {each.kappa_words}",
                "full_load_loss_wh": round(each.full_load_loss_wh, 1),
            }
            for each in zone.branches
        ],
        "meter_points": [
            {
                "id": each.id,
                "node": each.node,
                "role": each.role,
                "rating_w": each.rating_w,
                "installed_w": each.installed_w,
                "phases": each.phases,
            }
            for each in zone.points
        ],
    }


def report(zone: "GridZone", name: str) -> str:
    """The zone in words and figures."""
    customers = sum(each.role == "customer" for each in zone.points)
    sources = sum(each.role == "source" for each in zone.points)
    lines = [
        f"zone {name} of {zone.grid}: {len(zone.branches)} branches from {zone.root};"
        f" customers: {customers}, sources: {sources}, boundary meter on the {zone.side} side",
        f"P0 = {zone.p0_mw} mW: {zone.p0_words}",
    ]
    for each in zone.branches:
        lines += [
            f"{each.id}  {each.upstream} -> {each.downstream}",
            f"  {each.words}",
            f"  {each.kappa_words}",
            f"  at its largest power it loses {each.full_load_loss_wh:.1f} Wh in an interval",
        ]
    lines.append("meter points (node: meters):")
    nodes: dict[str, list[str]] = {}
    for point in zone.points:
        nodes.setdefault(point.node, []).append(point.id)
    lines += [f"  {node}: {', '.join(ids)}" for node, ids in nodes.items()]
    return "\n".join(lines)
