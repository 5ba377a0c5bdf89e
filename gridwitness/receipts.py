"""`gridwitness receipts`: a meter's receipts into a folder, each verified before it is kept.

What is there already is not asked for again, so an interrupted run goes on where it ended.
"""

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from device.provision.keys import add_key_options
from gridwitness.progress import Bar
from hsm.durable import replace
from wire.access import HolderSecret, link_parts
from wire.errors import Refused
from wire.genesis import Genesis

if TYPE_CHECKING:
    from validator.client import Client

_SUFFIX = ".receipt"
_DAY = "%Y-%m-%d"


def add_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `receipts`."""
    parser = subparsers.add_parser(
        "receipts",
        help="fetch a meter's receipts into a folder, each verified",
        description="Asks validators for the receipts of a meter, verifies each from the genesis "
        "file down and keeps it as METER-SEQUENCE.receipt. `gridwitness verify FOLDER` then says "
        "what they prove together, offline. Where readings are private, --link is the holder's way "
        "to them and --authority-key an authority's.",
    )
    parser.add_argument("meter", nargs="?", metavar="METER", help="not needed with --link")
    parser.add_argument("--genesis", type=Path, required=True, metavar="FILE")
    parser.add_argument(
        "--dir", type=Path, required=True, metavar="DIR", help="made when it is not there"
    )
    parser.add_argument(
        "--at", action="append", metavar="URL", help="a validator's API; may be given several times"
    )
    parser.add_argument("--link", metavar="LINK", help="the meter's holder link, or a file of it")
    add_key_options(parser, "authority", required=False)
    parser.add_argument("--ca", type=Path, metavar="FILE", help="vouches for https:// ones, PEM")
    parser.add_argument("--since", type=_day, default=0, metavar="YYYY-MM-DD", help="UTC")
    parser.add_argument("--until", type=_day, metavar="YYYY-MM-DD", help="UTC, not included")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on stdout")
    parser.set_defaults(run=run)


def _day(text: str) -> int:
    try:
        return int(datetime.strptime(text, _DAY).replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day: write 2026-11-21") from None


def run(args: argparse.Namespace) -> int:
    """Fetch, verify, keep; returns the exit status."""
    from gridwitness.verify_from import reader_of
    from validator.client import Client
    from validator.desk import Trust

    genesis = Genesis.load(args.genesis)
    meter, urls, secret = _whom(args)
    args.dir.mkdir(parents=True, exist_ok=True)
    with (
        reader_of(args, genesis, secret) as reader,
        Client(urls, genesis, reader=reader, trust=Trust(args.ca)) as client,
    ):
        kept, there = _fetch(client, meter, args)
    found = {"meter": meter, "folder": str(args.dir), "fetched": kept, "already_there": there}
    if args.json:
        print(json.dumps(found))
    else:
        new = "1 receipt" if kept == 1 else f"{kept} receipts"
        old = "1 was" if there == 1 else f"{there} were"
        print(f"{new} of {meter} verified and kept in {args.dir}; {old} there")
        print(f"  gridwitness verify {args.dir} --genesis {args.genesis}")
    return 0


def _whom(args: argparse.Namespace) -> tuple[str, list[str], HolderSecret | None]:
    """Meter, validators and secret; raises Refused when they are not all named."""
    if args.link is None:
        if args.meter is None or not args.at:
            raise Refused("say which METER, and a validator with --at; or give --link")
        return args.meter, args.at, None
    text = Path(args.link).read_text().strip() if Path(args.link).is_file() else args.link
    address, meter, secret = link_parts(text)
    if args.meter not in (None, meter):
        raise Refused(f"the link is of meter {meter}, not of {args.meter}")
    return meter, [*(args.at or []), address], secret


def _fetch(client: "Client", meter: str, args: argparse.Namespace) -> tuple[int, int]:
    span = {"from_s": args.since} | ({} if args.until is None else {"until_s": args.until})
    readings = list(client.readings(meter, **span))
    if not readings:
        raise Refused(f"meter {meter} has no accepted reading of that time")
    kept = there = 0
    with Bar("receipts", len(readings), sys.stderr) as bar:
        for number, reading in enumerate(readings, start=1):
            file = args.dir / f"{meter}-{reading.sequence}{_SUFFIX}"
            if file.exists():
                there += 1
            else:
                replace(file, client.receipt(meter, reading.sequence).receipt.encoded)
                kept += 1
            bar.show(number)
    return kept, there
