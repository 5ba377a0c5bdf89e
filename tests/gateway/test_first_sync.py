"""After a start of the machine boundaries wait for the first synchronisation, once."""

from pathlib import Path

import pytest

from gateway import timing
from gateway.timing import SET, SYNCHRONISED, ClockQuality, FirstSync


class Kernel:
    """What the kernel says of its clock."""

    def __init__(self) -> None:
        self.quality = SET

    def __call__(self) -> ClockQuality:
        return ClockQuality(self.quality, 16_000)


@pytest.fixture
def boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "boot_id"
    path.write_text("first\n")
    monkeypatch.setattr(timing, "_BOOT_ID", path)
    return path


def test_boundaries_wait_until_something_disciplines_the_clock(tmp_path: Path, boot: Path) -> None:
    kernel = Kernel()
    sync = FirstSync(tmp_path / "mark", True, kernel)
    assert not sync.ready()
    kernel.quality = SYNCHRONISED
    assert sync.ready()
    kernel.quality = SET  # Lost later: a matter of error bounds, not of waiting.
    assert sync.ready()


def test_a_program_that_starts_again_does_not_wait_again(tmp_path: Path, boot: Path) -> None:
    kernel = Kernel()
    kernel.quality = SYNCHRONISED
    assert FirstSync(tmp_path / "mark", True, kernel).ready()
    kernel.quality = SET
    assert FirstSync(tmp_path / "mark", True, kernel).ready()
    boot.write_text("second\n")  # But a machine that starts again does.
    assert not FirstSync(tmp_path / "mark", True, kernel).ready()


def test_an_operator_can_vouch_for_the_clock(tmp_path: Path, boot: Path) -> None:
    assert FirstSync(tmp_path / "mark", False, Kernel()).ready()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"first"])
def test_a_mark_counts_only_when_it_names_this_start(
    tmp_path: Path, boot: Path, content: bytes
) -> None:
    (tmp_path / "mark").write_bytes(content)
    assert FirstSync(tmp_path / "mark", True, Kernel()).ready() is (content == b"first")


def test_where_the_kernel_names_no_start_nothing_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "_BOOT_ID", tmp_path / "none")
    (tmp_path / "mark").write_text("")
    assert not FirstSync(tmp_path / "mark", True, Kernel()).ready()
    (tmp_path / "folder").mkdir()
    kernel = Kernel()
    kernel.quality = SYNCHRONISED
    assert FirstSync(tmp_path / "folder", True, kernel).ready()  # A mark that cannot be written.
