"""Stories of four validators, to be read: what is seen is compared line by line.

`pytest tests/consensus/test_scripts.py --rewrite` writes them anew; read the difference.
"""

from pathlib import Path

import pytest

from tests.consensus.stage import perform

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.txt"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_played_as_written(path: Path, rewrite: bool) -> None:
    seen = perform(path)
    if rewrite:
        path.write_text(seen)
    assert seen == path.read_text()
