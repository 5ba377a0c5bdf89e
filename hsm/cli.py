"""`gridwitness hsm`: make tokens and keys, show them, and say what is wrong with them."""

import argparse
import json
import sys
from pathlib import Path

ALGORITHMS = {"es256": -7, "eddsa": -8}


def add_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `hsm`."""
    hsm = subparsers.add_parser("hsm", help="tokens and their keys (PKCS#11)")
    verbs = hsm.add_subparsers(dest="verb", required=True, metavar="VERB")
    init = verbs.add_parser("init", help="make a SoftHSM2 token in a folder, for tests and demos")
    init.add_argument("folder", type=Path, help="gets softhsm2.conf, tokens/ and a random PIN")
    init.add_argument("--label", required=True, help="the token's label")
    init.set_defaults(run=init_token)
    for name, words, run in (
        ("key", "make a key that never leaves its token", make_key),
        ("show", "show a key's public half", show_key),
        ("doctor", "check a token and its key, changing nothing", check_token),
    ):
        verb = verbs.add_parser(name, help=words)
        verb.add_argument("uri", help="pkcs11:token=…;object=…?module-path=…&pin-source=file:…")
        verb.add_argument("--softhsm2-conf", type=Path, help="SoftHSM2's configuration file")
        verb.add_argument("--json", action="store_true", help="end with one JSON object")
        verb.set_defaults(run=run)
        if name == "key":
            verb.add_argument("--alg", choices=sorted(ALGORITHMS), default="es256")
            verb.add_argument("--audit", type=Path, help="audit file that gets a line for it")
        if name == "doctor":
            _add_doctor(verb)
    audit = verbs.add_parser("audit", help="check that no line of an audit file was changed")
    audit.add_argument("file", type=Path)
    audit.add_argument("--json", action="store_true", help="end with one JSON object")
    audit.set_defaults(run=check_audit)


def _add_doctor(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--expect", metavar="KEY", help="the registered key, as text or as a file")
    verb.add_argument("--sign-state", type=Path, help="also check what the key has signed")
    verb.add_argument("--reconnect", action="store_true", help="also open the token a second time")
    verb.add_argument(
        "--final-try",
        action="store_true",
        help="log in although one wrong PIN more would lock the token",
    )


def init_token(args: argparse.Namespace) -> int:
    """Make a token and say how to name its keys."""
    from hsm import ceremony

    args.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    ceremony.init_softhsm_token(args.folder, args.label)
    print(
        f"token {args.label} in {args.folder}; name a key of it by\n"
        f"  'pkcs11:token={args.label};object=NAME;type=private"
        f"?module-path={ceremony.softhsm_module()}&pin-source=file:{args.folder / 'pin'}'\n"
        f"  --softhsm2-conf {args.folder / 'softhsm2.conf'}"
    )
    return 0


def make_key(args: argparse.Namespace) -> int:
    """Make a key and report it."""
    from hsm import ceremony
    from hsm.audit import AuditFile
    from hsm.uri import KeyUri

    audit = None if args.audit is None else AuditFile(args.audit)
    alg = ALGORITHMS[args.alg]
    public = ceremony.make_key(KeyUri.parse(args.uri), alg, args.softhsm2_conf, audit)
    return _report(args, public.text, public.kid.hex(), public.thumbprint.hex())


def show_key(args: argparse.Namespace) -> int:
    """Ask the token for a key's public half."""
    from hsm.signer import open_signer
    from hsm.uri import KeyUri

    signer = open_signer(KeyUri.parse(args.uri), args.softhsm2_conf)
    signer.close()
    public = signer.public
    return _report(args, public.text, public.kid.hex(), public.thumbprint.hex())


def _report(args: argparse.Namespace, text: str, kid: str, thumbprint: str) -> int:
    found = {"key": text, "kid": kid, "thumbprint": thumbprint}
    if args.json:
        print(json.dumps(found))
    else:
        print("\n".join(f"{name:11} {value}" for name, value in found.items()))
    return 0


def check_token(args: argparse.Namespace) -> int:
    """Run the checks; exit status 1 when one fails."""
    from hsm.doctor import Finding, Subject, findings
    from hsm.publickey import read_key
    from hsm.uri import KeyUri

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


def check_audit(args: argparse.Namespace) -> int:
    """Check an audit file's chain."""
    from hsm.audit import verify

    count, last = verify(args.file)
    if args.json:
        print(json.dumps({"lines": count, "last": last}))
    else:
        print(f"{count} lines, each following from the one before; the last one's hash is {last}")
    return 0
