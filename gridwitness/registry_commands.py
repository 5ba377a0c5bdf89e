"""`gridwitness registry`: changes of the registry, prepared, signed, passed around, submitted.

Decides the commands' arguments and what is printed. What a change says is decided by
`registry_file`, how it is brought into a block by `device.provision.submission`.
"""

import argparse
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from device.provision.keys import signer_of
from device.provision.submission import PATIENCE_S, Submission, Validator
from gridwitness import registry_file, registry_show, registry_state
from gridwitness.holder_link import add_new_link
from gridwitness.registry_fit import check_fit
from gridwitness.registry_parties import check_part, parties_of
from hsm.durable import replace, write_new
from hsm.registered import registered_key
from validator.client import Client
from validator.desk import Desk, Trust
from wire.announcement import SignedAnnouncement
from wire.errors import Refused
from wire.genesis import Genesis
from wire.keys import PublicKey
from wire.resolution import DISMISS, SETTLE, ResolveCase
from wire.transaction import Body
from wire.transaction_bodies import (
    RETIRES,
    ROLES,
    TABLE_OF,
    CompromiseKey,
    EnrolMeter,
    Entry,
    ReplaceMeter,
    ResiteMeter,
    Retirement,
    RotateKey,
    Withdraw,
)

_DESCRIPTION = """
Prepare a change of the registry, sign it, pass the file on to whoever signs next, submit it to a
validator and wait until a block has it. docs/REGISTRY.md says who signs what. Files that were
signed apart are put together when they are submitted together.
"""
_AGAIN = "prepare it again with a later --from"

