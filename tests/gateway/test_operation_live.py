"""A gateway as an operator runs it: readiness, watchdog, reload, and the bundle for who helps."""

import http.client
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.operation.bundle import journal
from gridwitness.addresses import free_ports
from gridwitness.network import Network, make_network
from gridwitness.network_commands import GATEWAY, synthetic_plan
from tests.gateway.test_watchdog import Manager

PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    return make_network(tmp_path_factory.mktemp("operated") / "here", synthetic_plan("ops", 4))


class Operated:
    """`gridwitness gateway run`, and the service manager that started it."""

    def __init__(self, file: Path, folder: Path) -> None:
        self.manager = Manager(folder / "notify")
        environment = {
            **os.environ,
            "NOTIFY_SOCKET": str(self.manager.path),
            "WATCHDOG_USEC": "600000",
        }
        environment.pop("WATCHDOG_PID", None)
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gridwitness.cli", "gateway", "run", str(file)],
                env=environment,
                stderr=log,
            )

    def hears(self, state: str) -> None:
        """Wait until the service manager is told this."""
        self._wait(lambda: state in self.manager.heard(), f"no {state}")

    def logs(self, words: str) -> None:
        """Wait until the log says this."""
        self._wait(lambda: words in self.log.read_text(), f"the log never says {words!r}")

    def _wait(self, condition: Callable[[], bool], otherwise: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline_s, f"{otherwise}: {self.log.read_text()}"
            time.sleep(0.02)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.manager.close()


@pytest.fixture
def file(network: Network, tmp_path: Path) -> Path:
    """The gateway's configuration, with a status page on a free port and a spool of its own."""
    (port,) = free_ports(1)
    home = network.gateway(GATEWAY)
    lines = []
    for line in home.read_text().splitlines():
        if line.startswith("status ="):
            line = f'status = "127.0.0.1:{port}"'
        if line.startswith("spool ="):
            line = f'spool = "{tmp_path / "spool.sqlite"}"'
        lines.append(line)
    path = home.with_name(f"{tmp_path.name}.toml")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def operated(file: Path, tmp_path: Path) -> Iterator[Operated]:
    made = Operated(file, tmp_path)
    yield made
    made.close()


def status(file: Path) -> dict[str, Any]:
    line = next(line for line in file.read_text().splitlines() if line.startswith("status ="))
    host, _, port = line.partition('"')[2].rstrip('"').rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request("GET", "/status")
    report: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return report


def test_the_service_manager_hears_of_readiness_and_progress(operated: Operated) -> None:
    operated.hears("READY=1")
    operated.hears("WATCHDOG=1")
    operated.hears("WATCHDOG=1")
    operated.process.send_signal(signal.SIGTERM)
    assert operated.process.wait(PATIENCE_S) == 0


def test_a_changed_file_is_taken_at_sighup_and_a_bad_one_changes_nothing(
    operated: Operated, file: Path
) -> None:
    operated.hears("READY=1")
    before = file.read_text()
    assert status(file)["configuration"] == "as in its file"
    file.write_text(before.replace("timeout_ms =", "timeout_ms = 4 #"))
    operated.process.send_signal(signal.SIGHUP)
    operated.logs("timeout_ms is 4; it can be 10 to 60000")
    assert "the old one holds" in status(file)["configuration"]
    file.write_text(before.replace("max_wait_s =", "max_wait_s = 77 #"))
    operated.process.send_signal(signal.SIGHUP)
    operated.logs("batches changed: that needs a new start")
    file.write_text(before.replace("timeout_ms =", "timeout_ms = 321 #"))
    operated.process.send_signal(signal.SIGHUP)
    operated.logs("0 buses go on, 1 changed, 0 new, 0 gone")
    assert status(file)["configuration"] == "as in its file"
    operated.process.send_signal(signal.SIGTERM)
    assert operated.process.wait(PATIENCE_S) == 0


def secrets(folder: Path) -> Iterator[bytes]:
    """Every PIN, passphrase and private key of a gateway's folder."""
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        content = path.read_bytes().strip()
        if b"PRIVATE KEY" in content:
            yield content.splitlines()[1]
        elif "pin" in path.name or "passphrase" in path.name:
            yield content


def bundle(file: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gridwitness.cli", "gateway", "bundle", str(file)]
    return subprocess.run(
        [*command, "--out", str(out)], capture_output=True, text=True, check=False
    )


def parts_of(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as opened:
        return {
            Path(entry.name).name: opened.extractfile(entry).read()  # type: ignore[union-attr]
            for entry in opened
        }


def test_a_bundle_holds_what_helps_and_no_secret(
    operated: Operated, file: Path, tmp_path: Path
) -> None:
    operated.hears("READY=1")
    out = tmp_path / "bundle.tar.gz"
    done = bundle(file, out)
    assert done.returncode == 0, done.stderr
    parts = parts_of(out)
    assert set(parts) == {
        *("about.txt", "gateway.toml", "status.json", "doctor.txt"),
        *("spool.txt", "audit.jsonl", "journal.txt"),
    }
    assert json.loads(parts["status.json"])["gateway"] == GATEWAY
    assert b"broker" in parts["doctor.txt"]
    assert parts["journal.txt"].strip()
    kept = list(secrets(file.parent))
    assert len(kept) >= 2
    everything = b"".join(parts.values()) + done.stdout.encode() + done.stderr.encode()
    assert not [secret for secret in kept if secret in everything]
    again = bundle(file, out)
    assert again.returncode != 0
    assert "Traceback" not in again.stderr


def test_a_bundle_of_a_gateway_that_does_not_run_says_so(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle.tar.gz"
    secret = 'pkcs11:token=a;object=b?pin-value=31415926&module-path=x"'
    file.write_text(file.read_text() + f"# {secret}\n")
    done = bundle(file, out)
    assert done.returncode == 0, done.stderr
    texts = parts_of(out)
    assert texts["status.json"].startswith(b"not to be had: no gateway answers at 127.0.0.1:")
    assert texts["spool.txt"].startswith(b"not to be had")
    assert b"31415926" not in b"".join(texts.values())


def test_a_bundle_says_why_there_is_no_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = tmp_path / "journalctl"
    quiet.write_text("#!/bin/sh\n")
    quiet.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert "A gateway that systemd does not run" in journal()
