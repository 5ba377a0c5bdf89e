"""`gridwitness meter bench`: on this computer and on a board."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mpremote.transport_serial import SerialTransport

from device.provision import bench, bench_process
from device.provision.board import BoardRefused
from hwsim.board import Board
from wire.errors import Unavailable


def measure(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    parser = argparse.ArgumentParser()
    bench.add_bench_command(parser.add_subparsers())
    args = parser.parse_args(["bench", *arguments])
    assert args.run(args) == 0
    return capsys.readouterr().out


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    made = Board(tmp_path / "board")
    made.start()
    yield made
    made.close()


def install(board: Board, compiled: Path) -> None:
    """Put the firmware's package on the board, and no main.py: it stays at its console."""
    transport = SerialTransport(str(board.console.resolve()))
    transport.enter_raw_repl()
    for folder in ("/meter", "/meter/elements"):
        transport.fs_mkdir(folder)
    for path in sorted((compiled / "meter").rglob("*.mpy")):
        transport.fs_writefile("/" + str(path.relative_to(compiled)), path.read_bytes())
    transport.close()


def files_of(board: Board) -> Any:
    transport = SerialTransport(str(board.console.resolve()))
    transport.enter_raw_repl()
    names = [entry.name for entry in transport.fs_listdir("/")]
    transport.close()
    return names


def test_a_board_is_timed_over_its_console_and_left_as_it_was(
    board: Board, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench_process.compile_files(bench_process.board_files(), tmp_path / "compiled")
    install(board, tmp_path / "compiled")
    before = files_of(board)
    found = json.loads(measure(capsys, "--port", str(board.console), "--json"))
    assert found["figures"]["sign_ms"] > found["figures"]["longest_pause_ms"] > 0
    assert found["figures"]["times_faster"] > 1
    assert files_of(board) == before


def test_a_board_without_firmware_is_told_so_in_one_line(board: Board) -> None:
    with pytest.raises(BoardRefused, match="no working firmware: provision it first"):
        bench.of_board(str(board.console))


def test_a_port_where_nothing_answers_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="nothing-here"):
        bench.of_board(str(tmp_path / "nothing-here"))


def test_figures_of_a_process_stand_beside_their_limits(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = dict.fromkeys(("sign", "public-key", "nonce", "record", "self-test"), 2_000_000)
    monkeypatch.setattr(
        bench_process, "instructions", lambda *_: counts | {"sign-plain": 9_000_000}
    )
    lines = measure(capsys, "--simulate").splitlines()
    assert any(line.split() == ["times", "fewer", "4.50", "at", "least", "3.5"] for line in lines)
    assert any("estimate" in line and line.endswith("aim: 0.6") for line in lines)
    assert sum(line.endswith("at most 45,000") for line in lines) == 3


def test_without_valgrind_a_technician_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(Unavailable, match="apt-get install valgrind"):
        bench_process.instructions(tmp_path, ["sign"])


def test_an_estimate_is_by_the_formula_that_is_told() -> None:
    # 20.1 M here are 17.1 M on a Cortex-M3: 0.197 s on a Pyboard by its own cycles.
    assert bench.estimate_s(20_100_000, 1.0) == (0.197, 0.293)
