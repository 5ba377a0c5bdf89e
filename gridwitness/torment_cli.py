"""`gridwitness sim torment`: what is asked for, and how it is told."""

import argparse
import json
import sys
import tempfile
from pathlib import Path

PROCESSES = ("kill", "kill-all", "freeze", "disk", "clock", "restore", "old-copy")
LINKS = ("partition", "one-way", "delay", "loss")
FAULTS = (*PROCESSES, *LINKS)
LEAST, MOST = 4, 31


def add_torment_command(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    """Add `sim torment`."""
    parser = subparsers.add_parser(
        "torment",
        help="real validators here, killed, frozen, restored, with full disks and wrong clocks",
        description="Starts a broker and real validators on loopback, lets batches flow, and does"
        " one thing after the other to them. Exit status 1 when the chain did not go on within the"
        " bound, ledgers differ, a batch was lost, or a key signed two things for one slot.",
    )
    parser.add_argument("--validators", type=int, default=4, metavar="N", help="how many (4)")
    parser.add_argument(
        "--minutes",
        type=float,
        default=2.0,
        metavar="M",
        help="how long (2); 0 for each fault once",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="order of faults (0)")
    parser.add_argument(
        "--faults", default="", metavar="A,B", help="only these; an unknown name lists all"
    )
    parser.add_argument(
        "--links",
        action="store_true",
        help="each validator in a network namespace of its own, and its links suffer as well",
    )
    parser.add_argument(
        "--longest", type=float, default=4.0, metavar="S", help="seconds of a fault, at most (4)"
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object on stdout")
    parser.set_defaults(run=run_command)


def run_command(args: argparse.Namespace) -> int:
    """Torment and print the summary."""
    chosen = [name for name in args.faults.split(",") if name]
    wrong = [name for name in chosen if name not in FAULTS]
    if wrong or not LEAST <= args.validators <= MOST or args.minutes < 0:
        print(
            f"gridwitness sim: {LEAST} to {MOST} validators, no negative minutes, faults of"
            f" {', '.join(FAULTS)}",
            file=sys.stderr,
        )
        return 2
    from gridwitness.torment import Plan, torment
    from hwsim import network_leg

    apart = args.links or bool(set(chosen) & set(LINKS))
    if apart:
        network_leg.enter()
    faults = chosen or (FAULTS if apart else PROCESSES)
    plan = Plan(tuple(faults), args.seed, args.minutes * 60, args.longest, apart)
    with tempfile.TemporaryDirectory() as name:
        report = torment(Path(name), args.validators, plan, _say)
    row = report.row()
    print(json.dumps(row) if args.json else "\n".join(f"{k:20} {v}" for k, v in row.items()))
    return 1 if report.failures or report.double_signs else 0


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
