"""The keys of people: a technician's or an operator's, in an encrypted file or in a token.

Decides how an argument names a key (`pkcs11:…` is a token's, all else a file's) and where a file's
passphrase comes from: the file that was named, the file `passphrase` beside the key, or the
terminal. Leaves keeping keys to `hsm`.
"""

import argparse
import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hsm import filekey
from wire.errors import Unavailable, WrongUsage
from wire.keys import Signer

TOKEN = "pkcs11:"


def add_key_options(parser: argparse.ArgumentParser, whose: str, required: bool = True) -> None:
    """Add `--WHOSE-key`, `--passphrase-file` and `--softhsm2-conf`."""
    parser.add_argument(
        f"--{whose}-key",
        required=required,
        metavar="KEY",
        help=f"the {whose}'s key: an encrypted PEM file, or pkcs11:token=…;object=…",
    )
    parser.add_argument(
        "--passphrase-file",
        type=Path,
        metavar="FILE",
        help="opens the key file; 'passphrase' beside the key, or the terminal, when not given",
    )
    parser.add_argument("--softhsm2-conf", type=Path, metavar="FILE", help="for tests and demos")


@contextmanager
def signer_of(
    key: str, passphrase_file: Path | None = None, softhsm2_conf: Path | None = None
) -> Iterator[Signer]:
    """The signer of a key that an argument names.

    Raises:
        Refused: the passphrase or the PIN is wrong, it is no key, or there is none of this name.
        Unavailable: the file or the token cannot be read now.
    """
    if not key.startswith(TOKEN):
        path = Path(key)
        filekey.check(path)
        yield filekey.load(path, passphrase_of(path, passphrase_file))
        return
    from hsm.signer import open_signer  # Brings PKCS#11, which no other command needs.
    from hsm.uri import KeyUri

    uri = KeyUri.parse(key, Path.cwd())
    uri.check_module()
    token = open_signer(uri, softhsm2_conf)
    try:
        yield token
    finally:
        token.close()


def passphrase_of(key: Path, named: Path | None) -> bytes:
    """What opens a key file; raises WrongUsage, Unavailable."""
    beside = key.parent / "passphrase"
    if named is None and not beside.is_file():
        if not sys.stdin.isatty():
            raise WrongUsage(f"nothing opens the key {key}: give --passphrase-file")
        return getpass.getpass(f"Passphrase of {key}: ").encode()
    path = named or beside
    try:
        return path.read_bytes().strip()
    except FileNotFoundError:
        raise WrongUsage(f"there is no passphrase file {path}") from None
    except OSError as reason:
        words = os.strerror(reason.errno or 0)
        raise Unavailable(f"the passphrase file {path}: {words}") from None
