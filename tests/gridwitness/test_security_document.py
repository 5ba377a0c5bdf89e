"""docs/SECURITY.md names tests that exist, and every command of ours stands in a document."""

import argparse
import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from gridwitness.cli import COMMANDS, parser_for

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/SECURITY.md"


@cache
def all_tests() -> frozenset[str]:
    found = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(node.name)
    return frozenset(found)


@cache
def documents() -> str:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *(ROOT / "docs").glob("*.md")]
    return "\n".join(page.read_text() for page in sorted(pages))


def test_every_test_that_the_security_page_names_exists() -> None:
    named = re.findall(r"\b(test_\w+)`", PAGE.read_text())
    assert len(named) > 40
    assert [name for name in named if name not in all_tests()] == []


def test_every_file_that_the_security_page_links_exists() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", PAGE.read_text())
    assert [each for each in targets if not (PAGE.parent / each).exists()] == []


def commands(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Every command under a parser, as it is typed."""
    groups = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    if not groups:
        yield parser.prog
    for group in groups:
        for below in group.choices.values():
            yield from commands(below)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_stands_in_a_document(command: str) -> None:
    found = list(commands(parser_for([command])))
    assert found
    assert [each for each in found if not is_told(each)] == []


def is_told(command: str) -> bool:
    """Whether it stands in a document, or its last word does where the words before it do."""
    words = command.removeprefix("gridwitness ")
    before, _, last = words.rpartition(" ")
    return words in documents() or (before in documents() and f"`{last}`" in documents())
