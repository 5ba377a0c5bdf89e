"""`gridwitness meter acknowledge`: a technician has seen to what stands in a meter's status.

Decides what is shown and asked before the meter signs, and when the command has failed: also when
something stands again at once. Leaves making and verifying the event to `at_prompt`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from device.provision.at_prompt import AtPrompt
    from device.provision.console import Console
    from device.provision.standing import Standing

_HELP = "have a meter sign that a technician saw to what stands (covers, magnet, changes)"
_DESCRIPTION = """
Shows which status bits of a meter stand (cover opened, terminal cover opened, magnet, configuration
or software changed) and since which event; after a yes the meter signs an event that names the
technician and the bits, and its records carry them no more. The events that told of them stay. The
event is fetched and verified with the key that the board proves. Close the covers first: what is
open stands again at once. On a locked meter press the reset button when it is asked for. The meter
rests meanwhile and is started again at the end. Exit status 0: nothing stands any more.
"""


@dataclass
class Told:
    """What the command found and did, for programs."""

    meter: str
    """Meter id."""

    kid: str
    """Of the key that the board proved."""

    stands: list[dict[str, Any]] = field(default_factory=list)
    """What stood: bit, name, event, time_s."""

    acknowledged: dict[str, Any] | None = None
    """The event: number, time_s, signed; None when nothing stood."""

    left: list[dict[str, Any]] = field(default_factory=list)
    """What stands again."""


def add_acknowledge_command(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", told: Any
) -> None:
    """Add `acknowledge`."""
    from device.provision.cli import add_port

    verb = verbs.add_parser("acknowledge", help=_HELP, description=_DESCRIPTION)
    verb.add_argument("place", nargs="?", metavar="PORT", help="as --port")
    add_port(verb)
    verb.add_argument(
        "--technician", default="", help="id as registered, at most 24 characters; needed"
    )
    verb.add_argument("--yes", action="store_true", help="ask nothing")
    verb.add_argument("--json", action="store_true", help="one JSON object")
    verb.set_defaults(run=told(run))


def run(args: argparse.Namespace) -> int:
    """Acknowledge what stands; raises a Fault."""
    from device.provision.cli import port_of, tell
    from device.provision.console import Patience, session
    from device.provision.running import back_to_work

    technician = _technician(args)
    args.port = args.place or args.port
    with port_of(args) as port, session(port, tell, Patience()) as console:
        try:
            found, left = _acknowledge(args, console, technician)
        finally:
            back_to_work(console)
    _end(args, found, left)
    return 0


def _technician(args: argparse.Namespace) -> str:
    from device.provision import faults
    from device.provision.at_prompt import check_technician

    name = str(args.technician) or ("simulated" if args.simulate else "")
    if not name:
        raise faults.BAD_ARGUMENT.fault(what="--technician says who acknowledges, and is missing")
    check_technician(name)
    return name


def _acknowledge(
    args: argparse.Namespace, console: "Console", technician: str
) -> "tuple[Told, Sequence[Standing]]":
    from device.provision import asked, faults, looking
    from device.provision.at_prompt import AtPrompt
    from device.provision.running import restart, window_ms

    identity = asked.identity(console)
    if not identity.meter or not identity.has_record:
        raise faults.NO_METER.fault(port=console.port)
    asked.configuration_id(console)
    public = looking.key(console)
    _give_time(console)
    made = AtPrompt(console, identity.meter, public)
    stands = made.standing()
    found = Told(identity.meter, public.kid.hex(), [_plain(each) for each in stands])
    if not args.json:
        print(f"meter {found.meter}, key kid {found.kid}")
    left: Sequence[Standing] = ()
    if stands:
        _confirm(args, stands, technician)
        left = _sign(args, made, technician, found)
    restart(console, window_ms(identity.config))
    return found, left


def _give_time(console: "Console") -> None:
    """An event should say when: a board that lost the time gets this computer's, as in step 5."""
    from device.provision import asked
    from device.provision.cli import tell
    from device.provision.steps import computer_time

    if not asked.knows_time(console):
        now_s = computer_time()
        asked.set_clock(console, int(now_s), int(now_s * 1000) % 1000)
        tell("the meter did not know the time: it has this computer's now")


def _confirm(args: argparse.Namespace, stands: "Sequence[Standing]", technician: str) -> None:
    """Show what stands; raises a Fault unless the person says yes."""
    from device.provision import faults

    if not args.json:
        for each in stands:
            print(f"stands: {each.words}", flush=True)
    if args.yes:
        return
    question = f"Have you seen to it, and shall the meter sign that {technician} acknowledges it?"
    if args.json or not sys.stdin.isatty():
        raise faults.NOT_CONFIRMED.fault()
    if input(f"? {question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise faults.NOT_CONFIRMED.fault()


def _sign(
    args: argparse.Namespace, made: "AtPrompt", technician: str, found: Told
) -> "Sequence[Standing]":
    from wire.event import time_words

    signed = made.acknowledge(technician)
    event = signed.event
    found.acknowledged = {
        "event": event.number,
        "time_s": event.time_s,
        "technician": technician,
        "signed": signed.encoded.hex(),
    }
    left = made.standing()
    found.left = [_plain(each) for each in left]
    if not args.json:
        names = ", ".join(each["name"] for each in found.stands)
        print(f"event {event.number} ({time_words(event.time_s)}), signed by the meter, verified:")
        print(f"  {technician} acknowledges {names}")
    return left


def _plain(standing: "Standing") -> dict[str, Any]:
    since = standing.since
    return {
        "bit": standing.bit,
        "name": standing.name,
        "event": None if since is None else since.number,
        "time_s": None if since is None else since.time_s,
    }


def _end(args: argparse.Namespace, found: Told, left: "Sequence[Standing]") -> None:
    from device.provision import faults

    if args.json:
        print(json.dumps(asdict(found)))
    if left:
        raise faults.STILL_STANDS.fault(names=", ".join(each.words for each in left))
    if not args.json:
        print("Nothing stands." if found.acknowledged else "Nothing stands: nothing was signed.")
