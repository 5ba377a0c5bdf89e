"""`gridwitness meter`: from a boxed board to a registered meter, and what is asked of one later.

Decides the commands and how they end: a fault is one line on stderr with its code, and exit status
10 plus the step that it happened in. Leaves the work to the modules of this room, each imported
only when its command runs. A simulated board comes from outside: `gridwitness.cli` gives
`simulated_meter` by set_defaults, as tools do not know the test equipment.
"""

import argparse
import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wire.keys import PublicKey

Run = Callable[[argparse.Namespace], int]

INTERRUPTED = 130
INTERRUPTED_WORDS = "interrupted: the same command again goes on where it was"


def add_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `meter`."""
    from device.provision.acknowledge_command import add_acknowledge_command
    from device.provision.bench import add_bench_command
    from device.provision.enrol_command import add_enrol_command
    from device.provision.export_command import add_export_command
    from device.provision.label_command import add_label_command
    from device.provision.probe_command import add_probe_command
    from device.provision.provision_command import add_provision_commands
    from device.provision.read_command import add_read_command
    from device.provision.technician_command import add_technician_command

    meter = subparsers.add_parser("meter", help="provision meters, look at them, enrol them")
    verbs = meter.add_subparsers(dest="verb", required=True, metavar="VERB")
    add_provision_commands(verbs, told)
    add_probe_command(verbs, told)
    add_read_command(verbs, told)
    _add_key(verbs)
    add_acknowledge_command(verbs, told)
    add_bench_command(verbs)
    add_enrol_command(verbs)
    add_export_command(verbs)
    add_label_command(verbs)
    add_technician_command(verbs)


def told(run: Run) -> Run:
    """The same command: faults and Ctrl-C are one line and a status of their own."""

    @functools.wraps(run)
    def telling(args: argparse.Namespace) -> int:
        from device.provision.faults import Fault

        try:
            return run(args)
        except Fault as fault:
            print(fault, file=sys.stderr)
            return fault.status
        except KeyboardInterrupt:
            print(INTERRUPTED_WORDS, file=sys.stderr)
            return INTERRUPTED

    return telling


def tell(words: str) -> None:
    """Say something beside the result."""
    print(words, file=sys.stderr, flush=True)


def add_port(parser: argparse.ArgumentParser) -> None:
    """Add `--port`, and what stands in for a board."""
    parser.add_argument(
        "--port", help="the board's serial port; the only one with a board when not given"
    )
    parser.add_argument(
        "--simulate", action="store_true", help="MicroPython on this computer instead of a board"
    )
    parser.add_argument(
        "--folder", type=Path, help="with --simulate: keep the simulated board in this folder"
    )


@contextlib.contextmanager
def port_of(args: argparse.Namespace) -> Iterator[str]:
    """The port that the arguments name, find or simulate; `args.simulated` is what stands in."""
    from device.provision import ports

    if args.simulate:
        with args.simulated_meter(args.folder) as simulated:
            args.simulated = simulated
            yield simulated.port
    else:
        yield args.port or ports.only_board()


def _add_key(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    key = verbs.add_parser("key", help="a meter's public key, which its board proves to have")
    add_port(key)
    key.add_argument(
        "--form", choices=("text", "pem", "der", "cose", "kid"), default="text", help="which form"
    )
    key.add_argument("--out", type=Path, help="write it to a file")
    key.set_defaults(run=told(_key))


def _key(args: argparse.Namespace) -> int:
    from device.provision import looking
    from device.provision.console import Patience, session
    from device.provision.running import back_to_work

    with port_of(args) as port, session(port, tell, Patience()) as console:
        try:
            data = _form(looking.key(console), args.form)
        finally:
            back_to_work(console)
    if args.out:
        args.out.write_bytes(data)
    else:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
    return 0


def _form(public: "PublicKey", form: str) -> bytes:
    import base64

    from device.provision.label import spki
    from wire import cbor

    if form in ("text", "kid"):
        return (public.text if form == "text" else public.kid.hex()).encode() + b"\n"
    if form == "cose":
        return cbor.encode(public.to_cose())
    if form == "der":
        return spki(public)
    body = base64.encodebytes(spki(public)).replace(b"\n", b"")
    lines = [body[place : place + 64] for place in range(0, len(body), 64)]
    return b"\n".join([b"-----BEGIN PUBLIC KEY-----", *lines, b"-----END PUBLIC KEY-----", b""])
