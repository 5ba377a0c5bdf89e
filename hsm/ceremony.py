"""Making tokens and keys: once, on purpose, with a report that can be registered.

A key is made inside its token, cannot be read out, and carries the thumbprint of its public half as
id. Nothing is ever overwritten.
"""

import secrets
from glob import glob
from pathlib import Path

from hsm.audit import AuditFile, Deed
from hsm.durable import write_new
from hsm.report import report_of
from hsm.token_process import KeyRefused, TokenProcess
from hsm.uri import KeyUri, Pin
from wire.errors import Unavailable
from wire.keys import PublicKey

_MODULES = ("/usr/lib/*/softhsm/libsofthsm2.so", "/usr/lib/softhsm/libsofthsm2.so")
_CONFIGURATION = """\
directories.tokendir = {folder}/tokens
objectstore.backend = file
log.level = ERROR
"""


def softhsm_module() -> Path:
    """Path of the SoftHSM2 library; raises Unavailable when it is not installed."""
    for pattern in _MODULES:
        for found in glob(pattern):
            return Path(found)
    raise Unavailable("SoftHSM2 is not installed: apt-get install softhsm2")


def init_softhsm_token(folder: Path, label: str) -> None:
    """Make a SoftHSM2 token in `folder`: `softhsm2.conf`, `tokens/`, and a random PIN in `pin`.

    The security officer's PIN is thrown away: a token for tests and demos is made anew, not mended.

    Raises:
        Unavailable: SoftHSM2 is not installed, or could not make the token.
        FileExistsError: the folder has a token already.
    """
    module = softhsm_module()
    folder = folder.resolve()
    try:
        (folder / "tokens").mkdir(mode=0o700)
    except FileExistsError:
        raise FileExistsError(
            f"there is a token in {folder} already; choose another folder"
        ) from None
    configuration = folder / "softhsm2.conf"
    write_new(configuration, _CONFIGURATION.format(folder=folder).encode())
    pin, so_pin = Pin(secrets.token_hex(8)), Pin(secrets.token_hex(8))
    write_new(folder / "pin", pin.reveal().encode())
    init_token(KeyUri(label, label="", module=module), so_pin, pin, configuration)


def init_token(uri: KeyUri, so_pin: Pin, pin: Pin, softhsm2_conf: Path | None = None) -> None:
    """Make the token that the URI names, in a slot that has none yet, and set its PINs.

    Raises:
        KeyRefused: a token of this label is there already.
        Unavailable: the library cannot be loaded, or no slot has room for a token.
    """
    process = TokenProcess(uri, softhsm2_conf, writes=True)
    try:
        process.ask("init-token", [so_pin, pin])
    finally:
        process.end()


def make_key(
    uri: KeyUri,
    alg: int,
    softhsm2_conf: Path | None = None,
    audit: AuditFile | None = None,
) -> PublicKey:
    """Make a key pair in the token: sensitive, not extractable, id = prefix of its thumbprint.

    It is tried before this returns: it signs for its public half, and cannot be read.

    Raises:
        KeyRefused: a key of this label is there already, or the token cannot make one of this kind.
        PinRefused: the PIN is wrong; it was tried once.
        Unavailable: the token is away.
    """
    process = TokenProcess(uri, softhsm2_conf, writes=True)
    try:
        process.login()
        public = PublicKey.from_text(process.ask("make", alg))
        found = report_of(process, uri)
        if found["key"] != public.text:
            raise KeyRefused("the token finds another key under the new key's name")
    finally:
        process.end()
    if audit is not None:
        audit.record([Deed("make-key", public.kid.hex(), "done")])
    return public
