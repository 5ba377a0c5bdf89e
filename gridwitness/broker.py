"""A network's Mosquitto: its configuration, its access list, and one real broker process.

Decides who may write and read which topic: clients show certificates, and the common name is the
topic's segment. The broker only carries; no validator and no gateway believes it.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from wire.errors import Unavailable

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 10.0

_ACCESS = """\
# Written by `gridwitness network`. %u is the common name of the client's certificate.
# A gateway writes its own batches and status, and reads its own receipts.
pattern write gridwitness/1/{network}/batch/%u
pattern write gridwitness/1/{network}/status/%u
pattern read gridwitness/1/{network}/receipt/%u

# A validator reads every batch and status, and answers every gateway.
{validators}"""

_VALIDATOR_ACCESS = """\
user {name}
topic read gridwitness/1/{network}/batch/+
topic read gridwitness/1/{network}/status/+
topic write gridwitness/1/{network}/receipt/+
"""

_CONFIGURATION = """\
# Written by `gridwitness network`. One listener, TLS only, certificates both ways.
listener {port} {host}
cafile {ca}
certfile {folder}/server.pem
keyfile {folder}/server.key
tls_version tlsv1.3
require_certificate true
use_identity_as_username true
allow_anonymous false
acl_file {folder}/acl
set_tcp_nodelay true

# A batch is at most 512 KiB; what is larger is no batch and no receipt.
max_packet_size 1048576
# A session lives for a week without its client. Losing one is harmless: a gateway keeps what has
# no receipt.
persistence true
persistence_location {folder}/data/
persistent_client_expiration 7d
autosave_interval 60
max_queued_messages 10000
max_queued_bytes 268435456

log_dest stderr
log_type error
log_type warning
log_type notice
"""

_AS_ROOT = """\
# Started by root, Mosquitto would become its own user, who cannot read the keys beside this file.
user root
"""


def write_broker(folder: Path, address: tuple[str, int], ca: Path) -> None:
    """Write `mosquitto.conf` into a folder that gets `server.pem`, `server.key` and `acl` too."""
    (folder / "data").mkdir(mode=0o700)
    text = _CONFIGURATION.format(
        host=address[0], port=address[1], ca=ca.resolve(), folder=folder.resolve()
    )
    as_root = _AS_ROOT if os.geteuid() == 0 else ""
    (folder / "mosquitto.conf").write_text(text + as_root)


def write_access(folder: Path, network: str, validators: list[str]) -> None:
    """Write the access list of a network (its topic name) and its validators."""
    lists = [_VALIDATOR_ACCESS.format(name=name, network=network) for name in validators]
    text = _ACCESS.format(network=network, validators="\n".join(lists))
    path = folder / "acl"
    path.touch(mode=0o600)
    path.write_text(text)


def add_access(folder: Path, network: str, validator: str) -> None:
    """Add a validator to an access list; nothing happens when it is there. Then reload Mosquitto.

    Raises OSError when the folder has no access list.
    """
    path = folder / "acl"
    known = path.read_text()
    if f"\nuser {validator}\n" not in known:
        entry = _VALIDATOR_ACCESS.format(name=validator, network=network)
        path.write_text(known.rstrip("\n") + "\n" + entry)


def find_mosquitto() -> str:
    """Return the path of Mosquitto; raises Unavailable when it is not installed."""
    path = os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin"
    found = shutil.which("mosquitto", path=path)
    if found is None:
        raise Unavailable("Mosquitto is not installed: apt-get install mosquitto")
    return found


class Broker:
    """One Mosquitto process, run from a folder that `write_broker` has written."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; nothing runs yet."""
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.host, self.port = _listener(folder / "mosquitto.conf")

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start and wait until connections are accepted; raises Unavailable with its last words."""
        if self._process is not None:
            raise AssertionError("the broker is already running")
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [find_mosquitto(), "-c", str(self._folder / "mosquitto.conf")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self._await_listener(self._process)
        except BaseException:  # Ctrl-C too: nothing that was started stays behind.
            self.kill()
            raise

    def reload(self) -> None:
        """Let a running one read its access list again."""
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """End it in order, so that it saves its sessions; does nothing when none runs."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start on the same port."""
        self.stop()
        self.start()

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _await_listener(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                socket.create_connection((self.host, self.port), timeout=1).close()
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.02)
                raise Unavailable(f"Mosquitto ended at once: {self._last_words()}")
        raise Unavailable(f"Mosquitto does not listen on {self.host}:{self.port}")

    def _last_words(self) -> str:
        lines = (self._folder / "mosquitto.log").read_text(errors="replace").splitlines()
        return " / ".join(lines[-3:])


def _listener(configuration: Path) -> tuple[str, int]:
    for line in configuration.read_text().splitlines():
        if line.startswith("listener "):
            _, port, host = line.split()
            return host, int(port)
    raise Unavailable(f"{configuration} has no listener")
