"""`gridwitness meter label`: read a label, and hold a key against it (WELMEC 7.2, L5).

Decides nothing but words: whoever stands before a meter checks that the key in hand is the one of
this housing.
"""

import argparse

from device.provision.label import Label, groups
from hsm.publickey import read_key

_DESCRIPTION = """
Reads the text of a meter's label, scanned or typed, and says which meter and key it names. With
--key it also says whether that key is the one on the label; exit status 1 when it is not, or when a
character of the label is wrong.
"""


def add_label_command(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    """Add `label`."""
    verb = subparsers.add_parser(
        "label", help="read a label, hold a key against it", description=_DESCRIPTION
    )
    verb.add_argument("text", metavar="TEXT", help="GW1:METER:KEY:FINGERPRINT:CHECK")
    verb.add_argument("--key", help="the meter's public key: es256:… or a file")
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run `label`."""
    label = Label.parse(args.text)
    print(f"meter        {label.meter}")
    print(f"key          {groups(label.kid)}")
    print(f"fingerprint  {groups(label.fingerprint)}")
    if args.key is not None:
        label.check_key(read_key(args.key))
        print("the key is the one on the label")
    return 0
