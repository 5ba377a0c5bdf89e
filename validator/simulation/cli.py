"""`gridwitness sim consensus`, `twins`, `latency`: agreement under chance, and over distance.

The seed, or the scenario, of any failure reproduces it.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict

from validator.simulation.coalition_cli import run_above
from validator.simulation.runs import Outcome, run, validators, vary


def add_consensus_command(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    """Add `consensus` to `gridwitness sim`."""
    parser = subparsers.add_parser(
        "consensus",
        help="run the agreement machines in virtual time under faults, many seeds",
        description="Exit status 1 when a run was unsafe, or did not recover within the printed"
        " bound; a failing seed does so again, step by step: --seed SEED --trace. With more than"
        " f liars agreement may break; then the status is 1 when evidence does not name f + 1.",
    )
    parser.add_argument("--validators", type=int, default=4, metavar="N", help="how many (4)")
    parser.add_argument("--byzantine", type=int, default=0, metavar="F", help="how many lie (0)")
    parser.add_argument(
        "--changes",
        type=int,
        default=0,
        metavar="C",
        help="changes of the validator set (0): who joins, who leaves, a member's key",
    )
    parser.add_argument("--seeds", type=int, default=100, metavar="K", help="how many runs (100)")
    parser.add_argument("--first-seed", type=int, default=0, metavar="S", help="the first (0)")
    parser.add_argument("--seed", type=int, metavar="X", help="this run alone")
    parser.add_argument("--trace", action="store_true", help="tell what happens, on stderr")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on stdout")
    parser.set_defaults(run=run_command)


def add_twins_command(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `twins` to `gridwitness sim`."""
    parser = subparsers.add_parser(
        "twins",
        help="run one validator twice, under every splitting of the network, round by round",
        description="Each scenario is one twinned validator and, for each of the first rounds, one"
        " splitting into groups and who of them hears COMMITs; all are played. Exit status 1 when"
        " one broke agreement, accused somebody without a twin, or did not end after healing.",
    )
    parser.add_argument("--validators", type=int, default=4, metavar="N", help="how many (4)")
    parser.add_argument("--rounds", type=int, default=1, metavar="R", help="split rounds (1)")
    parser.add_argument("--groups", type=int, default=2, metavar="G", help="at most so many (2)")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on stdout")
    parser.set_defaults(run=run_twins)


