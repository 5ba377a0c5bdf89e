"""`gridwitness hsm`: its verbs and their arguments; what they do is in `hsm.commands`."""

import argparse
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

_URI = "pkcs11:token=…;object=…?module-path=…&pin-source=file:…"
_DAYS = 35


def add_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `hsm`."""
    hsm = subparsers.add_parser("hsm", help="tokens and their keys (PKCS#11)")
    verbs = hsm.add_subparsers(dest="verb", required=True, metavar="VERB")
    init = verbs.add_parser("init", help="make a SoftHSM2 token in a folder, for tests and demos")
    init.add_argument("folder", type=Path, help="gets softhsm2.conf, tokens/ and a random PIN")
    init.add_argument("--label", required=True, help="the token's label")
    init.set_defaults(run=_later("init_folder"))
    _add_token(
        _of_key(verbs, "token", "make_token", "make a token where its library has room for one")
    )
    _add_key(_of_key(verbs, "key", "make_key", "make a key that never leaves its token"))
    _of_key(verbs, "show", "show_key", "show a key's public half")
    _of_key(verbs, "report", "report_key", "say what a key is and how its token keeps it")
    _add_request(
        _of_key(
            verbs,
            "request",
            "request_certificate",
            "make a certificate request, signed in the token",
        )
    )
    _add_doctor(
        _of_key(verbs, "doctor", "check_token", "check a token and its key, changing nothing")
    )
    _add_rotate(
        _of_key(verbs, "rotate", "rotate_key", "let a registered key announce the one that follows")
    )
    check = verbs.add_parser("check-announcement", help="check what `rotate` has made")
    check.add_argument("file", type=Path)
    check.add_argument(
        "--genesis", type=Path, help="the network, whose registry has the key in force"
    )
    check.add_argument("--old", metavar="KEY", help="the key in force, text or file")
    check.add_argument("--json", action="store_true", help="end with one JSON object")
    check.set_defaults(run=_later("check_announcement"))
    audit = verbs.add_parser("audit", help="check that no line of an audit file was changed")
    audit.add_argument("file", type=Path)
    audit.add_argument("--json", action="store_true", help="end with one JSON object")
    audit.set_defaults(run=_later("check_audit"))


def _later(name: str) -> Callable[[argparse.Namespace], int]:
    """A command whose modules are loaded only when it is run."""

    def run(args: argparse.Namespace) -> int:
        from hsm.token_process import NoKey
        from wire.errors import WrongUsage

        try:
            return int(getattr(import_module("hsm.commands"), name)(args))
        except NoKey as reason:  # Services wait for it; a command ends.
            raise WrongUsage(str(reason)) from None

    return run


def _of_key(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, does: str, words: str
) -> argparse.ArgumentParser:
    """A verb about one key."""
    verb = verbs.add_parser(name, help=words)
    verb.add_argument("uri", help=_URI)
    verb.add_argument("--softhsm2-conf", type=Path, help="SoftHSM2's configuration file")
    verb.add_argument("--json", action="store_true", help="end with one JSON object")
    verb.set_defaults(run=_later(does))
    return verb


def _add_token(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--so-pin-file",
        type=Path,
        required=True,
        help="the security officer's PIN; written with a random one when it is not there",
    )


def _add_key(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--alg", choices=("es256", "eddsa"), default="es256")
    verb.add_argument("--audit", type=Path, help="audit file that gets a line for it")
    verb.add_argument("--report", type=Path, help="new file that gets the key report as JSON")


def _add_request(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--cn", required=True, help="common name, the gateway's id for instance")
    verb.add_argument("--dns", action="append", default=[], metavar="NAME", help="a host's name")
    verb.add_argument("--out", type=Path, help="new file for the PEM; else it is printed")


def _add_doctor(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--expect", metavar="KEY", help="the registered key, as text or as a file")
    verb.add_argument("--sign-state", type=Path, help="also check what the key has signed")
    verb.add_argument("--reconnect", action="store_true", help="also open the token a second time")
    verb.add_argument(
        "--final-try",
        action="store_true",
        help="log in although one wrong PIN more would lock the token",
    )


def _add_rotate(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("new", help="URI of the key that follows; it is there already (hsm key)")
    verb.add_argument("--genesis", type=Path, required=True, help="the network")
    verb.add_argument("--holder", required=True, help="the gateway's or validator's id")
    verb.add_argument(
        "--role",
        required=True,
        choices=("witness", "reader", "technician", "validator", "operator"),
    )
    verb.add_argument(
        "--after",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="an earlier announcement of this key, in order; none when the genesis file has it",
    )
    verb.add_argument(
        "--from",
        dest="from_s",
        type=int,
        metavar="SECONDS",
        help="Unix time from which on the new key signs; else now",
    )
    verb.add_argument(
        "--days", type=int, default=_DAYS, help="so long the old key stands beside it (%(default)s)"
    )
    verb.add_argument("--out", type=Path, required=True, help="new file for the announcement")
    verb.add_argument("--audit", type=Path, help="audit file that gets a line for each key")
