"""`gridwitness meter technician`: a technician's key file, and what the network must know of it.

Decides that a key is made once: a file that is there is opened and shown, never replaced. Leaves
registering to those who write the genesis file, and keys in tokens to `gridwitness hsm key`.
"""

import argparse
import getpass
import json
import sys
from pathlib import Path

from device.provision.at_prompt import check_technician
from device.provision.keys import passphrase_of
from hsm import filekey
from wire import fields
from wire.errors import Unavailable
from wire.keys import ES256

_HELP = "make a technician's key file, or show the public half of one"
_DESCRIPTION = """
Makes a P-256 key in a new file, encrypted with a passphrase, and prints the technician's entry for
a network's genesis file as JSON. The same command again opens the file and prints the same entry.
The entry holds nothing secret; whoever makes the network's genesis file puts it there.
"""


def add_technician_command(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    """Add `technician`."""
    from device.provision.cli import told

    verb = verbs.add_parser("technician", help=_HELP, description=_DESCRIPTION)
    verb.add_argument("file", type=Path, metavar="FILE", help="the key file, as technician.pem")
    verb.add_argument("--id", required=True, help="technician id, at most 24 characters")
    verb.add_argument("--name", default="", help="of the person; the id when not given")
    verb.add_argument("--operator", required=True, help="id of the authority who sends them")
    verb.add_argument("--passphrase-file", type=Path, metavar="FILE", help="else the terminal asks")
    verb.set_defaults(run=told(run))


def run(args: argparse.Namespace) -> int:
    """Make the key or open it; raises Refused or Unavailable."""
    fields.identifier(args.id, "--id")
    fields.identifier(args.operator, "--operator")
    check_technician(args.id)
    if args.file.exists():
        public = filekey.load(args.file, passphrase_of(args.file, args.passphrase_file)).public
    else:
        public = filekey.create(args.file, ES256, _new_passphrase(args))
        print(f"made {args.file}; keep it and its passphrase apart", file=sys.stderr)
    entry = {"id": args.id, "name": args.name or args.id, "operator": args.operator}
    print(json.dumps({**entry, "key": public.text}, ensure_ascii=False))
    return 0


def _new_passphrase(args: argparse.Namespace) -> bytes:
    """Of a new key: at a terminal it is typed twice."""
    beside = args.file.parent / "passphrase"
    if args.passphrase_file is not None or beside.is_file() or not sys.stdin.isatty():
        return passphrase_of(args.file, args.passphrase_file)
    first = getpass.getpass(f"New passphrase of {args.file}: ")
    if first != getpass.getpass("The same again: "):
        raise Unavailable("the two passphrases differ; no key was made")
    return first.encode()
