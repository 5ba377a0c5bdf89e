"""Nineteen shipped bugs: none is here, and each, put back, is found by the history of its name."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.consensus.mutants import MUTANTS, rows
from tests.consensus.mutation import Edit, Mutant, planted
from tests.consensus.nineteen import BUGS
from validator.consensus.machine import Machine
from wire.errors import Refused

PAGE = Path(__file__).parents[2] / "docs" / "CONSENSUS.md"
HEAD = "| | bug | told in | rule | history | put back as |\n|---|---|---|---|---|---|\n"

HISTORIES = [
    pytest.param(history, id=f"{bug.number:02}-{history.__name__}-{bug.source.split(',')[0]}")
    for bug in BUGS
    for history in bug.histories
]


def killers(mutant: Mutant) -> list[str]:
    """The histories of the mutant's bug that fail with it."""
    bug = next(each for each in BUGS if each.number == mutant.bug)
    found = []
    for history in bug.histories:
        with planted(mutant):
            try:
                history()
            except (AssertionError, pytest.fail.Exception, Refused):
                found.append(history.__name__)
    return found


@pytest.mark.parametrize("history", HISTORIES)
def test_a_shipped_bug_is_not_here(history: Callable[[], None]) -> None:
    history()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.bug:02}-{mutant.name}")
def test_a_shipped_bug_that_is_put_back_is_killed(mutant: Mutant) -> None:
    assert killers(mutant) != []


def test_every_bug_has_a_mutant_and_every_history_kills_one() -> None:
    assert [bug.number for bug in BUGS] == list(range(1, 20))
    assert {mutant.bug for mutant in MUTANTS} == {bug.number for bug in BUGS}
    killed = {name for mutant in MUTANTS for name in killers(mutant)}
    assert killed == {history.__name__ for bug in BUGS for history in bug.histories}


def test_a_mutant_ends_with_its_block_and_fails_loudly_on_other_code() -> None:
    before = vars(Machine)["step"]
    with planted(MUTANTS[2]):
        assert vars(Machine)["step"] is not before
    assert vars(Machine)["step"] is before
    with pytest.raises(AssertionError, match="0 times"):
        planted(Mutant(0, "", (Edit(Machine, "step", "no such text", ""),))).__enter__()


def test_the_page_has_the_table(rewrite: bool) -> None:
    before, head, after = PAGE.read_text().partition(HEAD)
    table, _, rest = after.partition("\n\n")
    assert head, "the table's head is not on the page"
    if rewrite:
        PAGE.write_text("\n\n".join([before + head + "\n".join(rows()), rest]))
    assert table.splitlines() == rows()
