"""What a person who helps from afar wants to see of a gateway, in one archive without secrets.

Decides what goes in: versions, the configuration (which names secrets and holds none), what doctor
and the running gateway say, counts of the spool, the end of the audit file and of the journal.
Never a key, a PIN, a reading or a receipt: of everything that is written, only text that this
module made or that is named here.
"""

import io
import platform
import re
import shutil
import sqlite3
import subprocess
import tarfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import metadata
from pathlib import Path

from gateway.config import GatewayConfig
from gateway.operation.doctor import examine
from wire.errors import Refused, Unavailable

_LINES = 500
_JOURNAL_S = 20
_UNIT = "gridwitness-gateway"

_PIN = re.compile(r"(pin-value=)[^;&\"']*")
"""A PIN in a URI is refused by the gateway; here it may stand in a file that it refuses."""

Report = Callable[[str], None]
"""Told the name of what is done next."""


def write(
    config: GatewayConfig, file: Path, out: Path, status: Callable[[], str], report: Report
) -> None:
    """Write the archive; what cannot be had is said in its place.

    Args:
        config: the gateway's configuration.
        file: the file that it was read from.
        out: the archive to write, tar.gz; refused when it exists.
        status: asks the running gateway, JSON; raises Unavailable.
        report: told of each part before it is gathered.

    Raises:
        OSError: the archive cannot be written, or exists.
    """
    parts: tuple[tuple[str, Callable[[], str]], ...] = (
        ("about.txt", _about),
        ("gateway.toml", lambda: _PIN.sub(r"\1…", file.read_text())),
        ("status.json", status),
        ("doctor.txt", lambda: _doctor(config)),
        ("spool.txt", lambda: _spool(config.spool)),
        ("audit.jsonl", lambda: _tail(config.spool.with_suffix(".audit.jsonl"))),
        ("journal.txt", journal),
    )
    with out.open("xb") as raw, tarfile.open(fileobj=raw, mode="w:gz") as archive:
        for name, make in parts:
            report(name)
            _add(archive, name, _made(make))


def _made(make: Callable[[], str]) -> str:
    try:
        return make()
    except (Refused, Unavailable, OSError, ValueError, sqlite3.Error) as reason:
        return f"not to be had: {reason}\n"


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    content = text.encode()
    entry = tarfile.TarInfo(f"gateway/{name}")
    entry.size, entry.mode, entry.mtime = len(content), 0o600, int(time.time())
    archive.addfile(entry, io.BytesIO(content))


def _about() -> str:
    names = ("gridwitness", "pymodbus", "pyserial", "paho-mqtt", "python-pkcs11", "cryptography")
    versions = "".join(f"{name} {metadata.version(name)}\n" for name in names)
    return f"{platform.platform()}\nPython {platform.python_version()}\n{versions}"


def _doctor(config: GatewayConfig) -> str:
    return "".join(
        f"{'ok ' if finding.good else 'BAD'} {finding.what}: {finding.words}\n"
        for finding in examine(config)
    )


def _spool(spool: Path) -> str:
    usage = shutil.disk_usage(spool.parent)
    with closing(sqlite3.connect(f"file:{spool}?mode=ro", uri=True)) as database:
        states = database.execute("SELECT state, COUNT(*) FROM reading GROUP BY state").fetchall()
    counts = "".join(f"{state} {count}\n" for state, count in states)
    return f"{spool.stat().st_size} bytes, {usage.free} of {usage.total} free\n{counts}"


def _tail(path: Path) -> str:
    with path.open() as lines:
        return "".join(deque(_short(lines), maxlen=_LINES))


def _short(lines: Iterator[str]) -> Iterator[str]:
    return (line[:4_096] for line in lines)


def journal() -> str:
    """The end of the service's journal, or why there is none."""
    command = ["journalctl", "--no-pager", "-q", "-o", "cat", "-n", str(_LINES), "-u", _UNIT]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_JOURNAL_S, check=False
        )
    except (OSError, subprocess.SubprocessError) as reason:
        return f"not to be had: {reason}\n"
    said = done.stderr.strip() or f"the journal has nothing of a service {_UNIT}"
    return done.stdout or (
        f"empty: {said}. A gateway that systemd does not run, or whose journal this user may not"
        " read, writes its log elsewhere: send that too\n"
    )
