"""`gridwitness registry new-link`: another link for a household, after which the old one stops.

Makes the secret and the change of the registry that names its hash. Decides that the secret goes
into a file of its owner's only, and never into the change; what a link opens, the validators
decide (`validator.app.holders`).
"""

import argparse
from pathlib import Path

from gridwitness import registry_file
from gridwitness.registry_fit import check_fit
from gridwitness.registry_show import add_known, known_of, say
from hsm.durable import write_new
from wire.access import HolderSecret
from wire.errors import Refused
from wire.genesis import Genesis
from wire.transaction_bodies import LEAKED, MOVED, ChangeHolder

_DESCRIPTION = """
Make a new link with which a household reads its meter, and the change that puts it in the old
one's place. The link is written to a file for whoever hands it over; the zone's operator signs the
change and submits it, and the old link stops. --leaked: somebody else may have the old link; the
new one opens all that the old one did, and the old one nothing any more. --moved: another household
moves in; the new link opens intervals from --from on, the old one those before.
"""


def add_new_link(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `new-link`."""
    parser = verbs.add_parser(
        "new-link",
        help="give a household another link to its readings; the old one stops",
        description=_DESCRIPTION,
    )
    parser.add_argument("meter", metavar="METER", help="whose readings the link opens")
    cause = parser.add_mutually_exclusive_group(required=True)
    for name, words in (
        (LEAKED, "others may have the old link: it opens nothing any more"),
        (MOVED, "another household: the old link keeps the time before --from"),
    ):
        cause.add_argument(f"--{name}", dest="cause", action="store_const", const=name, help=words)
    parser.add_argument("--explorer", metavar="URL", help="a validator's page, for the link")
    link = parser.add_mutually_exclusive_group(required=True)
    link.add_argument("--link", type=Path, metavar="FILE", help="new file for the link (secret)")
    link.add_argument("--none", action="store_true", help="nobody gets a link")
    add_known(parser, "the network, and what it is checked against", required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="new file (.gwt)")
    parser.add_argument(
        "--from",
        dest="begins",
        default=f"+{registry_file.AHEAD_S}",
        metavar="TIME",
        help="first interval of the new link: Unix seconds, 2026-12-01T10:00 (UTC) or +SECONDS;"
        " an hour ahead by default",
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.set_defaults(run=_new_link)


def _new_link(args: argparse.Namespace) -> int:
    genesis = Genesis.load(args.genesis)
    from_s = registry_file.first_interval(genesis, args.begins)
    if args.out.exists():
        raise Refused(f"{args.out} is there already: name a new file")
    secret = None if args.none else HolderSecret.make()
    digest = b"" if secret is None else secret.digest
    body = ChangeHolder.of_items([ChangeHolder.kind, args.meter, digest, from_s, args.cause])
    transaction = registry_file.prepared(genesis, body)
    ending = f"written      {args.out}: the zone's operator signs it next"
    with known_of(args, transaction) as known:
        assert known is not None
        check_fit(transaction, genesis, known)
        if secret is not None:
            text = secret.text if args.explorer is None else secret.link(args.explorer, args.meter)
            write_new(args.link, f"{text}\n".encode())
            words = f"written      {args.link}: for the household, when a block has the change"
            ending = f"{words}\n{ending}"
        write_new(args.out, registry_file.content(transaction))
        say(args, transaction, known, ending)
    return 0
