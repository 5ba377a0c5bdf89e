"""What waits for a person: readings that validators refused, records of meters that do not hold.

Decides how they are shown, saved and removed; nothing else in the program ever removes one. Works
on the spool's file beside a running gateway.
"""

import argparse
import json
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from wire.errors import Refused, Unavailable

_BUSY_S = 10.0
ALL = "all"


class NothingThere(Refused):
    """Nothing is kept of that meter and sequence."""

    code = "nothing-there"


@dataclass(frozen=True, slots=True)
class Kept:
    """One reading or record that is kept for a person."""

    meter: str
    """Meter id."""

    sequence: int
    """Its sequence."""

    kind: str
    """`refused` by validators, or `apart`: never witnessed."""

    reason: str
    """Why, in words."""

    content: str
    """Its bytes, hexadecimal."""

    @property
    def name(self) -> str:
        """How it is named to remove it."""
        return f"{self.meter}:{self.sequence}"


def kept(spool: Path) -> list[Kept]:
    """Everything that is kept, by meter and sequence; raises Unavailable."""
    with _opened(spool) as database:
        return sorted(_rows(database), key=lambda each: (each.meter, each.sequence, each.kind))


def remove(spool: Path, names: Sequence[str]) -> list[Kept]:
    """Remove what is named, `meter:sequence` or `all`, and return it.

    Raises:
        NothingThere: one of the names is of nothing that is kept; nothing is removed.
        Unavailable: the spool cannot be written now.
    """
    with _opened(spool) as database:
        database.execute("BEGIN IMMEDIATE")
        there = list(_rows(database))
        known = {each.name for each in there} | {ALL}
        for name in names:
            if name not in known:
                raise NothingThere(f"nothing is kept of {name}")
        gone = [each for each in there if ALL in names or each.name in names]
        places = [(each.meter, each.sequence) for each in gone]
        database.executemany(
            "DELETE FROM reading WHERE state = 'refused' AND meter = ? AND sequence = ?", places
        )
        database.executemany("DELETE FROM apart WHERE meter = ? AND sequence = ?", places)
        database.execute("COMMIT")
        return gone


def _rows(database: sqlite3.Connection) -> Iterator[Kept]:
    for meter, sequence, code, words, encoded in database.execute(
        "SELECT meter, sequence, code, words, encoded FROM reading WHERE state = 'refused'"
    ):
        yield Kept(meter, sequence, "refused", f"{words} (code {code})", encoded.hex())
    for meter, sequence, reason, content in database.execute(
        "SELECT meter, sequence, reason, bytes FROM apart"
    ):
        yield Kept(meter, sequence, "apart", reason, content.hex())


@contextmanager
def _opened(spool: Path) -> Iterator[sqlite3.Connection]:
    """The spool's database; a fault is said in one line."""
    where = f"{spool.absolute().as_uri()}?mode=rw"
    try:
        with closing(
            sqlite3.connect(where, uri=True, isolation_level=None, timeout=_BUSY_S)
        ) as database:
            yield database
    except sqlite3.Error as reason:
        raise Unavailable(f"the spool {spool} cannot be used now: {reason}") from None


def add_command(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `gateway refused`."""
    verb = verbs.add_parser(
        "refused",
        help="show readings that were refused, and remove them when a person says so",
        description="Refused readings and records that do not hold are kept with their bytes until"
        " they are removed here.",
    )
    verb.add_argument("config", type=Path, help="gateway.toml")
    verb.add_argument(
        "--save", type=Path, metavar="FILE", help="first write what is shown to a new file, JSON"
    )
    verb.add_argument(
        "--remove",
        action="append",
        default=[],
        metavar="METER:SEQUENCE",
        help="remove this one (several times), or `all`",
    )
    verb.add_argument("--json", action="store_true", help="end with one JSON object")
    verb.set_defaults(run=show_refused)


def show_refused(args: argparse.Namespace) -> int:
    """Show, save, remove."""
    from gateway import config

    spool = config.load(args.config).spool
    if not spool.exists():
        raise Unavailable(f"there is no spool {spool} yet: the gateway was never started")
    found = kept(spool)
    if args.save is not None:
        with args.save.open("x") as out:
            json.dump([asdict(each) for each in found], out, indent=1)
    gone = remove(spool, args.remove) if args.remove else []
    if args.json:
        print(json.dumps({"kept": [asdict(each) for each in found], "removed": len(gone)}))
        return 0
    for each in found:
        print(f"{each.name:28} {each.kind:8} {each.reason}")
    words = f"{len(found)} kept" + (f", {len(gone)} of them removed now" if args.remove else "")
    print(words, file=sys.stderr)
    return 0
