"""`gridwitness meter export`: verified records for other people's programs.

Decides what is exported: only what was verified whole, a file of records against the meter's key,
a receipt against its genesis file. Nothing is written when a single record does not stand.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from device.provision.keys import TOKEN, add_key_options, signer_of
from device.provision.ocmf import Exporter, ocmf_record, unsaid
from hsm.publickey import read_key
from wire import fields
from wire.commissioning import CommissioningRecord
from wire.errors import Refused
from wire.genesis import Genesis
from wire.history import HEADS, MAX_FILE, SUFFIX, History
from wire.keys import PublicKey
from wire.reading import (
    ClockEvidence,
    Position,
    ReactiveEnergy,
    Reading,
    ReadSource,
    SignedReading,
)
from wire.receipt import Receipt
from wire.record_rules import Registered
from wire.series import examine

_HELP = "verified records as OCMF, COSE or JSON"
_DESCRIPTION = """
Exports a meter's records (.gwr) or the reading of a receipt. Everything is verified first; when one
record does not stand, nothing is exported. --ocmf writes one OCMF 1.4 fiscal record a line, signed
by --exporter-key, because a meter signs COSE only: the exporter vouches for the translation, and
the meter's own record is carried in its field UR. OCMF has one letter for a meter's status: the
signed record in UR holds more, and the status bits without a letter are named in UN. --cose writes
the meter's records as they are; --json writes one object a line.
"""


def add_export_command(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    """Add `export`."""
    verb = subparsers.add_parser("export", help=_HELP, description=_DESCRIPTION)
    verb.add_argument("file", type=Path, metavar="FILE", help="records (.gwr) or a receipt")
    form = verb.add_mutually_exclusive_group(required=True)
    form.add_argument("--ocmf", action="store_true", help="OCMF 1.4, one record a line")
    form.add_argument("--cose", action="store_true", help="the meter's bytes (CBOR sequence)")
    form.add_argument("--json", action="store_true", help="one JSON object a line")
    verb.add_argument("--key", help="the meter's public key: es256:… or a file (for records)")
    verb.add_argument("--genesis", type=Path, help="the network's genesis file")
    verb.add_argument("--sequence", type=int, metavar="N", help="only this record")
    verb.add_argument("--exporter", default="", metavar="ID", help="who vouches for --ocmf")
    verb.add_argument("--out", type=Path, metavar="FILE", help="write it there")
    add_key_options(verb, "exporter", required=False)
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run `export`."""
    public, records = _verified(args)
    if args.sequence is not None:
        records = [each for each in records if each.reading.sequence == args.sequence]
        if not records:
            raise Refused(f"{args.file} has no record {args.sequence}")
    with _form(args, public) as form:
        data = b"".join(form(each) for each in records)
    if args.ocmf:
        _say_what_is_lost(records)
    if args.out is not None:
        args.out.write_bytes(data)
    elif args.cose and sys.stdout.isatty():
        raise Refused("COSE is binary: give --out FILE")
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    return 0


def _say_what_is_lost(records: list[SignedReading]) -> None:
    """What the meter says of its readings and OCMF has no word for."""
    lost = sorted({unsaid(each.reading) for each in records} - {""})
    if lost:
        more = "" if len(lost) == 1 else f", and {len(lost) - 1} other combinations"
        print(
            f"gridwitness meter export: OCMF has no word for status bits {lost[0]}{more}:"
            " the signed record (UR) holds more, and UN names them",
            file=sys.stderr,
        )


def _verified(args: argparse.Namespace) -> tuple[PublicKey, list[SignedReading]]:
    with args.file.open("rb") as file:
        data: bytes = file.read(MAX_FILE + 1)
    if not data:
        raise Refused(f"{args.file} is empty")
    genesis = None if args.genesis is None else Genesis.load(args.genesis)
    if data.startswith(HEADS) or args.file.suffix == SUFFIX:
        return _of_history(args, History.decode(data), genesis)
    if genesis is None:
        raise Refused("a receipt is checked with --genesis, a meter's records with --key")
    receipt = Receipt.decode(data)
    receipt.verify(genesis)
    return receipt.meter_key, [SignedReading.open(receipt.reading)]


def _of_history(
    args: argparse.Namespace, history: History, genesis: Genesis | None
) -> tuple[PublicKey, list[SignedReading]]:
    if args.key is not None:
        key = read_key(args.key)
    elif genesis is not None:
        key = _registered_key(genesis, history)
    else:
        raise Refused("records are checked with --key, or with --genesis of their network")
    registered = Registered(key, _commissioned(history, key), source="the commissioning record")
    found = examine(history, registered)
    if found.faults:
        fault = found.faults[0]
        raise Refused(
            f"record {fault.sequence}: {fault.words}; nothing is exported. Try: gridwitness verify"
            f" {args.file}"
        )
    if not found.records:
        raise Refused(f"{args.file} has no records")
    opened = {each.encoded: each.opened for each in history.entries()}
    return registered.key, [each for each in opened.values() if isinstance(each, SignedReading)]


def _registered_key(genesis: Genesis, history: History) -> PublicKey:
    """The key that the genesis file registers for the meter of the first record."""
    first = next(iter(history.entries()), None)
    if first is None or not isinstance(first.opened, SignedReading):
        raise Refused("the first record cannot be read")
    meter = first.opened.reading.meter
    for entry in fields.items(genesis.registry["meters"], "genesis meters"):
        if isinstance(entry, dict) and entry.get("id") == meter and entry.get("key"):
            return PublicKey.from_text(str(entry["key"]))
    raise Refused(
        f"the genesis file has no key of meter {meter}, which may be enrolled"
        " since: give --key, as OUT/METER/key.der"
    )


def _commissioned(history: History, key: PublicKey) -> dict[int, Any]:
    """What the commissioning record of the file says that records must say, by field number."""
    if history.commissioning is None:
        return {}
    record = CommissioningRecord.open(history.commissioning)
    record.sign.verify(key)
    content = record.content
    return {2: content["meter"], 3: content["node"], 17: record.configuration_id}


@contextmanager
def _form(args: argparse.Namespace, public: PublicKey) -> Iterator[Any]:
    """What makes bytes of one record."""
    if args.cose:
        yield lambda signed: signed.encoded
    elif args.json:
        yield lambda signed: (json.dumps(as_json(signed, public)) + "\n").encode()
    elif args.exporter_key is None:
        raise Refused("OCMF is signed by whoever exports: give --exporter-key and --exporter ID")
    else:
        key = args.exporter_key
        name = args.exporter or _name_of(key)
        with signer_of(key, args.passphrase_file, args.softhsm2_conf) as signer:
            exporter = Exporter(name, signer)
            yield lambda signed: (ocmf_record(signed, public, exporter) + "\n").encode()


def _name_of(key: str) -> str:
    if key.startswith(TOKEN):
        raise Refused("say who exports: --exporter ID")
    return Path(key).resolve().parent.name


def as_json(signed: SignedReading, public: PublicKey) -> dict[str, Any]:
    """A record for programs: the fields of `wire.reading.Reading` by name, bytes in hex."""
    reading = signed.reading
    content = {
        name: value
        for name, value in _plain(reading).items()
        if value is not None and name != "extra"
    }
    extra = {str(key): repr(value) for key, value in sorted(reading.extra.items())}
    return content | {"extra": extra, "key": public.text, "record": signed.encoded.hex()}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Reading | ClockEvidence | ReactiveEnergy | Position | ReadSource):
        value = value._asdict()
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value