REMEDIES = {
    "transaction-of-other-network": "name a validator of the network that it was made for",
    "transaction-expired": "prepare it again",
    "from-has-passed": _AGAIN,
    "unfit-from": "prepare it again with --from at most 35 days ahead",
    "conflicting-change": _AGAIN,
    "not-signed-by-operator": "gridwitness registry sign FILE --key KEY of the grid operator",
    "not-signed-by-technician": "let a technician of the zone's operator sign it",
    "not-signed-by-new-key": "gridwitness registry sign FILE --key KEY of each key that comes in",
    "not-signed-by-reader": "gridwitness registry sign FILE --key KEY of its gateway (reader)",
    "not-signed-by-meter": "it begins at the meter: gridwitness meter provision",
    "stranger-signed": "prepare it again and let only its parties sign",
    "key-exchanged": "prepare it from what registry show TABLE ID --json prints now: another key"
    " is registered by then (a new key comes by hsm rotate and registry prepare rotate-key)",
    "transaction-replayed": "nothing: it is on the ledger",
    "no-such-change": "gridwitness registry show TABLE ID tells what is to come, with its id",
    "case-moved-on": "look at the case again and prepare it with its newest --revision",
}


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `registry`."""
    parser = commands.add_parser(
        "registry", help="change who and what is registered", description=_DESCRIPTION
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _add_prepare(verbs)
    add_new_link(verbs)
    _add_sign(verbs)
    registry_show.add_show(verbs)
    _add_submit(verbs)


# prepare


def _add_prepare(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    prepare = verbs.add_parser("prepare", help="write a change that nobody has signed yet")
    kinds = prepare.add_subparsers(dest="kind", required=True, metavar="KIND")
    for kind, words in (
        ("enrol-meter", "register a new meter (meter provision makes this on site)"),
        ("re-site-meter", "register a known meter elsewhere, or otherwise"),
        ("replace-meter", "register a new meter in an old one's place"),
    ):
        parser = _kind(kinds, kind, words, _commissioned)
        parser.add_argument("--entry", type=Path, required=True, metavar="JSON", help=_ENTRY)
        parser.add_argument(
            "--record", type=Path, required=True, metavar="FILE", help="commissioning.cbor"
        )
        if kind == "replace-meter":
            parser.add_argument("--old", required=True, metavar="METER", help="what it replaces")
    for kind in TABLE_OF:
        parser = _kind(kinds, kind, _in_words(kind), _entry)
        parser.add_argument("--entry", type=Path, required=True, metavar="JSON", help=_ENTRY)
    for kind in RETIRES:
        parser = _kind(kinds, kind, f"{_in_words(kind)}: its registration ends", _retirement)
        parser.add_argument("id", metavar="ID", help="whose registration ends")
    rotate = _kind(kinds, "rotate-key", "let a key follow another", _rotation, begins=False)
    rotate.add_argument("announcement", type=Path, metavar="FILE", help="of hsm rotate")
    ends = _kind(kinds, "compromise-key", "end a key at once", _compromise, begins=False)
    ends.add_argument("holder", metavar="HOLDER", help="id of a meter, gateway or technician")
    ends.add_argument("role", choices=tuple(ROLES), help="what the key is for")
    ends.add_argument(
        "--public", metavar="KEY", help="the public key as text; else the genesis file's"
    )
    words = "let a change that was accepted for later not come to be"
    back = _kind(kinds, "withdraw", words, _withdrawal, begins=False)
    back.add_argument("change", metavar="FILE|ID", help="the change's file, or its transaction id")
    case = _kind(kinds, "resolve-case", "decide about a window", _resolution, begins=False)
    case.add_argument("zone", metavar="ZONE", help="the case's zone")
    case.add_argument("start_s", type=int, metavar="START", help="its window's start, Unix s")
    case.add_argument("decision", choices=(SETTLE, DISMISS), help="credit what is signed, or not")
    case.add_argument("--revision", type=int, required=True, metavar="N", help="the newest seal's")
    case.add_argument("--finding", required=True, metavar="TEXT", help="what was found, in words")


_ENTRY = "the entry as the genesis file writes it"


def _in_words(kind: str) -> str:
    """`add-gateway` as people say it."""
    verb, _, what = kind.partition("-")
    if kind in TABLE_OF and what == "meter":
        return f"{verb} a meter that cannot sign and is read by a gateway"
    return f"{verb} an unmetered load" if what == "unmetered" else f"{verb} a {what}"


def _kind(
    kinds: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    words: str,
    make: Callable[[argparse.Namespace, Genesis], Body],
    begins: bool = True,
) -> argparse.ArgumentParser:
    parser = kinds.add_parser(name, help=words, description=f"{name}: {words}.")
    registry_show.add_known(parser, "the network, and what it is checked against", required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="new file (.gwt)")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    if begins:
        parser.add_argument(
            "--from",
            dest="begins",
            default=f"+{registry_file.AHEAD_S}",
            metavar="TIME",
            help="first interval: Unix seconds, 2026-12-01T10:00 (UTC) or +SECONDS;"
            " an hour ahead by default",
        )
    parser.set_defaults(run=_prepare, make=make)
    return parser


def _prepare(args: argparse.Namespace) -> int:
    genesis = Genesis.load(args.genesis)
    transaction = registry_file.prepared(genesis, args.make(args, genesis))
    with registry_show.known_of(args, transaction) as known:
        assert known is not None
        check_fit(transaction, genesis, known)
        write_new(args.out, registry_file.content(transaction))
        registry_show.say(args, transaction, known, f"written      {args.out}: sign it next")
    return 0


def _begins(args: argparse.Namespace, genesis: Genesis) -> int:
    return registry_file.first_interval(genesis, args.begins)


def _commissioned(args: argparse.Namespace, genesis: Genesis) -> Body:
    from_s = _begins(args, genesis)
    entry, record = registry_file.entry_of(args.entry, from_s), args.record.read_bytes()
    if args.kind == "replace-meter":
        return ReplaceMeter(entry, from_s, record, args.old)
    make = EnrolMeter if args.kind == "enrol-meter" else ResiteMeter
    return make(entry, from_s, record)


def _entry(args: argparse.Namespace, genesis: Genesis) -> Body:
    from_s = _begins(args, genesis)
    return Entry(args.kind, registry_file.entry_of(args.entry, from_s), from_s)


def _retirement(args: argparse.Namespace, genesis: Genesis) -> Body:
    return Retirement(args.kind, args.id, _begins(args, genesis))


def _rotation(args: argparse.Namespace, genesis: Genesis) -> Body:
    body = RotateKey(SignedAnnouncement.open(args.announcement.read_bytes()))
    if body.statement.network != genesis.network:
        raise Refused(f"{args.announcement} is for another network than {genesis.topic_name}")
    fit_s = registry_file.first_interval(genesis, str(body.from_s))
    if fit_s != body.from_s:
        raise Refused(
            f"{args.announcement} holds from {body.from_s}, which is no interval's start:"
            f" gridwitness hsm rotate --from {fit_s}"
        )
    return body


def _compromise(args: argparse.Namespace, genesis: Genesis) -> Body:
    public = (
        registered_key(genesis, args.holder, args.role)
        if args.public is None
        else PublicKey.from_text(args.public)
    )
    return CompromiseKey(args.holder, args.role, public.thumbprint)


def _withdrawal(args: argparse.Namespace, genesis: Genesis) -> Body:
    path = Path(args.change)
    if not path.is_file():
        try:
            return Withdraw.of_items([Withdraw.kind, bytes.fromhex(args.change)])
        except ValueError:
            raise Refused(f"{args.change}: neither a file nor a transaction's id") from None
    change = registry_file.read(path)
    if change.network != genesis.network:
        raise Refused(f"{path} is for another network than {genesis.topic_name}")
    return Withdraw(change.id)


def _resolution(args: argparse.Namespace, _: Genesis) -> Body:
    said = [args.zone, args.start_s, args.revision, args.decision, args.finding]
    return ResolveCase.of_items([ResolveCase.kind, *said])


# sign


def _add_sign(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser("sign", help="add a signature to a change's file")
    parser.add_argument("file", type=Path, metavar="FILE", help="the change (.gwt)")
    parser.add_argument(
        "--key",
        required=True,
        action="append",
        help="an encrypted PEM file, or pkcs11:token=…;object=…; may be given several times",
    )
    parser.add_argument(
        "--passphrase-file", type=Path, metavar="FILE", help="opens the key file; else asked for"
    )
    parser.add_argument("--softhsm2-conf", type=Path, metavar="FILE", help="for tests and demos")
    registry_show.add_known(parser, "tells whose the keys are and who has a part in it")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.set_defaults(run=_sign)


def _sign(args: argparse.Namespace) -> int:
    transaction = registry_file.read(args.file)
    endings = []
    with registry_show.known_of(args, transaction) as known:
        for key in args.key:
            with signer_of(key, args.passphrase_file, args.softhsm2_conf) as signer:
                who = "" if known is None else check_part(transaction, signer.public, known)
                name = who or f"the key {signer.public.kid.hex()}"
                if transaction.is_signed_by(signer.public):
                    endings.append(f"signed now   by nobody: {name} had signed already")
                else:
                    transaction = transaction.with_signature(signer)
                    endings.append(f"signed now   by {name}")
        if known is None or parties_of(transaction, known) is None:
            endings.append("not checked  who has a part in it: --genesis FILE or --from-validator")
        replace(args.file, registry_file.content(transaction))
        endings.append(f"written      {args.file}: pass it on, or submit it")
        registry_show.say(args, transaction, known, "\n".join(endings))
    return 0


# submit


def _add_submit(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser("submit", help="bring a signed change into a block")
    parser.add_argument(
        "file", type=Path, nargs="+", metavar="FILE", help="the change, or copies signed apart"
    )
    parser.add_argument(
        "--to",
        action="append",
        required=True,
        metavar="URL",
        help="http://HOST:PORT of a validator's API; may be given several times",
    )
    parser.add_argument("--ca", type=Path, metavar="FILE", help="vouches for https:// ones")
    parser.add_argument(
        "--wait", type=float, default=PATIENCE_S, metavar="S", help="default %(default)s s"
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.set_defaults(run=_submit)


def _submit(args: argparse.Namespace) -> int:
    transaction = registry_file.together([registry_file.read(path) for path in args.file])
    if not transaction.sign.signatures:
        raise Refused(f"nobody has signed it: gridwitness registry sign {args.file[0]} --key KEY")
    with ExitStack() as desks:
        validators = []
        for url in args.to:
            desk = Desk(url, Trust(args.ca))
            desks.callback(desk.close)
            validators.append(Validator(desk))
        final = Submission(
            transaction,
            validators,
            lambda words: _tell(words, len(args.to)),
            args.wait,
            what="change",
            remedies=REMEDIES,
            otherwise="gridwitness registry show FILE",
        ).run()
    height = {"height": final.height}
    with Client([final.validator], trust=Trust(args.ca)) as client:
        state = registry_state.after_submission(client, transaction, final.height)
    registry_show.say(args, transaction, None, f"final        {state}", **height)
    return 0


def _tell(words: str, validators: int) -> None:
    """Print how it goes; the refusal of the only one ends the command, which tells it."""
    if validators > 1 or ": refuses: " not in words:
        print(words, file=sys.stderr)
