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


def test_every_script_says_first_what_it_shows_and_every_rule_has_one() -> None:
    titles = {path.stem: path.read_text().splitlines()[0] for path in SCRIPTS}
    assert [stem for stem, title in titles.items() if not title.startswith("# ")] == []
    rules = {stem[:3] for stem in titles if stem.startswith("r")}
    assert {f"r{number:02}" for number in range(1, 13)} <= rules
    for stem, title in titles.items():
        if stem[:3] in rules:
            assert title.startswith(f"# R{int(stem[1:3])}. ")