def add_latency_command(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `latency` to `gridwitness sim`."""
    parser = subparsers.add_parser(
        "latency",
        help="how long agreement takes between real places, in virtual time",
        description="Runs the agreement machines over one-way delays between places and prints the"
        " time from a proposal until a quorum, and everybody, has the block. `thailand`: 24 cities,"
        " light in fibre along one and a half times the great circle; `world`: 13 AWS regions as"
        " measured by the CometBFT project.",
    )
    parser.add_argument(
        "--validators",
        type=lambda text: [int(each) for each in text.split(",")],
        default=[4, 7, 13, 22, 31, 100],
        metavar="N,…",
        help="how many, one run each (4,7,13,22,31,100)",
    )
    parser.add_argument("--where", choices=("thailand", "world"), default="thailand")
    parser.add_argument(
        "--times", type=int, default=1, metavar="K", help="so many times as far (1)"
    )
    parser.add_argument("--heights", type=int, default=10, metavar="H", help="blocks a run (10)")
    parser.add_argument("--fixed", action="store_true", help="timeouts do not adapt")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on stdout")
    parser.set_defaults(run=run_latency)


def run_latency(args: argparse.Namespace) -> int:
    """Measure each number of validators and print a table."""
    from validator.simulation.atlas import MAPS
    from validator.simulation.faults import Conditions
    from validator.simulation.latency import MESSAGE_US, measure

    if min(*args.validators, args.times, args.heights, 1) < 1:
        print("gridwitness sim: numbers are 1 or more", file=sys.stderr)
        return 2
    conditions = Conditions(adaptive=not args.fixed, message_us=MESSAGE_US)
    started = time.monotonic()
    rows = []
    for count in args.validators:
        print(f"{count} validators", file=sys.stderr)
        where = MAPS[args.where].times(args.times)
        rows.append(asdict(measure(validators(count), where, args.heights, conditions)))
    if args.json:
        seconds = round(time.monotonic() - started, 1)
        common = {"where": args.where, "times": args.times, "adaptive": conditions.adaptive}
        print(json.dumps({**common, "runs": rows, "seconds": seconds}))
        return 0
    print("  ".join(name.rjust(len(name)) for name in rows[0]))
    for row in rows:
        print("  ".join(f"{value:>{len(name)}g}" for name, value in row.items()))
    return 0


def run_twins(args: argparse.Namespace) -> int:
    """Play every scenario and print the summary."""
    from validator.simulation.twins import play, scenarios

    if min(args.validators - 3, args.rounds, args.groups) < 1:
        print("gridwitness sim: 4 or more validators, 1 or more rounds and groups", file=sys.stderr)
        return 2
    members = validators(args.validators)
    started = time.monotonic()
    played, failures = 0, []
    for twinned, weathers in scenarios(args.validators, args.rounds, args.groups):
        failure = play(members, twinned, weathers)
        played += 1
        if failure is not None:
            failures.append(str(failure))
            print(failure)
        if played % 1_000 == 0:
            print(f"{played} scenarios", file=sys.stderr)
    summary = {
        "validators": args.validators,
        "rounds": args.rounds,
        "groups": args.groups,
        "scenarios": played,
        "failures": failures,
        "seconds": round(time.monotonic() - started, 1),
    }
    _print(summary, args.json)
    return 1 if failures else 0


def _print(summary: dict[str, object], as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary))
    else:
        print("\n".join(f"{name:20} {value}" for name, value in summary.items()))


def _tell(now_ms: int, name: str, words: str) -> None:
    print(f"{now_ms / 1000:9.3f} s  {name}  {words}", file=sys.stderr)


def _seeds(args: argparse.Namespace) -> range:
    if args.seed is not None:
        return range(args.seed, args.seed + 1)
    return range(args.first_seed, args.first_seed + args.seeds)


def run_command(args: argparse.Namespace) -> int:
    """Run the seeds and print the summary."""
    if args.validators < 1 or not 0 <= args.byzantine < args.validators or args.seeds < 1:
        print(
            "gridwitness sim: 1 or more validators, fewer liars, 1 or more seeds", file=sys.stderr
        )
        return 2
    from validator.simulation.faults import Faults

    members = validators(args.validators)
    started = time.monotonic()
    seeds = _seeds(args)
    if args.byzantine > members.faulty:
        return run_above(args, members, seeds)
    outcomes: list[Outcome] = []
    for seed in seeds:
        faults = vary(Faults(byzantine=args.byzantine, changes=args.changes), seed)
        outcomes.append(run(members, faults, seed, _tell if args.trace else None))
        if len(outcomes) % 50 == 0:
            print(f"{len(outcomes)} of {len(seeds)} seeds", file=sys.stderr)
    summary = {
        "validators": args.validators,
        "byzantine": args.byzantine,
        "seeds": len(outcomes),
        "set_changes": sum(outcome.sets - 1 for outcome in outcomes),
        "key_changes": sum(outcome.keys for outcome in outcomes),
        "heights": sum(outcome.heights for outcome in outcomes),
        "safety_violations": sum(len(outcome.safety) for outcome in outcomes),
        "liveness_violations": sum(not outcome.alive for outcome in outcomes),
        "slowest_recovery_ms": max(outcome.recovery_ms for outcome in outcomes),
        "recovery_bound_ms": min(outcome.bound_ms for outcome in outcomes),
        "max_round": max(outcome.max_round for outcome in outcomes),
        "failing_seeds": [each.seed for each in outcomes if each.safety or not each.alive],
        "seconds": round(time.monotonic() - started, 1),
    }
    for outcome in outcomes:
        for words in outcome.safety:
            print(f"seed {outcome.seed}: {words}")
        if not outcome.alive:
            print(f"seed {outcome.seed}: not recovered within {outcome.bound_ms / 1000:.0f} s")
    _print(summary, args.json)
    return 1 if summary["failing_seeds"] else 0
