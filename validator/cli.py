"""`gridwitness validator`: run one, ask a running one how it is, check its file."""

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from validator.config import ValidatorConfig

_ASK_TIMEOUT_S = 5.0


def add_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `validator`."""
    validator = subparsers.add_parser("validator", help="check readings, agree on blocks")
    verbs = validator.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, function, words in (
        ("run", run_validator, "run a validator until it is told to end"),
        ("status", show_status, "ask a running validator how it is"),
        ("check", check_configuration, "check a configuration file against its network"),
    ):
        verb = verbs.add_parser(name, help=words)
        verb.add_argument("config", type=Path, help="validator.toml")
        if name == "status":
            verb.add_argument("--json", action="store_true", help="end with one JSON object")
        verb.set_defaults(run=function)
    _add_backup(verbs)
    _add_restore(verbs)
    _add_culprits(verbs)
    _add_bootnode(verbs)


def _add_bootnode(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "bootnode",
        help="tell validators where the others are",
        description="Hands out the signed address records of a network's validators over HTTP and"
        " takes newer ones. It needs no key, and nobody has to trust it.",
    )
    verb.add_argument("genesis", type=Path, help="the network's genesis.json")
    verb.add_argument("--listen", default="127.0.0.1:8900", help="host:port (%(default)s)")
    verb.add_argument(
        "--kept",
        type=Path,
        default=Path("bootnode-records.json"),
        help="file where records are kept (%(default)s)",
    )
    verb.add_argument("--records", type=Path, help="a peers.json to begin with")
    verb.set_defaults(run=run_bootnode)


def _add_backup(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "backup",
        help="copy the ledger into one file, also while the validator runs",
        description="No key, passphrase, PIN and sign-state goes into it. Readings do: keep it as"
        " private as the ledger.",
    )
    verb.add_argument("config", type=Path, help="validator.toml")
    verb.add_argument("file", type=Path, help="where to; nothing must be there")
    verb.add_argument("--json", action="store_true", help="end with one JSON object")
    verb.set_defaults(run=make_backup)


def _add_restore(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "restore",
        help="put a backup's ledger where there is none",
        description="Where the sign-state is lost as well, the key follows and does not vote until"
        " you say that no other instance of it runs or ever will; then it votes above the heights"
        " at which the old one may have voted. Without a file only that word is given.",
    )
    verb.add_argument("config", type=Path, help="validator.toml")
    verb.add_argument("file", type=Path, nargs="?", help="a backup of any validator of the network")
    verb.add_argument(
        "--old-instance-is-destroyed",
        action="store_true",
        dest="destroyed",
        help="your word: two instances of one key would contradict each other, provably",
    )
    verb.add_argument("--json", action="store_true", help="end with one JSON object")
    verb.set_defaults(run=restore_backup)


def _add_culprits(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "culprits",
        help="lay ledgers that disagree together, and name who broke agreement",
        description="Takes ledgers or backups of correct validators, the more the better. Exit"
        " status 1 when they disagree. With fewer liars than decide alone, f + 1 of them are named"
        " or more, and nobody correct; anybody can check the evidence.",
    )
    verb.add_argument("genesis", type=Path, help="the network's genesis file")
    verb.add_argument("ledgers", type=Path, nargs="+", help="ledger.sqlite files, or backups")
    verb.add_argument("--json", action="store_true", help="end with one JSON object")
    verb.set_defaults(run=name_culprits)


def name_culprits(args: argparse.Namespace) -> int:
    """Compare ledgers and say who is to blame."""
    from validator.culprits import compare, report, words
    from wire.genesis import Genesis

    found = compare(Genesis.load(args.genesis), args.ledgers)
    print("\n".join(words(found, args.ledgers)))
    if args.json:
        print(json.dumps(report(found)))
    return 0 if found is None else 1


def make_backup(args: argparse.Namespace) -> int:
    """Copy the ledger of a validator."""
    import time

    from validator import backup, config
    from wire.genesis import Genesis

    settings = config.load(args.config)
    genesis = Genesis.load(settings.genesis)
    whose = (settings.id, int(time.time()))
    made = backup.make(settings.data, genesis, whose, args.file, _progress)
    words = f"{args.file}: {settings.id}'s ledger up to block {made.height}, without key and PIN"
    _tell(args, {"file": str(args.file), "validator": settings.id, "height": made.height}, words)
    return 0


def restore_backup(args: argparse.Namespace) -> int:
    """Put a ledger back, give the operator's word, or both."""
    from validator import backup, config
    from wire.errors import Refused
    from wire.genesis import Genesis

    settings = config.load(args.config)
    genesis = Genesis.load(settings.genesis)
    if args.file is None and not args.destroyed:
        raise Refused("name a backup, give the word --old-instance-is-destroyed, or both")
    found = {"validator": settings.id, "height": None, "destroyed": args.destroyed}
    if args.file is None:
        backup.give_word(settings.data)
        said = []
    else:
        read = backup.put_back(
            settings.data, genesis, args.file, destroyed=args.destroyed, progress=_progress
        )
        found["height"] = read.height
        said = [f"{settings.id} has the ledger of {read.validator} up to block {read.height}"]
    said.append(
        "it votes again when it is level with the others, above what the key may have signed"
        if args.destroyed
        else "where its sign-state was lost it follows and does not vote: see validator status"
    )
    _tell(args, found, "\n".join(said))
    return 0


def _tell(args: argparse.Namespace, found: Mapping[str, Any], words: str) -> None:
    print(json.dumps(found) if args.json else words)


