"""A damaged ledger is said in words; the sign-state beside it is not touched."""

from pathlib import Path

import pytest

from validator.node.store import DamagedLedger, Store


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be read" * 40])
def test_a_file_that_is_no_ledger_is_refused_with_the_remedy(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(content)
    with pytest.raises(DamagedLedger, match="move it aside"):
        Store(path)


def test_a_damaged_page_is_found_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    Store(path).close()
    data = bytearray(path.read_bytes())
    data[4096:8192] = b"\xff" * 4096
    path.write_bytes(bytes(data))
    with pytest.raises(DamagedLedger):
        Store(path)
