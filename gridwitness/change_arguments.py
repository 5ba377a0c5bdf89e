"""`gridwitness network join, rotate, propose, show, sign, submit, checkpoint`: their arguments.

A change goes from hand to hand as a file: who wants it makes the file, each authority looks at it
(`show`) and adds its signature (`sign`), anybody hands it to a validator (`submit`). What the verbs
do is decided in `change_commands`.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

AT = "http://127.0.0.1:8800"
SUFFIX = ".gwc"
WAIT_S = 120.0


def add_change_commands(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verbs to `network`."""
    _add_join(verbs)
    _add_rotate(verbs)
    _add_propose(verbs)
    _add_files(verbs)
    _add_checkpoint(verbs)


def _verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    words: str,
    description: str = "",
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=words, description=description or words)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.set_defaults(run=_run(name))
    return parser


def _run(name: str) -> Callable[[argparse.Namespace], int]:
    def run(args: argparse.Namespace) -> int:
        from gridwitness import change_commands  # Brings the client, which parsing does not need.

        verb: Callable[[argparse.Namespace], int] = getattr(change_commands, name)
        return verb(args)

    return run


def _add_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--authority-key",
        required=True,
        metavar="KEY",
        help="the authority's key: an encrypted PEM file, or pkcs11:token=…;object=…",
    )
    parser.add_argument(
        "--passphrase-file",
        type=Path,
        metavar="FILE",
        help="opens the key file; 'passphrase' beside the key, or the terminal, when not given",
    )
    parser.add_argument("--softhsm2-conf", type=Path, metavar="FILE", help="for tests and demos")


def _add_at(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--at",
        action="append",
        default=[],
        metavar="URL",
        help=f"a validator's API ({AT}); may be given several times",
    )
    parser.add_argument("--ca", type=Path, metavar="FILE", help="who vouches for https, PEM")


def _add_join(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = _verb(
        verbs,
        "join",
        "make a new validator's folder and the change that lets it join",
        description="Makes keys, certificates and validator.toml in a new folder, and a change"
        " file, signed by the new key, that the authorities sign. Start the validator at any time:"
        " it follows, and votes from its first height on.",
    )
    verb.add_argument("--dir", type=Path, required=True, help="a new or empty folder")
    verb.add_argument("--id", required=True, help="validator id, for example val-egat-2")
    verb.add_argument("--authority", required=True, metavar="ID", help="who runs it")
    verb.add_argument(
        "--network", type=Path, metavar="DIR", help="a folder of `network init`; names all below"
    )
    verb.add_argument("--genesis", type=Path, metavar="FILE", help="the network's genesis file")
    verb.add_argument("--peers", type=Path, metavar="FILE", help="the others' address records")
    verb.add_argument("--bootnode", action="append", default=[], metavar="HOST:PORT")
    verb.add_argument("--broker", metavar="HOST:PORT", help="the MQTT broker")
    verb.add_argument("--listen", required=True, metavar="HOST:PORT", help="for the others")
    verb.add_argument("--advertise", metavar="HOST:PORT", help="where they reach it (--listen)")
    verb.add_argument(
        "--api",
        metavar="HOST:PORT",
        help="127.0.0.1:8800; with --network 10 below --listen, as the others of that machine",
    )
    verb.add_argument("--out", type=Path, metavar="FILE", help=f"the change (DIR/ID{SUFFIX})")
    _add_at(verb)


def _add_rotate(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = _verb(
        verbs,
        "rotate",
        "give a validator another key: make it, and the change that authorities sign",
        description="Makes a key beside the present one, names it as next_key in validator.toml,"
        " and writes a change file. Restart the validator before the change is submitted; it"
        " takes the other key by itself at the height that the ledger says.",
    )
    verb.add_argument("config", type=Path, help="validator.toml")
    verb.add_argument("--new-key", metavar="KEY", help="a key that exists: pkcs11:…")
    verb.add_argument("--out", type=Path, metavar="FILE", help=f"the change (ID{SUFFIX})")
    _add_at(verb)


def _add_propose(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = _verb(
        verbs,
        "propose",
        "make a change of validators, authorities or parameters, signed by one authority",
        description="Exactly one kind of change; steps may be repeated. Never more than f of n"
        " change at once, and never fewer than four are left.",
    )
    verb.add_argument("--out", type=Path, required=True, metavar="FILE", help="a new file")
    for option, words in (
        ("--remove", "this validator leaves and may follow as an observer"),
        ("--expel", "this validator or observer is not let in any more"),
        ("--revoke-authority", "this authority's key never counts again"),
    ):
        verb.add_argument(option, action="append", default=[], metavar="ID", help=words)
    for option, words in (
        ("--add-authority", "a new authority and its public key, eddsa:… or a file of hsm show"),
        ("--rotate-authority", "another public key of an authority"),
    ):
        verb.add_argument(option, action="append", default=[], metavar="ID=KEY", help=words)
    verb.add_argument("--name", default="", help="the new authority's name for people")
    verb.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter"
    )
    _add_key(verb)
    _add_at(verb)


def _add_files(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = _verb(verbs, "show", "say what a change file does and who has signed it")
    verb.add_argument("file", type=Path)
    _add_at(verb)
    verb = _verb(verbs, "sign", "add an authority's signature to a change file")
    verb.add_argument("file", type=Path)
    verb.add_argument(
        "--genesis", type=Path, metavar="FILE", help="refuses keys that are no authority's by it"
    )
    _add_key(verb)
    _add_at(verb)
    verb = _verb(verbs, "submit", "hand a signed change to the validators and wait for it")
    verb.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="copies signed apart are put together"
    )
    verb.add_argument("--wait", type=float, default=WAIT_S, metavar="S", help="%(default)s s")
    _add_at(verb)


def _add_checkpoint(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = _verb(
        verbs,
        "checkpoint",
        "write a checkpoint, from which receipts are verified without older validators' keys",
        description="Follows the validators from the genesis file to a block, which needs no"
        " trust; whoever uses the file trusts who handed it over. For gridwitness verify"
        " --checkpoint.",
    )
    verb.add_argument("--genesis", type=Path, required=True, metavar="FILE")
    verb.add_argument("--height", type=int, default=0, help="a block; the newest when not given")
    verb.add_argument("--out", type=Path, required=True, metavar="FILE")
    _add_at(verb)
