"""`gridwitness meter enrol`: an operator signs an enrolment and brings it to the network."""

import argparse
import json
from contextlib import ExitStack, closing
from pathlib import Path

from device.provision import enrolment
from device.provision.enrolment import Examined
from device.provision.keys import add_key_options, signer_of
from device.provision.submission import PATIENCE_S, Final, Submission, Validator
from wire.errors import Refused
from wire.event import time_words
from wire.genesis import Genesis
from wire.transaction import Transaction

_HELP = "bring a commissioned meter's enrolment to the network"
_DESCRIPTION = """
Adds the grid operator's signature to an enrolment file that 'meter provision' wrote, sends it to a
validator and waits until a block has it. The signed file is kept: the same command again goes on
where it was, and enrols nothing twice. With several --validator the next one is asked when one is
away. With --genesis the technician's signature and the operator's key are checked before anything
is signed.
"""


def add_enrol_command(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    """Add `enrol`."""
    from device.provision.cli import told

    verb = subparsers.add_parser("enrol", help=_HELP, description=_DESCRIPTION)
    verb.add_argument("file", type=Path, metavar="FILE", help="the enrolment (METER.gwe)")
    verb.add_argument(
        "--validator",
        action="append",
        default=[],
        metavar="URL",
        help="http://HOST:PORT of a validator's API; may be given several times",
    )
    verb.add_argument("--ca", type=Path, metavar="FILE", help="vouches for https:// validators")
    verb.add_argument("--genesis", type=Path, metavar="FILE", help="the network's genesis file")
    verb.add_argument("--check", action="store_true", help="only show it; sign and send nothing")
    verb.add_argument("--wait", type=float, default=PATIENCE_S, metavar="S", help="default 120 s")
    verb.add_argument("--json", action="store_true", help="end with one JSON object")
    add_key_options(verb, "operator", required=False)
    verb.set_defaults(run=told(run))


def run(args: argparse.Namespace) -> int:
    """Run `enrol`."""
    genesis = None if args.genesis is None else Genesis.load(args.genesis)
    examined = enrolment.examine(enrolment.read(args.file), genesis)
    if not args.json:
        print("\n".join(enrolment.described(examined)))
        if genesis is None:
            print("not checked    technician's and operator's keys: give --genesis")
    if args.check:
        _report(args, examined, examined.transaction, None)
        return 0
    if not args.validator:
        raise Refused("nobody to send it to: give --validator http://HOST:PORT, or --check")
    with ExitStack() as stack:
        asked = [closing(args.desk(url, args.ca)) for url in args.validator]
        validators = [Validator(stack.enter_context(each)) for each in asked]
        transaction = _signed(args, examined)
        tell = (lambda _: None) if args.json else print
        final = Submission(transaction, validators, tell, args.wait).run()
    if not args.json:
        print(
            f"enrolled       {examined.body.meter}, in block {final.height};"
            f" its readings count from {time_words(examined.body.from_s)}"
        )
    _report(args, examined, transaction, final)
    return 0


def _signed(args: argparse.Namespace, examined: Examined) -> Transaction:
    """With the operator's signature, which is written to the file before anything is sent."""
    if args.operator_key is None:
        if not examined.operator_signed:
            raise Refused("the operator has not signed it: give --operator-key")
        return examined.transaction
    with signer_of(args.operator_key, args.passphrase_file, args.softhsm2_conf) as operator:
        transaction = enrolment.by_operator(examined, operator)
    if transaction.encoded != examined.transaction.encoded:
        enrolment.write(args.file, transaction)
    return transaction


def _report(
    args: argparse.Namespace, examined: Examined, transaction: Transaction, final: Final | None
) -> None:
    if not args.json:
        return
    told = {
        "meter": examined.body.meter,
        "node": examined.node,
        "zone": examined.zone,
        "key": examined.key.text,
        "configuration_id": examined.record.configuration_id.hex(),
        "technician": None if examined.technician is None else examined.technician.id,
        "operator": None if examined.operator is None else examined.operator.id,
        "from_s": examined.body.from_s,
        "network": transaction.network.hex(),
        "transaction": transaction.id.hex(),
        "signatures": len(transaction.sign.signers),
        "height": None if final is None else final.height,
    }
    print(json.dumps(told))
