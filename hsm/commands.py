"""What the verbs of `gridwitness hsm` do."""

import argparse
import json
import secrets
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hsm import audit, ceremony, report, rotation
from hsm.doctor import Finding, Subject, findings
from hsm.durable import write_new
from hsm.publickey import read_key
from hsm.registered import registered_key
from hsm.request import request
from hsm.signer import open_signer
from hsm.uri import KeyUri, Pin, read_pin
from wire.announcement import SignedAnnouncement, described
from wire.errors import Refused, Unavailable, WrongUsage
from wire.genesis import Genesis
from wire.keys import EDDSA, ES256

_ALGORITHMS = {"es256": ES256, "eddsa": EDDSA}
_PIN_DIGITS = 8
_DAY_S = 86_400


class WrongNetwork(Refused):
    """What is checked was made for another network."""

    code = "wrong-network"


def init_folder(args: argparse.Namespace) -> int:
    """Make a SoftHSM2 token and say how to name its keys."""
    args.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    ceremony.init_softhsm_token(args.folder, args.label)
    print(
        f"token {args.label} in {args.folder}; name a key of it by\n"
        f"  'pkcs11:token={args.label};object=NAME;type=private"
        f"?module-path={ceremony.softhsm_module()}&pin-source=file:{args.folder / 'pin'}'\n"
        f"  --softhsm2-conf {args.folder / 'softhsm2.conf'}"
    )
    return 0


def _uri(text: str) -> KeyUri:
    """The key that an argument names; refused at once when its library is missing."""
    uri = KeyUri.parse(text)
    uri.check_module()
    return uri


def make_token(args: argparse.Namespace) -> int:
    """Make a token of any library; PINs come from their files, or are made into them."""
    uri = _uri(args.uri)
    if uri.pin_file is None:
        raise WrongUsage("the URI names no PIN file: pin-source=file:… gets the user's PIN")
    pin, so_pin = _pin_in(uri.pin_file), _pin_in(args.so_pin_file)
    ceremony.init_token(uri, so_pin, pin, args.softhsm2_conf)
    found = {"token": uri.token, "pin": str(uri.pin_file), "so_pin": str(args.so_pin_file)}
    print(json.dumps(found) if args.json else f"token {uri.token}; its PIN is in {uri.pin_file}")
    return 0


def _pin_in(file: Path) -> Pin:
    """The PIN of a file, which gets a random one when it is not there."""
    if not file.exists():
        digits = "".join(secrets.choice("0123456789") for _ in range(_PIN_DIGITS))
        write_new(file, digits.encode())
    return read_pin(file)


def make_key(args: argparse.Namespace) -> int:
    """Make a key and report it."""
    uri = _uri(args.uri)
    file = None if args.audit is None else audit.AuditFile(args.audit)
    ceremony.make_key(uri, _ALGORITHMS[args.alg], args.softhsm2_conf, file)
    found = report.report(uri, args.softhsm2_conf)
    if args.report is not None:
        write_new(args.report, (json.dumps(found, indent=1) + "\n").encode())
    _say(args, found, report.lines(found))
    return 0


def show_key(args: argparse.Namespace) -> int:
    """Ask the token for a key's public half."""
    signer = open_signer(_uri(args.uri), args.softhsm2_conf)
    signer.close()
    public = signer.public
    found = {"key": public.text, "kid": public.kid.hex(), "thumbprint": public.thumbprint.hex()}
    _say(args, found, [f"{name:11} {value}" for name, value in found.items()])
    return 0


def report_key(args: argparse.Namespace) -> int:
    """Say what a key is and how its token keeps it."""
    found = report.report(_uri(args.uri), args.softhsm2_conf)
    _say(args, found, report.lines(found))
    return 0


def _say(args: argparse.Namespace, found: dict[str, Any], lines: list[str]) -> None:
    print(json.dumps(found) if args.json else "\n".join(lines))


