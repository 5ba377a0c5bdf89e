"""`gridwitness bench`: what this machine can do, each figure beside its limit of the same run.

Without a part everything that has an aim is measured; each part tells more of one thing.
"""

import argparse


def add_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `bench`."""
    parser = subparsers.add_parser(
        "bench",
        help="measure this machine: validators, gateway, wire, meter, tokens",
        description="Without a PART, some minutes: all figures that have an aim, beside limits of"
        " the same run. A PART tells more of one thing.",
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object on stdout")
    parser.set_defaults(run=run)
    from gridwitness import (
        bench_api,
        bench_consensus,
        bench_gateway,
        bench_path,
        bench_registry,
        bench_rules,
        bench_validators,
    )

    parts = parser.add_subparsers(dest="part", metavar="PART")
    bench_gateway.add_command(parts)
    bench_registry.add_command(parts)
    bench_validators.add_command(parts)
    bench_path.add_command(parts)
    bench_rules.add_command(parts)
    bench_consensus.add_command(parts)
    bench_api.add_command(parts)
    _add_bus(parts)


def _add_bus(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `bench bus`."""
    parser = subparsers.add_parser(
        "bus",
        help="what a dead and a babbling meter cost the others, beside bare pymodbus",
        description="Simulates a line of 32 meters at 9600 baud in virtual time.",
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object on stdout")
    parser.set_defaults(run=_run_bus)


def _run_bus(args: argparse.Namespace) -> int:
    from gridwitness import bench_bus

    return bench_bus.run(args)


def run(args: argparse.Namespace) -> int:
    """Measure everything that has an aim."""
    from gridwitness import bench_whole

    return bench_whole.run(args)
