"""`gridwitness sim consensus` with more than f liars: how often it forks, and who is named."""

import argparse
import json
import sys
import time
from collections import Counter

from validator.simulation.coalition import ending, failures
from wire.block import ValidatorSet


def run_above(args: argparse.Namespace, members: ValidatorSet, seeds: range) -> int:
    """Play the seeds; agreement may break, and then enough liars and nobody else are named."""
    if args.byzantine >= members.quorum:
        print(
            f"gridwitness sim: {members.quorum} of {len(members)} decide alone; nobody could"
            f" prove anything: take fewer liars",
            file=sys.stderr,
        )
        return 2
    started = time.monotonic()
    broken, named, kinds = [], [], Counter[str]()
    forks = 0
    for seed in seeds:
        end = ending(members, args.byzantine, seed)
        broken += failures(members, end)
        kinds.update(evidence.kind for evidence in end.verdict.evidence)
        if end.values > 1:
            forks += 1
            named.append(len(end.verdict.culprits))
            if args.seed is not None or args.trace:
                _tell(seed, sorted(end.verdict.culprits))
        if (seed - seeds.start) % 500 == 499:
            print(f"{seed - seeds.start + 1} of {len(seeds)} seeds", file=sys.stderr)
    summary = {
        "validators": len(members),
        "byzantine": args.byzantine,
        "withstands": members.faulty,
        "seeds": len(seeds),
        "forks": forks,
        "fewest_named_in_a_fork": min(named, default=None),
        "must_name": members.faulty + 1,
        "evidence": dict(sorted(kinds.items())),
        "failures": broken,
        "seconds": round(time.monotonic() - started, 1),
    }
    for words in broken:
        print(words)
    if args.json:
        print(json.dumps(summary))
    else:
        print("\n".join(f"{name:24} {value}" for name, value in summary.items()))
    return 1 if broken else 0


def _tell(seed: int, names: list[str]) -> None:
    print(f"seed {seed}: two blocks are final; evidence against {', '.join(names)}")
