"""Whatever a command has started or written for a while ends with it, however it is told to end."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from gridwitness.ending import in_order
from gridwitness.process_account import family
from tests.node.town import wait_for

COMMAND = (sys.executable, "-m", "gridwitness.cli")


def runs(pid: int) -> bool:
    """Whether a process is there, and no zombie that nobody has buried yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ledgers(pids: list[int]) -> set[str]:
    """Ledgers that processes have open."""
    found = set()
    for pid in pids:
        with suppress(OSError):  # Closed meanwhile, or ended.
            found |= {os.readlink(each) for each in Path(f"/proc/{pid}/fd").glob("*")}
    return {name for name in found if name.endswith("/ledger.sqlite")}


@pytest.mark.parametrize(
    ("arguments", "children"),
    [
        pytest.param(("bench", "validators", "--readings", "500"), 5, id="bench"),
        pytest.param(("sim", "torment", "--minutes", "1"), 5, id="torment"),
        pytest.param(("sim", "thousand", "--validators", "4"), 0, id="thousand"),
    ],
)
def test_sigterm_ends_a_command_and_all_that_it_has_started(
    arguments: tuple[str, ...], children: int, tmp_path: Path
) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [*COMMAND, *arguments], env=environment, stderr=subprocess.DEVNULL
    ) as process:
        try:
            wait_for(
                "it is under way",
                lambda: (
                    len(family(process.pid)) > children and len(ledgers(family(process.pid))) >= 4
                ),
            )
            started = family(process.pid)
            written = ledgers(started)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 128 + signal.SIGTERM
        finally:
            process.kill()
    wait_for("nobody is left", lambda: not any(map(runs, started)))
    assert [name for name in written if Path(name).exists()] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_who_is_told_to_end_while_ctrl_c_is_ignored_ends_too_and_once(
    number: signal.Signals,
) -> None:
    """A shell without job control starts what ends in `&` with Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with in_order() as ending:
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)
            signal.raise_signal(signal.SIGTERM)
        assert (ending.by, ending.status(0)) == (number, 128 + number)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_signal_that_was_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with in_order() as ending:
            signal.raise_signal(signal.SIGHUP)
        assert ending.status(0) == 0
    finally:
        signal.signal(signal.SIGHUP, before)