def check_token(args: argparse.Namespace) -> int:
    """Run the checks; exit status 1 when one fails."""
    subject = Subject(
        KeyUri.parse(args.uri),
        args.softhsm2_conf,
        None if args.expect is None else read_key(args.expect),
        args.sign_state,
        args.reconnect,
        args.final_try,
    )
    found: list[Finding] = []
    for each in findings(subject):
        found.append(each)
        row = f"{'ok ' if each.good else 'BAD'}  {each.check:12} {each.words}"
        print(row, file=sys.stderr if args.json else sys.stdout, flush=True)
    good = all(each.good for each in found)
    if args.json:
        checks = [{"check": e.check, "good": e.good, "words": e.words} for e in found]
        print(json.dumps({"good": good, "checks": checks}))
    return 0 if good else 1


def request_certificate(args: argparse.Namespace) -> int:
    """Make a certificate request."""
    signer = open_signer(_uri(args.uri), args.softhsm2_conf)
    try:
        pem = request(signer, args.cn, args.dns)
    finally:
        signer.close()
    if args.out is not None:
        write_new(args.out, pem)
    found = {"cn": args.cn, "kid": signer.public.kid.hex(), "request": pem.decode()}
    words = pem.decode().strip() if args.out is None else f"{args.out}: request for {args.cn}"
    _say(args, found, [words])
    return 0


def rotate_key(args: argparse.Namespace) -> int:
    """Let both keys sign the announcement."""
    from_s = int(time.time()) if args.from_s is None else args.from_s
    statement = rotation.rotate(
        _uri(args.uri),
        _uri(args.new),
        rotation.Succession(
            Genesis.load(args.genesis),
            args.holder,
            args.role,
            from_s,
            from_s + args.days * _DAY_S,
            tuple(SignedAnnouncement.open(path.read_bytes()) for path in args.after),
        ),
        args.out,
        args.softhsm2_conf,
        None if args.audit is None else audit.AuditFile(args.audit),
    )
    found = described(statement)
    words = f"{args.out}: {found['new_kid']} follows {found['old_thumbprint'][:16]}"
    _say(args, found, [f"{words}; both stand until {_utc(statement.until_s)}; nothing was deleted"])
    return 0


def check_announcement(args: argparse.Namespace) -> int:
    """Check an announcement's signatures against the key in force."""
    try:
        data = args.file.read_bytes()
    except OSError as reason:
        raise Unavailable(f"{args.file}: {reason.strerror}") from None
    signed = SignedAnnouncement.open(data)
    holds = _holds(signed, args.old, args.genesis)
    found = described(signed.statement)
    rows = {**found, **{name: _utc(found[name]) for name in ("from_s", "until_s")}}
    lines = [f"holds: {holds}", *(f"{name:15} {value}" for name, value in rows.items())]
    _say(args, {**found, "holds": holds}, lines)
    return 0


def _holds(signed: SignedAnnouncement, old: str | None, genesis: Path | None) -> str:
    """Check it against the key that is given, the registry, or both; say by what it holds."""
    given = None if old is None else read_key(old)
    if given is not None:
        signed.verify(given)
    if genesis is None:
        if given is None:
            raise WrongUsage("nothing to check it against: give --genesis, or the key by --old")
        return "signed by the key given with --old; who that is, only --genesis can tell"
    network, statement = Genesis.load(genesis), signed.statement
    if statement.network != network.network:
        raise WrongNetwork(f"it is for another network than {network.topic_name}")
    registered = registered_key(network, statement.holder, statement.role)
    signed.verify(registered)
    return f"signed by {statement.holder}'s registered {statement.role} key"


def _utc(at_s: int) -> str:
    """A time for people: Unix seconds, and the date beside them."""
    try:
        return f"{at_s} ({datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S} UTC)"
    except (OverflowError, ValueError, OSError):
        return str(at_s)


def check_audit(args: argparse.Namespace) -> int:
    """Check an audit file's chain."""
    count, last = audit.verify(args.file)
    if not count:
        raise audit.DamagedAudit(f"{args.file} is empty: there is no line to check")
    names = [each.name for each in audit.files(args.file)]
    following = "1 line" if count == 1 else f"{count} lines, each following from the one before"
    words = f"{following}; the last one's hash is {last}"
    many = f"{len(names)} files, from {names[0]} to {names[-1]}: " if len(names) > 1 else ""
    _say(args, {"lines": count, "last": last, "files": names}, [many + words])
    return 0
