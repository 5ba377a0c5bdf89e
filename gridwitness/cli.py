"""The one command line: finds the room that a command belongs to and runs it.

Decides the clock that services run by, and how a program ends: an expected error is one line on
stderr and a status (1 refused, 75 try again, 2 wrong usage, 130 interrupted, 143 told to end). What
commands do and print is decided in their rooms.
"""

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from gridwitness.clock import clock_for
from gridwitness.ending import in_order
from wire.errors import Refused, Unavailable, WrongUsage

if TYPE_CHECKING:
    from device.provision.over_line import LineAddress, LineReading
    from gridwitness.meter_simulation import SimulatedMeter
    from validator.desk import Desk

# Each module adds the command of its name; only what is asked for is imported.
COMMANDS = {
    "bench": "gridwitness.bench",
    "demo": "gridwitness.demo",
    "network": "gridwitness.network_commands",
    "registry": "gridwitness.registry_commands",
    "gateway": "gateway.cli",
    "validator": "validator.cli",
    "hsm": "hsm.cli",
    "meter": "device.provision.cli",
    "verify": "gridwitness.verify",
    "receipts": "gridwitness.receipts",
    "sim": "gridwitness.sim_commands",
}

REFUSED = 1
WRONG_USAGE = 2
TRY_AGAIN = 75
INTERRUPTED = 130

_EXISTS = os.strerror(errno.EEXIST)


def parser_for(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Return a parser with the command that the arguments name, or with all commands."""
    parser = argparse.ArgumentParser(
        prog="gridwitness", description="Metered energy, witnessed and agreed."
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and end")
    parser.set_defaults(
        clock_for=clock_for, simulated_meter=_simulated_meter, read_line=_read_line, desk=_desk
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    asked = arguments[0] if arguments else ""
    modules = [COMMANDS[asked]] if asked in COMMANDS else COMMANDS.values()
    for module in modules:
        importlib.import_module(module).add_commands(commands)
    return parser


class _Version(argparse.Action):
    """Tells the installed version; looked up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"gridwitness {version('gridwitness')}")
        parser.exit()


def _simulated_meter(folder: Path | None) -> AbstractContextManager["SimulatedMeter"]:
    """What stands in for a board when a tool is to simulate one."""
    from gridwitness.meter_simulation import simulated_meter

    return simulated_meter(folder)


def _read_line(line: "LineAddress") -> "LineReading":
    """Ask a meter over its line, as a gateway does; the meter's tool has no Modbus of its own."""
    from gridwitness.meter_line import read_line

    return read_line(line)


def _desk(url: str, ca: Path | None = None) -> "Desk":
    """A validator's API, for tools that are no part of a validator."""
    from validator.desk import Desk, Trust

    return Desk(url, Trust(ca))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    if not given:
        parser_for(["--help"]).print_help()
        return WRONG_USAGE
    parsed = parser_for(given).parse_args(given)
    with in_order() as ending:
        status = _run(parsed)
    return ending.status(status)


def _run(parsed: argparse.Namespace) -> int:
    try:
        status: int = parsed.run(parsed)
    except KeyboardInterrupt:
        return INTERRUPTED
    except WrongUsage as reason:
        return _end(WRONG_USAGE, str(reason))
    except Refused as reason:
        return _end(REFUSED, f"refused: {reason}")
    except Unavailable as reason:
        return _end(TRY_AGAIN, f"not now: {reason}")
    except FileExistsError as reason:
        words = "exists; choose another name" if reason.strerror == _EXISTS else reason.strerror
        return _end(REFUSED, f"{reason.filename} {words}" if reason.filename else str(reason))
    except OSError as reason:
        return _end(REFUSED, f"{reason.strerror or reason}: {reason.filename or ''}".rstrip(": "))
    return status


def _end(status: int, words: str) -> int:
    print(f"gridwitness: {words}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
