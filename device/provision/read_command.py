"""`gridwitness meter read`: a meter's last records and events, over its console or its line.

Decides what is printed; what is true is decided by `looking` and, on a line, by `read_line`.
"""

import argparse
import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from device.provision.looking import Looked
    from wire.event import Event
    from wire.keys import PublicKey

_HELP = "show a meter's last records and events, or what its line shows, verified"
_DESCRIPTION = """
Over the console: the meter is stopped, its last records and events are shown, each verified with
the key that the board proves, and it is started again. With --line over RS-485, where nothing is
stopped: who it is, its registers, its clock, and its newest record, fetched through the record
window and verified. A gateway that runs has its lines open: stop it, or ask it (gridwitness gateway
read).
"""

_SLOWEST, _FASTEST = 1200, 115200  # As a meter's configuration takes it.


def add_read_command(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", told: Any
) -> None:
    """Add `read`."""
    from device.provision.cli import add_port

    read = verbs.add_parser("read", help=_HELP, description=_DESCRIPTION)
    add_port(read)
    read.add_argument("--count", type=int, default=4, help="how many of each, 4 when not given")
    read.add_argument(
        "--line", nargs="?", const="", metavar="PORT", help="ask over this RS-485 adapter instead"
    )
    read.add_argument("--unit", type=int, default=1, help="on a line: Modbus unit, 1 to 247")
    read.add_argument("--baudrate", type=int, default=9600, help="of the line, 9600")
    read.add_argument("--key", help="on a line: the key that it must have, es256:… or a file")
    read.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the records as a file for verify and export (.gwr)",
    )
    read.add_argument("--json", action="store_true", help="JSON, one object a line")
    read.set_defaults(run=told(run))


def run(args: argparse.Namespace) -> int:
    """Read it, the one way or the other; raises a Fault."""
    return _over_console(args) if args.line is None else _over_line(args)


def _over_line(args: argparse.Namespace) -> int:
    from device.provision import faults
    from device.provision.cli import port_of
    from device.provision.over_line import LineAddress, lines, plain
    from hsm.publickey import read_key

    if not 1 <= args.unit <= 247:
        raise faults.BAD_ARGUMENT.fault(what="--unit is a Modbus unit, 1 to 247")
    if not _SLOWEST <= args.baudrate <= _FASTEST:
        what = f"--baudrate is from {_SLOWEST} to {_FASTEST}"
        raise faults.BAD_ARGUMENT.fault(what=what)
    if args.out is not None:
        raise faults.BAD_ARGUMENT.fault(
            what="--out keeps what is read over the console, not --line"
        )
    key = None if args.key is None else read_key(args.key)
    with ExitStack() as stack:
        port = args.line
        if args.simulate:
            stack.enter_context(port_of(args))
            port = args.simulated.line
            args.simulated.wait_serving()
        if not port:
            what = "--line names the port of the RS-485 adapter, and it is missing"
            raise faults.BAD_ARGUMENT.fault(what=what)
        address = LineAddress(port, args.unit, args.baudrate, key)
        found = args.read_line(address)
    if args.json:
        print(json.dumps(plain(found, address)))
    else:
        print("\n".join(lines(found, address)))
    return 0


def _over_console(args: argparse.Namespace) -> int:
    from device.provision import asked, looking
    from device.provision.cli import port_of, tell
    from device.provision.console import Patience, session
    from device.provision.running import back_to_work

    wrong, kept = 0, b""
    with port_of(args) as port, session(port, tell, Patience()) as console:
        try:
            public = looking.key(console)
            _show(args, *_meter(asked.identity(console).config, public))
            for found in looking.records(console, public, args.count):
                wrong += found.signed is None
                kept += found.signed.encoded if found.signed else b""
                _show(args, *_record(found))
            for event in looking.events(console, public, args.count):
                _show(args, *_event(event))
        finally:
            back_to_work(console)
    if args.out is not None:
        args.out.write_bytes(kept)
    return 1 if wrong else 0


def _show(args: argparse.Namespace, words: str, content: dict[str, Any]) -> None:
    print(json.dumps(content) if args.json else words, flush=True)


def _meter(config: "Mapping[str, Any]", public: "PublicKey") -> tuple[str, dict[str, Any]]:
    """Who it is, and how a master reaches it on its line."""
    kid, unit, baudrate = public.kid.hex(), config.get("unit", 1), config.get("baudrate", 9600)
    who = f"meter {config['meter']}, unit {unit} at {baudrate} baud, " if "meter" in config else ""
    found = {"meter": config.get("meter"), "unit": unit, "baudrate": baudrate}
    return f"{who}key kid {kid}", {**found, "key": public.text, "kid": kid}


def _record(found: "Looked") -> tuple[str, dict[str, Any]]:
    from wire.event import time_words
    from wire.record_rules import status_words

    if found.signed is None:
        words = f"{found.sequence:8}  not believed: {found.why}"
        return words, {"record": found.sequence, "believed": False, "why": found.why}
    reading = found.signed.reading
    words = (
        f"{found.sequence:8}  {time_words(reading.interval_start_s)}"
        f"  in {reading.import_wh} Wh  out {reading.export_wh} Wh"
        f"  status: {status_words(reading.status)}"
    )
    return words, {
        "record": found.sequence,
        "believed": True,
        "interval_start_s": reading.interval_start_s,
        "registers_wh": [reading.import_wh, reading.export_wh],
        "status": reading.status,
        "signed": found.signed.encoded.hex(),
    }


def _event(event: "Event") -> tuple[str, dict[str, Any]]:
    from wire.event import time_words

    words = f"event {event.number:5}  {time_words(event.time_s)}  {event.words}"
    return words, {
        "event": event.number,
        "kind": event.kind,
        "time_s": event.time_s,
        "words": event.words,
    }
