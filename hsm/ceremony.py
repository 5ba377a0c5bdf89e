"""Making tokens and keys: once, on purpose, with a report that can be registered.

A key is made inside its token, cannot be read out, and carries the thumbprint of its public half as
id. Nothing is ever overwritten.
"""

import secrets
import shutil
import subprocess
from glob import glob
from pathlib import Path

from hsm.audit import AuditFile, Deed
from hsm.durable import write_new
from hsm.refusals import trying
from hsm.signer import TokenProcess
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
    tool = shutil.which("softhsm2-util")
    if tool is None:
        raise Unavailable("SoftHSM2 is not installed: apt-get install softhsm2")
    folder = folder.resolve()
    (folder / "tokens").mkdir(mode=0o700)
    configuration = folder / "softhsm2.conf"
    write_new(configuration, _CONFIGURATION.format(folder=folder).encode())
    # SoftHSM's tool takes PINs from its arguments, where a process list shows them. So it gets ones
    # that are worth nothing afterwards: the user's is changed through PKCS#11 before any key
    # exists.
    throwaway = secrets.token_hex(8)
    made = subprocess.run(
        [
            *(tool, "--init-token", "--free", "--label", label),
            *("--so-pin", secrets.token_hex(8), "--pin", throwaway),
        ],
        env={"SOFTHSM2_CONF": str(configuration), "PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if made.returncode:
        raise Unavailable(f"softhsm2-util: {made.stderr.decode(errors='replace').strip()}")
    pin = secrets.token_hex(8)
    write_new(folder / "pin", pin.encode())
    process = TokenProcess(
        KeyUri(label, label="", module=softhsm_module()), Pin(throwaway), configuration
    )
    try:
        process.ask("set-pin", pin)
    finally:
        process.end()


def make_key(
    uri: KeyUri,
    alg: int,
    softhsm2_conf: Path | None = None,
    audit: AuditFile | None = None,
) -> PublicKey:
    """Make a key pair in the token: sensitive, not extractable, id = prefix of its thumbprint.

    Raises:
        KeyRefused: a key of this label is there already, or the token cannot make one of this kind.
        PinRefused: the PIN is wrong; it was tried once.
        Unavailable: the token is away.
    """
    with trying(uri) as pin:
        process = TokenProcess(uri, pin, softhsm2_conf)
        try:
            public = PublicKey.from_text(process.ask("make", alg))
        finally:
            process.end()
    if audit is not None:
        audit.record([Deed("make-key", public.kid.hex(), "done")])
    return public
