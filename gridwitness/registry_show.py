"""`gridwitness registry show`, and what the other verbs print of a change.

Decides whom a command asks for what is registered (a validator before the genesis file), and what
is printed of a change, a table and an entry with its history.
"""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gridwitness import registry_details, registry_file, registry_listing, registry_state
from gridwitness.registry_known import ByGenesis, ByValidator, Known
from validator.client import Client
from validator.desk import Trust
from wire.errors import Refused
from wire.event import time_words
from wire.genesis import Genesis
from wire.transaction import Transaction

TABLES = tuple(sorted(registry_listing.COLUMNS))


def add_known(parser: argparse.ArgumentParser, words: str, *, required: bool = False) -> None:
    """Add the arguments that say who tells what is registered."""
    parser.add_argument("--genesis", type=Path, required=required, metavar="FILE", help=words)
    parser.add_argument("--from-validator", metavar="URL", help="likewise, as it is now")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="vouches for an https:// one")


@contextmanager
def known_of(args: argparse.Namespace, transaction: Transaction) -> Iterator[Known | None]:
    """Who tells what is registered; raises Refused when it is of another network."""
    genesis = None if args.genesis is None else Genesis.load(args.genesis)
    if genesis is not None and transaction.network != genesis.network:
        raise Refused(f"{args.genesis}: the change is for another network than this file's")
    if args.from_validator is None:
        yield None if genesis is None else ByGenesis(genesis, _at_hand(args))
        return
    with Client([args.from_validator], trust=Trust(args.ca)) as client:
        if bytes.fromhex(client.status().network_id) != transaction.network:
            raise Refused(f"{args.from_validator}: the change is for another network than this")
        yield ByValidator(client, args.from_validator)


def _at_hand(args: argparse.Namespace) -> list[Transaction]:
    """The change that `prepare withdraw` names by its file."""
    path = Path(getattr(args, "change", ""))
    return [registry_file.read(path)] if path.is_file() else []


def say(
    args: argparse.Namespace,
    transaction: Transaction,
    known: Known | None,
    ending: str | None,
    **more: Any,
) -> None:
    """Print a change: in words, or as one JSON object."""
    found = registry_file.described(transaction, None if known is None else known.holders())
    if "height" not in more:  # Who submits has seen it.
        found |= registry_details.details(transaction, known)
    found |= more
    if args.json:
        print(json.dumps(found))
        return
    first, *rest = registry_file.lines(found)
    lines = [first, *registry_details.lines(found), *rest]
    print("\n".join(lines + ([] if ending is None else [ending])))


def add_show(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `show`."""
    parser = verbs.add_parser(
        "show", help="tell what a file changes, or what is, was and will be registered"
    )
    parser.add_argument("what", metavar="FILE|TABLE", help=f"a file, or {', '.join(TABLES)}")
    parser.add_argument(
        "id", nargs="?", metavar="ID", help="an entry with its history; all without one"
    )
    add_known(parser, "of a file: tells whose the keys are and what was registered before")
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    parser.set_defaults(run=_show)


def _show(args: argparse.Namespace) -> int:
    if args.what in TABLES:
        return _show_table(args)
    path = Path(args.what)
    if not path.exists():
        raise Refused(f"{path}: no such file, and no table of that name: {', '.join(TABLES)}")
    transaction = registry_file.read(path)
    with known_of(args, transaction) as known:
        state = None
        if args.from_validator is not None:
            with Client([args.from_validator], trust=Trust(args.ca)) as client:
                state = registry_state.asked(client, transaction)
        words = None if state is None else f"by now       {state}"
        say(args, transaction, known, words, **({} if state is None else {"state": str(state)}))
    return 0


def _show_table(args: argparse.Namespace) -> int:
    if args.from_validator is None:
        raise Refused(f"whom to ask for {args.what}: --from-validator URL")
    with Client([args.from_validator], trust=Trust(args.ca)) as client:
        if args.id is None:
            told = client.listed(args.what)
            coming = registry_state.coming(client, args.what)
            for line in registry_listing.printed(args.what, told, coming, args.json):
                print(line)
            return 0
        found = client.entry(args.what, args.id)
    for step in () if args.json else found.get("history", ()):
        begin = "the genesis file" if step["from_s"] is None else time_words(step["from_s"])
        what = "registered no more" if step["entry"] is None else json.dumps(step["entry"])
        by = f"  (transaction {step['transaction']})" if step.get("transaction") else ""
        print(f"from {begin}: {what}{by}")
    if args.json:
        print(json.dumps(found))
    return 0
