"""Real tokens, each in a folder of its own: SoftHSM2, NSS, a TPM, SoftHSM2 behind a server.

Each is what the vendor ships; only its place is ours. What is not installed is skipped, in words.
"""

import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

from hsm import ceremony
from hsm.doctor import examine
from hsm.durable import write_new
from hsm.signer import TokenSigner, open_signer
from hsm.tpm import exchange
from hsm.uri import KeyUri, Pin
from wire.keys import EDDSA, ES256, PublicKey

PIN = "71839204"
SO_PIN = "90417263"
START_S = 10.0


class Server:
    """A process that a token needs, started again at will and ended by its own pid."""

    def __init__(self, command: list[str], ready: Path, environment: dict[str, str]) -> None:
        """Start it, and wait until its socket is there."""
        self._command, self._ready, self._environment = command, ready, environment
        self.start()

    def start(self) -> None:
        self._ready.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            self._command,
            env={**os.environ, **self._environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self._ready.exists)

    def children(self) -> list[int]:
        """Processes that it has started: p11-kit's server has one for each connection."""
        pid = self.process.pid
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def kill(self) -> None:
        """SIGKILL, as by a power cut."""
        self.process.kill()
        self.process.wait()


@dataclass
class Token:
    """A token in a folder, and the signers that were opened on it."""

    folder: Path
    signers: list[TokenSigner] = field(default_factory=list)
    module: Path = field(default_factory=ceremony.softhsm_module)
    reserved: str = ""
    server: Server | None = None
    has_conf: bool = True

    @property
    def conf(self) -> Path | None:
        return self.folder / "softhsm2.conf" if self.has_conf else None

    @property
    def pin_file(self) -> Path:
        return self.folder / "pin"

    def text(self, label: str) -> str:
        """The key's URI, its PIN file relative to the folder."""
        text = f"pkcs11:token=tok;object={label};type=private?module-path={self.module}"
        if self.reserved:
            text += f"&x-init-reserved={quote(self.reserved)}"
        return f"{text}&pin-source=file:pin"

    def uri(self, label: str) -> KeyUri:
        return KeyUri.parse(self.text(label), self.folder)

    def make(self, label: str, alg: int) -> PublicKey:
        return ceremony.make_key(self.uri(label), alg, self.conf)

    def open(self, label: str, pinned: PublicKey | None = None) -> TokenSigner:
        signer = open_signer(self.uri(label), self.conf, pinned)
        self.signers.append(signer)
        return signer

    def close(self) -> None:
        for opened in self.signers:
            opened.close()

    def from_outside(self, program: str, *arguments: str) -> str:
        """Run a program on the token with a library of its own, as an operator's tool would.

        It finds a session in `session`, logged in for writing, and what it is given in sys.argv.
        """
        done = subprocess.run(
            [sys.executable, "-c", _OUTSIDE + program, *arguments],
            env={
                **os.environ,
                "SOFTHSM2_CONF": str(self.folder / "softhsm2.conf"),
                "TOKEN_MODULE": os.path.realpath(self.module),
                "TOKEN_RESERVED": self.reserved,
                "TOKEN_PIN_FILE": str(self.pin_file),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


_OUTSIDE = """
import os, sys
import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass
from hsm.library import Library
library = Library(os.environ["TOKEN_MODULE"], os.environ["TOKEN_RESERVED"])
token = library.get_token(token_label="tok")
session = token.open(rw=True, user_pin=open(os.environ["TOKEN_PIN_FILE"]).read())
"""


def until(holds: Callable[[], bool], deadline_s: float = START_S) -> None:
    """Wait for a condition; fail when it does not come."""
    end_s = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end_s, "it did not come about"
        time.sleep(0.005)


def _installed(package: str, *names: str) -> Path:
    """The first of these programs or libraries that is here; else the test is skipped."""
    for name in names:
        found = shutil.which(name) if "/" not in name else None
        for place in [Path(found)] if found else list(Path("/usr/lib").glob(name)):
            return place
    pytest.skip(f"not installed: apt-get install {package}")


def softhsm(folder: Path) -> Iterator[Token]:
    """SoftHSM2: Ed25519 and P-256, no lock-out."""
    ceremony.init_softhsm_token(folder, "tok")
    yield Token(folder)


def nss(folder: Path) -> Iterator[Token]:
    """NSS softokn, the key store of Firefox: P-256, wants an argument at C_Initialize."""
    module = _installed("libnss3", "*/libsoftokn3.so", "*/nss/libsoftokn3.so")
    (folder / "db").mkdir()
    reserved = f"configdir='sql:{folder / 'db'}' dbTokenDescription='tok' flags=optimizeSpace"
    made = Token(folder, module=module, reserved=reserved, has_conf=False)
    _init(made)
    yield made


def tpm(folder: Path) -> Iterator[Token]:
    """A TPM 2.0 (swtpm) by tpm2-pkcs11: P-256, really locks after three wrong PINs."""
    program = _installed("swtpm", "swtpm")
    module = _installed("libtpm2-pkcs11-1", "*/libtpm2_pkcs11.so.1")
    _installed("libtss2-tcti-swtpm0", "*/libtss2-tcti-swtpm.so.0")
    place = folder / "tpm.sock"
    for name in ("state", "store"):
        (folder / name).mkdir()
    command = [
        *(str(program), "socket", "--tpm2", "--tpmstate", f"dir={folder / 'state'}"),
        *("--ctrl", f"type=unixio,path={place}.ctrl", "--server", f"type=unixio,path={place}"),
        *("--flags", "not-need-init,startup-clear"),
    ]
    environment = {
        "TPM2_PKCS11_TCTI": f"swtpm:path={place}",
        "TPM2_PKCS11_STORE": str(folder / "store"),
        "TPM2_PKCS11_BACKEND": "esysdb",
        "TPM2_PKCS11_LOG_LEVEL": "0",
        "TSS2_LOG": "all+NONE",
    }
    server = Server(command, place, {})
    made = Token(folder, module=module, server=server, has_conf=False)
    with _environment(environment):
        try:
            _init(made)
            yield made
        finally:
            made.close()
            server.kill()


def remote(folder: Path) -> Iterator[Token]:
    """SoftHSM2 behind p11-kit's server: P-256, its calls go through a socket."""
    program = _installed("p11-kit", "p11-kit")
    module = _installed("p11-kit-modules", "*/pkcs11/p11-kit-client.so")
    ceremony.init_softhsm_token(folder, "tok")
    place = folder / "p11.sock"
    provider = str(ceremony.softhsm_module())
    server = Server(
        [str(program), "server", "-f", "-n", str(place), "-p", provider, "pkcs11:token=tok"],
        place,
        {"SOFTHSM2_CONF": str(folder / "softhsm2.conf")},
    )
    made = Token(folder, module=module, server=server, has_conf=False)
    with _environment({"P11_KIT_SERVER_ADDRESS": f"unix:path={place}"}):
        try:
            yield made
        finally:
            made.close()
            server.kill()


def forget_killed_callers(token: Token) -> None:
    """What the kernel's resource manager (/dev/tpmrm0) does for a TPM when a caller is killed."""
    place = token.folder / "tpm.sock"
    if not place.exists():
        return
    with socket.socket(socket.AF_UNIX) as channel:
        channel.connect(str(place))
        for kind in (0x80000000, 0x02000000, 0x03000000):  # Objects, sessions loaded and saved.
            asked = struct.pack(">HIIIII", 0x8001, 22, 0x17A, 1, kind, 16)
            told = exchange(channel.fileno(), asked)
            for (handle,) in struct.iter_unpack(">I", told[9:]):
                exchange(channel.fileno(), struct.pack(">HIII", 0x8001, 14, 0x165, handle))


KINDS: dict[str, Callable[[Path], Iterator[Token]]] = {
    "softhsm": softhsm,
    "nss": nss,
    "tpm": tpm,
    "remote": remote,
}
BENCHES = [("softhsm", EDDSA), *((kind, ES256) for kind in KINDS)]
"""Each token with each algorithm that it has."""


@contextmanager
def token_of(kind: str, folder: Path) -> Iterator[Token]:
    """A fresh token with a PIN."""
    with contextmanager(KINDS[kind])(folder) as made:
        yield made
        made.close()


def _init(token: Token) -> None:
    write_new(token.pin_file, PIN.encode())
    ceremony.init_token(token.uri("none"), Pin(SO_PIN), Pin(PIN), token.conf)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        yield


def doctor(token: Token, pinned: PublicKey | None = None) -> str:
    """The doctor's last row about the key `w`."""
    last = examine(token.uri("w"), token.conf, pinned)[-1]
    return f"{'ok' if last.good else 'BAD'} {last.check}: {last.words}"
