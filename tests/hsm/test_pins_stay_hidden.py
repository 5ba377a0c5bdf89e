"""A PIN is in its file and in the token's process, and nowhere that anybody else looks."""

import contextlib
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsm import ceremony
from hsm.refusals import PinRefused
from hsm.signer import open_signer
from hsm.uri import KeyUri, Pin
from tests.hsm.tokens import Token
from wire.errors import Refused, Unavailable
from wire.keys import ES256

MARKS = {"pin": "marked-pin-5821", "wrong": "marked-bad-7730", "so": "marked-so-90417"}
DUMPABLE = """
import ctypes, resource
from hsm.worker import leave_no_core
leave_no_core()
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE)[1])
"""


class Watch:
    """Looks at every process's arguments and environment while something runs."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.processes: set[str] = set()

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self._look, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _look(self, stop: threading.Event) -> None:
        while not stop.wait(0.02):
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):
                        self._read((process / name).read_bytes(), name)

    def _read(self, content: bytes, name: str) -> None:
        if name == "cmdline" and b"hsm.worker" in content:
            self.processes.add("worker")
        self.seen.update(mark for mark in MARKS.values() if mark.encode() in content)


@pytest.fixture
def bare(tmp_path: Path) -> Token:
    """A place for a token, with PIN files but no token yet."""
    made = Token(tmp_path)
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path}/tokens\n")
    made.pin_file.write_text(MARKS["pin"])
    made.pin_file.chmod(0o600)
    (tmp_path / "so-pin").write_text(MARKS["so"])
    return made


def command(token: Token, *arguments: str) -> str:
    """Run the real command; everything that it says."""
    done = subprocess.run(
        [Path(sys.executable).with_name("gridwitness"), "hsm", *arguments],
        cwd=token.folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout + done.stderr


def test_no_command_shows_a_pin_to_anybody(bare: Token) -> None:
    place = [bare.text("w"), "--softhsm2-conf", str(bare.conf)]
    watch, said = Watch(), ""
    with watch.looking():
        said += command(bare, "token", *place, "--so-pin-file", "so-pin")
        said += command(bare, "key", *place, "--audit", "audit.jsonl", "--report", "report.json")
        said += command(bare, "doctor", *place, "--reconnect", "--json")
        bare.pin_file.write_text(MARKS["wrong"])
        said += command(bare, "doctor", *place)
        said += command(bare, "request", *place, "--cn", "gw-north")
    assert '"good": true' in said
    assert "PinIncorrect" in said
    assert "was refused before" in said
    assert watch.processes == {"worker"}
    assert watch.seen == set()
    secrets = {bare.pin_file, bare.folder / "so-pin"}
    files = [path for path in bare.folder.rglob("*") if path.is_file() and path not in secrets]
    assert len(files) > 5
    for mark in MARKS.values():
        assert mark not in said
        assert [path for path in files if mark.encode() in path.read_bytes()] == []


def test_no_traceback_shows_a_pin_even_with_its_variables(token: Token) -> None:
    public = token.make("w", ES256)
    right = Pin(token.pin_file.read_text())
    token.pin_file.write_text(MARKS["wrong"])
    shown = []
    for attempt in (
        lambda: open_signer(token.uri("w"), token.conf, public).sign(b"m"),
        lambda: open_signer(token.uri("w"), token.conf, public).sign(b"m"),
        lambda: ceremony.make_key(token.uri("new"), ES256, token.conf),
        lambda: ceremony.init_token(
            KeyUri("tok", "", token.module), Pin(MARKS["so"]), Pin(MARKS["pin"]), token.conf
        ),
        lambda: ceremony.init_token(
            KeyUri("tok", "", Path("/none.so")), Pin(MARKS["so"]), Pin(MARKS["pin"])
        ),
    ):
        with pytest.raises((Refused, Unavailable)) as caught:
            attempt()
        told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        shown.append("".join(told.format()))
    assert isinstance(caught.value, Unavailable)
    assert any(PinRefused.__name__ in each for each in shown)
    for each in shown:
        assert "Pin(…)" in each or "PIN" in each or "token" in each
        for mark in (*MARKS.values(), right.reveal()):
            assert mark not in each


def test_the_process_that_has_the_pin_leaves_no_core(token: Token) -> None:
    token.make("w", ES256)
    signer = token.open("w")
    limits = Path(f"/proc/{signer.pid}/limits")
    if os.access(limits, os.R_OK):  # Root may; others may not even look.
        (core,) = [line for line in limits.read_text().splitlines() if "core file size" in line]
        assert core.split()[4:6] == ["0", "0"]
    done = subprocess.run(
        [sys.executable, "-c", DUMPABLE], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["0", "0"]
