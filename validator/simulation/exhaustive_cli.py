"""`gridwitness sim exhaustive`: every state of four validators within a bound."""

import argparse
import json
import sys
import time
from functools import partial

from validator.simulation.exhaustive import explore
from validator.simulation.moves import Bound
from validator.simulation.runs import validators

FOUR = 4


def add_exhaustive_command(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    """Add `exhaustive` to `gridwitness sim`."""
    parser = subparsers.add_parser(
        "exhaustive",
        help="visit every state that four agreement machines can reach in the first rounds",
        description="One height; every order of messages, time-outs, crashes and restarts; one"
        " validator lies in every way, or is silent, or none. Exit status 1 when a state decides"
        " two values, a correct validator contradicts itself, or a network made whole would not"
        " agree; the way there is printed.",
    )
    parser.add_argument("--rounds", type=int, default=2, metavar="R", help="so many rounds (2)")
    parser.add_argument(
        "--liar",
        metavar="V",
        choices=["none", "all", *map(str, range(FOUR))],
        default="all",
        help="place of the one that is not correct: 0 leads round 0; none; all, in turn (all)",
    )
    parser.add_argument(
        "--most-states", type=int, default=10**9, metavar="K", help="stop after so many"
    )
    parser.add_argument(
        "--heal-every",
        type=int,
        default=200,
        metavar="K",
        help="look from every K-th state whether agreement comes of it; 0 never (200)",
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object on stdout")
    parser.set_defaults(run=run_exhaustive)


def _bounds(rounds: int, liar: str) -> list[Bound]:
    every = [Bound(rounds - 1, None)]
    every += [Bound(rounds - 1, at, silent) for at in range(FOUR) for silent in (True, False)]
    if liar == "all":
        return every
    wanted = None if liar == "none" else int(liar)
    return [bound for bound in every if bound.liar == wanted]


def _tell(who: str, states: int) -> None:
    print(f"{who}: {states} states", file=sys.stderr)


def run_exhaustive(args: argparse.Namespace) -> int:
    """Visit all states and print how many there are."""
    if args.rounds < 1 or args.most_states < 1 or args.heal_every < 0:
        print("gridwitness sim: 1 or more rounds and states", file=sys.stderr)
        return 2
    started = time.monotonic()
    states = steps = healed = 0
    complete, failures = True, []
    for bound in _bounds(args.rounds, args.liar):
        who = "nobody lies" if bound.liar is None else f"{bound.liar} lies"
        who = f"{bound.liar} is silent" if bound.silent else who
        found = explore(
            validators(FOUR),
            bound,
            args.most_states,
            args.heal_every,
            partial(_tell, who),
        )
        print(f"{who}: {found.states} states, {found.steps} steps, {len(found.values)} values")
        states, steps = states + found.states, steps + found.steps
        healed += found.healed
        complete &= found.complete or bool(found.failure)
        if found.failure:
            failures.append(f"{who}: {found.failure}")
            print(found.failure)
    summary = {
        "rounds": args.rounds,
        "states": states,
        "steps": steps,
        "healed": healed,
        "complete": complete,
        "failures": failures,
        "seconds": round(time.monotonic() - started, 1),
    }
    if args.json:
        print(json.dumps(summary))
    else:
        print("\n".join(f"{name:20} {value}" for name, value in summary.items()))
    return 1 if failures else 0
