"""`gridwitness meter bench`: on this computer and on a board."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from littlefs import LittleFS, UserContext

from device.provision import bench, bench_process
from device.provision.faults import BoardRefused, Fault
from hwsim.board import FLASH_BLOCKS, Board
from wire.errors import Unavailable

BLOCK = 4096


def measure(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    parser = argparse.ArgumentParser()
    bench.add_bench_command(parser.add_subparsers())
    args = parser.parse_args(["bench", *arguments])
    assert args.run(args) == 0
    return capsys.readouterr().out


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    made = Board(tmp_path / "board")
    yield made
    made.close()


def files_of(board: Board) -> list[str]:
    """What is at the top of its flash, while it is switched off."""
    context = UserContext(BLOCK * FLASH_BLOCKS)
    context.buffer = bytearray((board.folder / "flash.img").read_bytes())
    flash = LittleFS(context, mount=False, block_size=BLOCK, block_count=FLASH_BLOCKS)
    flash.mount()
    names: list[str] = flash.listdir("/")
    return names


def install(board: Board, compiled: Path) -> None:
    """Put the firmware's package on the board, and no main.py: it stays at its console."""
    context = UserContext(BLOCK * FLASH_BLOCKS)
    flash = LittleFS(
        context, mount=False, block_size=BLOCK, block_count=FLASH_BLOCKS, disk_version=0x20000
    )
    flash.format()
    flash.mount()
    for path in sorted((compiled / "meter").rglob("*.mpy")):
        name = str(path.relative_to(compiled))
        flash.makedirs("/" + str(Path(name).parent), exist_ok=True)
        with flash.open("/" + name, "wb") as f:
            f.write(path.read_bytes())
    (board.folder / "flash.img").write_bytes(bytes(context.buffer))


def test_a_board_is_timed_over_its_console_and_left_as_it_was(
    board: Board, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench_process.compile_files(bench_process.board_files(), tmp_path / "compiled")
    install(board, tmp_path / "compiled")
    board.start()
    found = json.loads(measure(capsys, "--port", str(board.console), "--json"))
    assert found["figures"]["sign_ms"] > found["figures"]["longest_pause_ms"] > 0
    assert found["figures"]["times_faster"] > 1
    board.kill()
    assert files_of(board) == ["meter"]


def test_a_board_without_firmware_is_told_so_in_one_line(board: Board) -> None:
    board.start()
    with pytest.raises(BoardRefused, match="provision it first: ImportError: no module"):
        bench.of_board(str(board.console))


def test_a_port_where_nothing_answers_is_said(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="nothing-here"):
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
