"""`gridwitness sim consensus`: many seeds, judged; the seed of any failure reproduces it."""

import argparse
import json
import sys
import time

from validator.simulation.runs import Outcome, run, validators, vary


def add_consensus_command(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    """Add `consensus` to `gridwitness sim`."""
    parser = subparsers.add_parser(
        "consensus",
        help="run the agreement machines in virtual time under faults, many seeds",
        description="Exit status 1 when a run broke agreement or did not recover; the failing"
        " seeds are printed and reproduce it: --first-seed SEED --seeds 1.",
    )
    parser.add_argument("--validators", type=int, default=4, metavar="N", help="how many (4)")
    parser.add_argument("--byzantine", type=int, default=0, metavar="F", help="how many lie (0)")
    parser.add_argument("--seeds", type=int, default=100, metavar="K", help="how many runs (100)")
    parser.add_argument("--first-seed", type=int, default=0, metavar="S", help="the first (0)")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on stdout")
    parser.set_defaults(run=run_command)


def run_command(args: argparse.Namespace) -> int:
    """Run the seeds and print the summary."""
    if args.validators < 1 or not 0 <= args.byzantine < args.validators or args.seeds < 1:
        print(
            "gridwitness sim: 1 or more validators, fewer liars, 1 or more seeds", file=sys.stderr
        )
        return 2
    from validator.simulation.network import Faults

    members = validators(args.validators)
    started = time.monotonic()
    outcomes: list[Outcome] = []
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        outcomes.append(run(members, vary(Faults(byzantine=args.byzantine), seed), seed))
        if (seed - args.first_seed) % 50 == 49:
            print(f"{len(outcomes)} of {args.seeds} seeds", file=sys.stderr)
    summary = {
        "validators": args.validators,
        "byzantine": args.byzantine,
        "seeds": len(outcomes),
        "heights": sum(outcome.heights for outcome in outcomes),
        "safety_violations": sum(len(outcome.safety) for outcome in outcomes),
        "liveness_violations": sum(not outcome.alive for outcome in outcomes),
        "slowest_recovery_ms": max(outcome.recovery_ms for outcome in outcomes),
        "max_round": max(outcome.max_round for outcome in outcomes),
        "failing_seeds": [each.seed for each in outcomes if each.safety or not each.alive],
        "seconds": round(time.monotonic() - started, 1),
    }
    for outcome in outcomes:
        for words in outcome.safety:
            print(f"seed {outcome.seed}: {words}")
    if args.json:
        print(json.dumps(summary))
    else:
        print("\n".join(f"{name:20} {value}" for name, value in summary.items()))
    return 1 if summary["failing_seeds"] else 0
