"""`gridwitness meter provision` and `check`: options in, eight lines out, papers at the end.

Decides what the options are called and how a step is printed. Both commands walk the same steps.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device.provision.keys import add_key_options

if TYPE_CHECKING:
    from device.provision.order import Order
    from device.provision.report import Step
    from device.provision.steps import Steps
    from wire.keys import Signer

Run = Callable[[argparse.Namespace], int]

SIMULATED_TECHNICIAN = "simulated"
_E7 = 10**7


def add_provision_commands(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", told: Callable[[Run], Run]
) -> None:
    """Add `provision` and `check`."""
    for name, words in (
        ("provision", "make a meter of a board: application, key, clock, record, lock, papers"),
        ("check", "walk the same steps, change nothing, tell what differs"),
    ):
        parser = verbs.add_parser(name, help=words)
        _add_board(parser)
        if name == "provision":
            _add_meter(parser)
            _add_visit(parser)
            parser.add_argument("--check", action="store_true", help="as gridwitness meter check")
        else:
            parser.add_argument("--meter", default="", help="refuse any other")
            parser.set_defaults(check=True)
        _add_mains(parser)
        add_key_options(parser, "technician", required=False)
        parser.set_defaults(run=told(run))


def _add_board(parser: argparse.ArgumentParser) -> None:
    from device.provision.cli import add_port

    add_port(parser)
    parser.add_argument("--board", default="", help="board file; by what the board says")
    parser.add_argument("--source", action="store_true", help="copy .py files, not compiled ones")
    parser.add_argument("--json", action="store_true", help="one JSON object a step, then a last")


def _add_meter(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--meter", required=True, help="id as on the nameplate")
    parser.add_argument("--node", required=True, help="grid node that it measures")
    parser.add_argument("--zone", required=True, help="zone whose balance it is part of")
    parser.add_argument("--unit", type=int, default=1, help="Modbus unit, 1 to 247")
    parser.add_argument("--baudrate", type=int, default=9600, help="of the RS-485 line")
    parser.add_argument(
        "--element", type=_element, help='kind, or JSON as {"kind": "pzem004t", "address": 1}'
    )
    parser.add_argument("--receiver", action="store_true", help="a satellite receiver is connected")
    parser.add_argument("--secure-element", action="store_true", help="the key is in an ATECC608")
    parser.add_argument(
        "--lock-secure-element", action="store_true", help="lock a new ATECC608, for ever"
    )
    parser.add_argument(
        "--site", type=_site, metavar="LAT,LON", help="degrees, as 13.7563,100.5018"
    )
    parser.add_argument("--no-lock", action="store_true", help="leave the console open: on a bench")
    parser.add_argument(
        "--genesis",
        type=Path,
        help="refuse what this network has already, and a node that none of its lines reaches",
    )
    parser.add_argument("--validator", metavar="URL", help="the same, asked of a validator's API")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="vouches for https://, else Debian")
    parser.add_argument("--explorer", metavar="URL", help="in the holder's link; else --validator")
    parser.set_defaults(holder=None)
    parser.add_argument("--reader", metavar="GATEWAY", help="makes the enrolment, with --genesis")
    parser.add_argument(
        "--role", choices=("customer", "source", "boundary"), default="customer", help="in the zone"
    )
    parser.add_argument("--phases", type=int, choices=(1, 3), default=1, help="of the service")
    parser.add_argument("--shared-node", action="store_true", help="several meters at the node")
    parser.add_argument("--replaces", default="", metavar="METER", help="the meter taken down")
    parser.add_argument("--old-import-wh", type=int, default=0, help="what it showed last")
    parser.add_argument("--old-export-wh", type=int, default=0, help="what it showed last")


def _add_visit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--technician", default="", help="technician id, as registered")
    parser.add_argument("--seal", action="append", default=[], help="number of a seal; repeat it")
    parser.add_argument("--note", default="", help="anything else")
    parser.add_argument("--out", type=Path, default=Path(), help="papers go to OUT/METER")
    parser.add_argument("--yes", action="store_true", help="ask nothing")


def _add_mains(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--frequency", type=int, choices=(50, 60), default=50, help="of the mains")
    parser.add_argument("--voltage", type=int, default=230, help="nominal, phase to neutral")
    parser.add_argument("--generation-w", type=int, default=0, help="declared behind the meter")
    parser.add_argument("--service-a", type=int, default=0, help="fuse of the service")
    parser.add_argument(
        "--ct", type=_ratio, default=(0, 0), metavar="P/S", help="current transformers, as 100/5"
    )


def _element(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text) if text.startswith("{") else {"kind": text}
        if isinstance(found["kind"], str):
            return dict(found)
    except (ValueError, KeyError):
        pass
    raise argparse.ArgumentTypeError(f"a kind, or a JSON object with one, not {text!r}")


def _site(text: str) -> tuple[int, int]:
    try:
        lat, lon = map(float, text.split(","))
        if abs(lat) <= 90 and abs(lon) <= 180:
            return round(lat * _E7), round(lon * _E7)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"degrees as 13.7563,100.5018, not {text!r}")


def _ratio(text: str) -> tuple[int, int]:
    try:
        primary, secondary = map(int, text.split("/"))
        return primary, secondary
    except ValueError:
        raise argparse.ArgumentTypeError(f"a ratio as 100/5, not {text!r}") from None


def run(args: argparse.Namespace) -> int:
    """Walk the steps; raises a Fault."""
    from device.provision.cli import port_of, tell
    from device.provision.steps import Steps

    with ExitStack() as stack:
        port = stack.enter_context(port_of(args))
        technician = _technician(args, stack)
        walk = Steps(_order(args, port, technician), tell)
        began = time.monotonic()
        done = []
        for step in walk.walk():
            done.append(step)
            _show(args, step)
        failed = [step for step in done if step.outcome == "failed"]
        _end(args, walk, done, time.monotonic() - began)
    return 10 + failed[0].number if failed else 0


def _technician(args: argparse.Namespace, stack: ExitStack) -> "Signer | None":
    """The signer; a simulated board may have a simulated technician."""
    from device.provision import faults
    from device.provision.keys import signer_of
    from wire.errors import Refused, Unavailable

    if args.technician_key:
        try:
            signer = signer_of(args.technician_key, args.passphrase_file, args.softhsm2_conf)
            return stack.enter_context(signer)
        except (Refused, Unavailable) as reason:
            raise faults.NO_TECHNICIAN_KEY.fault(why=reason) from None
    if args.simulate and not args.check:
        simulated: Signer = args.simulated.technician
        return simulated
    if not args.check:
        raise faults.NO_TECHNICIAN_KEY.fault(why="none was given")
    return None


def _order(args: argparse.Namespace, port: str, technician: "Signer | None") -> "Order":
    from device.provision import measuring
    from device.provision.order import Order
    from device.provision.told_network import told_by

    place = measuring.Installation(
        args.frequency, args.voltage, args.generation_w, args.service_a, args.ct
    )
    common: dict[str, Any] = {
        "port": port,
        "technician": technician,
        "installation": place,
        "board": args.board,
        "sources": args.source,
        "checking": args.check,
    }
    if args.verb == "check":
        return Order(config={}, visit={}, place=_place(args), **common)
    config = _config(args)
    network = told_by(args, None if technician is None else technician.public)
    return Order(
        config=config,
        visit=_visit(args),
        place=_place(args),
        known=network.known,
        grid=network.grid,
        hands=network.hands,
        site=args.site,
        registration=network.registration,
        lock_secure_element=args.lock_secure_element,
        first_record_s=args.simulated.first_record_s if args.simulate else 0.0,
        confirm=lambda question: _confirm(args, question),
        **common,
    )


def _config(args: argparse.Namespace) -> dict[str, Any]:
    from device.provision import faults

    element = args.element
    if element is None and args.simulate:
        element = args.simulated.element
    if element is None:
        raise faults.BAD_ARGUMENT.fault(what="--element says what measures, and it is missing")
    _check_names(args)
    config: dict[str, Any] = {
        "meter": args.meter,
        "node": args.node,
        "zone": args.zone,
        "unit": args.unit,
        "baudrate": args.baudrate,
        "element": element,
        "key": "atecc608" if args.secure_element else "flash",
        "locked": 0 if args.no_lock else 1,
    }
    if args.simulate:
        config["paced_time_file"] = args.simulated.paced_time_file
    if args.receiver:
        config["receiver"] = {"kind": "nmea", "baudrate": 9600}
    return config


def _check_names(args: argparse.Namespace) -> None:
    """What the board would refuse is refused before it is touched."""
    from device.provision import faults
    from device.provision.at_prompt import check_technician
    from wire import fields
    from wire.errors import Refused

    try:
        for name, most in (("meter", 20), ("node", 33), ("zone", 33)):
            fields.identifier(getattr(args, name), f"--{name}", most)
    except Refused as reason:
        raise faults.BAD_ARGUMENT.fault(what=reason) from None
    if not 1 <= args.unit <= 247:
        raise faults.BAD_ARGUMENT.fault(what="--unit is a Modbus unit, 1 to 247")
    check_technician(args.technician)


def _visit(args: argparse.Namespace) -> dict[str, Any]:
    from device.provision.commissioning import OldMeter

    old = OldMeter(id=args.replaces, import_wh=args.old_import_wh, export_wh=args.old_export_wh)
    return {
        "technician": args.technician or SIMULATED_TECHNICIAN * args.simulate,
        "seals": tuple(args.seal),
        "old_meter": old if args.replaces else None,
        "note": args.note,
    }


def _place(args: argparse.Namespace) -> Any:
    from device.provision.registered import Place

    if args.verb == "check":
        return Place(args.meter, "")
    return Place(args.meter, args.node, args.replaces, args.shared_node)


def _confirm(args: argparse.Namespace, question: str) -> bool:
    """Ask at a terminal; elsewhere, and with --yes, nobody is asked."""
    if args.yes or args.json or not sys.stdin.isatty():
        return True
    return input(f"      ? {question} [Y/n] ").strip().lower() in ("", "y", "yes")


def _show(args: argparse.Namespace, step: "Step") -> None:
    if args.json:
        content = {"step": step.number, "title": step.title, "outcome": step.outcome}
        print(json.dumps({**content, "words": step.words, "ms": round(step.seconds * 1000)}))
        return
    line = f"[{step.number}/8] {step.title:18} {step.outcome:8}{step.seconds:4.0f} s"
    print(f"{line}  {step.words}", flush=True)


def _end(args: argparse.Namespace, walk: "Steps", done: "list[Step]", seconds: float) -> None:
    """Warnings, papers, and the last lines."""
    from device.provision import enrolling, papers

    for warning in walk.found.warnings:
        print(f"look: {warning}", file=sys.stderr)
    technician = walk.order.technician
    written: list[Path] = []
    if not args.check and technician is not None:
        report = papers.of_walk(walk.found, done, technician.public, args.simulate, args.holder)
        written = papers.write(report, args.out / args.meter, walk.found.enrolment)
        label = report.label.text
    to_send = enrolling.of_papers(written)
    if args.json:
        last = {"papers": list(map(str, written)), "look": walk.found.warnings}
        more = {} if to_send is None else {"counts_from_s": to_send.from_s}
        print(json.dumps({**last, **more, "ms": round(seconds * 1000)}))
    elif written:
        print(f"DONE in {seconds:.0f} s. Label {label}")
        print(f"Papers in {written[0].parent}: {', '.join(path.name for path in written)}")
        if to_send is not None:
            print("\n".join(to_send.words(args.genesis, args.validator)))
    else:
        differ = sum(step.outcome == "failed" for step in done)
        words = "1 step differs" if differ == 1 else f"{differ or 'no'} steps differ"
        print(f"Nothing was changed; {words}.")