def _progress(done: int, of: int) -> None:
    print(f"{done} of {of} pages", file=sys.stderr)


def run_bootnode(args: argparse.Namespace) -> int:
    """Run a bootnode; the end of SIGTERM is a clean one."""
    import time

    from validator import bootnode, config
    from wire.genesis import Genesis

    address = config.address(args.listen, "--listen")
    genesis = Genesis.load(args.genesis)
    registered = bootnode.Registered(genesis, args.kept.with_suffix(".changes"))
    book = bootnode.open_book(genesis, registered, args.kept, args.records, int(time.time()))
    known = f"{len(book.peers)} of {len(genesis.validators)} validators known"
    print(f"bootnode of {genesis.topic_name} on http://{address}: {known}", flush=True)
    asyncio.run(bootnode.run(genesis, registered, book, address))
    return 0


def run_validator(args: argparse.Namespace) -> int:
    """Run a validator; the end of SIGTERM is a clean one."""
    from validator import config, log, service
    from wire.genesis import Genesis

    log.set_up()
    settings = config.load(args.config)
    genesis = Genesis.load(settings.genesis)
    clock = args.clock_for(settings.paced_time_file, genesis.paced_time)
    asyncio.run(service.run(settings, clock))
    return 0


def check_configuration(args: argparse.Namespace) -> int:
    """Check a configuration, its network's registry and its peers' address records."""
    import time

    from validator import config
    from validator.app.application import Application
    from validator.node.peers import load_peers
    from wire.genesis import Genesis

    settings = config.load(args.config)
    genesis = Genesis.load(settings.genesis)
    Application(genesis)
    found = [f"bootnode {each}" for each in settings.bootnodes]
    if genesis.validators.index(settings.id) is None:
        found.append("not in the genesis file, so it votes when the ledger names it")
    if settings.peers is not None:
        peers = load_peers(settings.peers, genesis, int(time.time()))
        found.insert(0, f"{len(peers)} address records")
    print(f"{settings.id} of {genesis.topic_name}: {', '.join(found)}; good")
    return 0


def show_status(args: argparse.Namespace) -> int:
    """Show a running validator's status; 1 when it has halted or something hinders agreement."""
    from validator import config

    report = ask_status(config.load(args.config))
    if args.json:
        print(json.dumps(report))
    else:
        print("\n".join(_words(report)))
    return 1 if report["halted"] or report["agreement"]["hindrance"] else 0


def ask_status(settings: "ValidatorConfig") -> Mapping[str, Any]:
    """Return a running validator's report; raises Unavailable, AnotherValidator."""
    from validator.client import Client
    from validator.config import ANYWHERE
    from validator.desk import Trust
    from validator.own import check_own
    from wire.errors import Unavailable

    scheme = "http" if settings.api_certificate is None else "https"
    host = "127.0.0.1" if settings.api.host in ANYWHERE else settings.api.host
    own = Trust(certificate=settings.api_certificate)
    urls = [f"{scheme}://{host}:{settings.api.port}"]
    with Client(urls, trust=own, timeout_s=_ASK_TIMEOUT_S) as client:
        try:
            report = client.status().model_dump(by_alias=True)
        except Unavailable as reason:
            raise Unavailable(f"{reason}; does {settings.id} run?") from None
    check_own(settings, report, urls[0])
    return report


_FOLLOWS = (
    "follows without a vote: the ledger names no key of its (gridwitness network join, rotate)"
)


def _words(report: Mapping[str, Any]) -> list[str]:
    peers = ", ".join(report["peers"]) or "none"
    return [
        f"{report['validator']} of {report['network']}: height {report['height']}, "
        f"round {report['round']} led by {report['leader']}",
        *_catching_up(report),
        f"peers: {peers}; broker {report['broker']}",
        *(_cut(row) for row in report["cut"]),
        f"readings on the ledger: {report['readings']}; waiting for a block: {report['mempool']}",
        *_agreement(report["agreement"]),
        *([f"HALTED: {report['halted']}"] if report["halted"] else []),
        *([] if report.get("votes", True) else [_FOLLOWS]),
    ]


def _catching_up(report: Mapping[str, Any]) -> list[str]:
    height, target = report["height"], report["target"]
    return [f"catching up: {height} of {target}"] if target > height else []


def _cut(row: Mapping[str, Any]) -> str:
    heard = "not heard" if row["from"] == "everything" else "heard for its votes only"
    return f"  {row['peer']} is {heard} for {row['for_s']:.0f} s: {row['why']}"


def _agreement(agreement: Mapping[str, Any]) -> list[str]:
    height, since_s, due_s = (agreement[name] for name in ("height", "since_s", "due_s"))
    causes = [f"HINDRANCE: {words}" for words in agreement["hindrance"].splitlines()]
    if due_s:
        return [f"block {height} is due in {due_s:.0f} s at the latest", *causes]
    lines = [f"block {height} is being agreed on, for {since_s:.0f} s:"]
    for row in agreement["validators"]:
        said = ", ".join(row["said"]) or "nothing"
        place = (
            "" if row["round"] is None else f" in round {row['round']}, {row['ago_s']:.0f} s ago"
        )
        behind = row["height"] is not None and row["height"] < height - 1
        where = f"; at {row['height']}" if behind else ""
        link = "" if row["connected"] else "; no link"
        lines.append(f"  {row['validator']}: {said}{place}{where}{link}")
    return [*lines, *causes]
