"""`gridwitness verify --from`: the receipt comes from running validators, and nobody is believed.

Decides whom to ask for which receipt and with which leave to read: a holder's link, or an
authority's key. What comes is verified as a file is.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from device.provision.keys import add_key_options, signer_of
from validator.client import Client
from validator.desk import Reader, Trust
from wire.access import HolderSecret, link_parts
from wire.errors import Malformed, Refused
from wire.genesis import Genesis

WAIT_S = 0.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what says where a receipt is asked for."""
    asked = parser.add_argument_group("from running validators, in place of FILE")
    asked.add_argument(
        "--from",
        action="append",
        default=[],
        dest="validators",
        metavar="URL",
        help="a validator's address; may be given several times, the next is asked in its turn",
    )
    asked.add_argument("--meter", metavar="ID", help="whose reading; a holder's link says it too")
    asked.add_argument("--sequence", type=int, metavar="N", help="which reading")
    asked.add_argument(
        "--holder",
        metavar="LINK",
        help="the holder's link, its secret, or a file with either, where readings are private",
    )
    asked.add_argument("--ca", type=Path, metavar="FILE", help="vouches for https:// validators")
    asked.add_argument(
        "--wait", type=float, default=WAIT_S, metavar="S", help="for a receipt that is to come"
    )
    asked.add_argument("--save", type=Path, metavar="FILE", help="keep the receipt")
    add_key_options(parser, "authority", required=False)


def fetch(args: argparse.Namespace, genesis: Genesis | None) -> bytes:
    """The receipt, verified from the genesis file down.

    Raises:
        Refused: nobody has it, it is not for who asks, or what is handed out does not hold.
        Unavailable: no validator answers now.
    """
    if genesis is None:
        raise Refused("a receipt is checked with --genesis")
    urls, meter, secret = _named(args)
    if not urls or meter is None or args.sequence is None:
        raise Refused("which receipt, and whom to ask: --from URL --meter ID --sequence N")
    with (
        reader_of(args, genesis, secret) as reader,
        Client(urls, genesis, reader=reader, trust=Trust(args.ca)) as client,
    ):
        found = client.await_receipt(meter, args.sequence, args.wait) if args.wait else None
        found = found or client.receipt(meter, args.sequence)
    if args.save is not None:
        args.save.write_bytes(found.receipt.encoded)
    return found.receipt.encoded


def _named(args: argparse.Namespace) -> tuple[list[str], str | None, HolderSecret | None]:
    """Validators, meter and secret, of the options and of the link."""
    urls, meter = list(args.validators), args.meter
    if args.holder is None:
        return urls, meter, None
    text = args.holder
    if Path(text).is_file():
        text = Path(text).read_text().strip()
    try:
        address, named, secret = link_parts(text)
    except Malformed:
        return urls, meter, HolderSecret.from_text(text)
    return urls or [address], meter or named, secret


@contextmanager
def reader_of(
    args: argparse.Namespace, genesis: Genesis, secret: HolderSecret | None
) -> Iterator[Reader | None]:
    """Who asks, by the options of `add_key_options`: an authority, a holder, or just anybody."""
    if args.authority_key is None:
        yield None if secret is None else Reader(genesis.network, secret)
        return
    with signer_of(args.authority_key, args.passphrase_file, args.softhsm2_conf) as authority:
        yield Reader(genesis.network, authority=authority)
