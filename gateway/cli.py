"""`gridwitness gateway`: run one, ask a running one, look at what it needs, check its file."""

import argparse
import asyncio
import json
import sqlite3
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.delivery import kept
from gateway.operation import cli_init, cli_line, cli_read

if TYPE_CHECKING:
    from gateway.config import GatewayConfig


def add_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `gateway`."""
    gateway = subparsers.add_parser("gateway", help="collect, witness and relay readings")
    verbs = gateway.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, function, words in (
        ("run", run_gateway, "run a gateway until it is told to end"),
        ("status", show_status, "ask a running gateway how it is"),
        ("doctor", run_doctor, "look at everything that a gateway needs, and change nothing"),
        ("check", check_configuration, "check a configuration file against its network"),
    ):
        verb = verbs.add_parser(name, help=words)
        verb.add_argument("config", type=Path, help="gateway.toml")
        if name != "run":
            verb.add_argument("--json", action="store_true", help="end with one JSON object")
        verb.set_defaults(run=function)
    bundle = verbs.add_parser(
        "bundle",
        help="gather what a person who helps from afar wants to see, without secrets",
        description="Versions, configuration, status, doctor, counts of the spool, the end of the "
        "audit file and of the journal, in one archive. No key, PIN, reading or receipt goes in.",
    )
    bundle.add_argument("config", type=Path, help="gateway.toml")
    bundle.add_argument("--out", type=Path, required=True, help="the archive to write, .tar.gz")
    bundle.set_defaults(run=write_bundle)
    cli_init.add_command(verbs)
    kept.add_command(verbs)
    cli_line.add_commands(verbs)
    cli_read.add_command(verbs)


def run_gateway(args: argparse.Namespace) -> int:
    """Run a gateway; the end of SIGTERM is a clean one."""
    import structlog

    from gateway import config, service
    from gateway.operation import needed
    from wire.errors import Refused, Unavailable
    from wire.genesis import Genesis

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    settings = config.load(args.config)
    needed.check(settings)
    genesis = Genesis.load(settings.genesis)
    clock = args.clock_for(settings.paced_time_file, genesis.paced_time)
    try:
        asyncio.run(service.run(args.config, settings, clock))
    except sqlite3.Error as reason:
        raise _spool_fault(settings, reason) from None
    except ExceptionGroup as group:
        expected, rest = group.split((Refused, Unavailable, OSError, sqlite3.Error))
        if expected is None or rest is not None:
            raise
        first = _first(expected)
        raise (_spool_fault(settings, first) if isinstance(first, sqlite3.Error) else first) from (
            None
        )
    return 0


def _spool_fault(settings: "GatewayConfig", reason: Exception) -> Exception:
    """Readings cannot be kept: the gateway ends rather than losing what it reads."""
    from wire.errors import Unavailable

    return Unavailable(f"the spool {settings.spool} cannot be used ({reason}): is the disk full?")


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """The first plain exception of a group of groups."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first


def check_configuration(args: argparse.Namespace) -> int:
    """Check a configuration and say what it polls; or list what is missing."""
    from gateway import config
    from gateway.operation import needed
    from gateway.registered import registration
    from wire.genesis import Genesis

    settings = config.load(args.config)
    wrong = needed.wrong_with(settings)
    words: dict[str, Any] = {"gateway": settings.id, "good": not wrong, "wrong": wrong}
    if settings.genesis.is_file():
        genesis = Genesis.load(settings.genesis)
        buses = registration(settings, genesis).buses
        meters = sum(len(each) for _, each in buses)
        words |= {"network": genesis.topic_name, "meters": meters, "buses": len(buses)}
    if args.json:
        print(json.dumps(words))
    elif wrong:
        print("\n".join(wrong))
    else:
        polled = f"{words['meters']} meters on {words['buses']} buses"
        print(f"{settings.id} of {words['network']}: {polled}; good")
    return 1 if wrong else 0


def show_status(args: argparse.Namespace) -> int:
    """Show a running gateway's status page."""
    from gateway import config
    from gateway.config_table import BadConfiguration
    from gateway.operation.own import ask_claimed, ask_own
    from gateway.operation.status_words import status_words

    try:
        settings = config.load(args.config)
    except BadConfiguration as reason:
        address = config.status_in(args.config, reason)
        print(f"{reason}; the running gateway says:", file=sys.stderr)
        report = ask_claimed(address, config.toml_of(args.config).get("id"))
    else:
        report = ask_own(settings)
    print(json.dumps(report) if args.json else "\n".join(status_words(report)))
    return 0


def ask_status(settings: "GatewayConfig") -> Mapping[str, Any]:
    """Return a running gateway's report; raises Unavailable, Refused when another answers."""
    from gateway.operation.own import ask_own

    return ask_own(settings)


def run_doctor(args: argparse.Namespace) -> int:
    """Look at everything and say what is wrong; the status is 1 when something is."""
    from gateway import config
    from gateway.config_table import BadConfiguration
    from gateway.operation.doctor import examine, examine_running

    try:
        findings = examine(config.load(args.config))
    except BadConfiguration as reason:
        address = config.status_in(args.config, reason)
        claimed = config.toml_of(args.config).get("id")
        findings = examine_running(address, str(reason), claimed)
    for finding in findings:
        print(f"{'ok  ' if finding.good else 'BAD '} {finding.what}: {finding.words}")
    if args.json:
        print(
            json.dumps({each.what: {"good": each.good, "words": each.words} for each in findings})
        )
    return 0 if all(each.good for each in findings) else 1


def write_bundle(args: argparse.Namespace) -> int:
    """Write the archive and say where it is."""
    from gateway import config
    from gateway.operation import bundle

    settings = config.load(args.config)
    bundle.write(
        settings,
        args.config,
        args.out,
        lambda: json.dumps(ask_status(settings), indent=1),
        lambda part: print(f"  {part}", file=sys.stderr),
    )
    print(f"{args.out}: {args.out.stat().st_size} bytes; look into it before you send it")
    return 0
