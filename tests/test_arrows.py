"""Rules about the code itself: who may import whom, and how long things may grow."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Arrows point from the world towards the wire; nothing points back. The firmware's own package,
# as a board sees it, is `meter`.
MAY_IMPORT: dict[str, set[str]] = {
    "wire": {"wire"},
    "hsm": {"hsm", "wire"},
    "gateway": {"gateway", "wire", "hsm"},
    "validator": {"validator", "wire", "hsm"},
    "hw-sim/hwsim": {"hwsim", "wire"},
    "device/provision": {"device", "wire", "hsm"},
    "device/firmware": {"meter"},
    "gridwitness": {"gridwitness", "wire", "hsm", "gateway", "validator", "hwsim", "device"},
}
OURS = set().union(*MAY_IMPORT.values())
TOO_LONG = {"function": 50, "module": 400}

SOURCES = [
    pytest.param(room, path, id=str(path.relative_to(ROOT)))
    for room in MAY_IMPORT
    for path in sorted((ROOT / room).rglob("*.py"))
]
PYTHON_FILES = [
    pytest.param(path, id=str(path.relative_to(ROOT)))
    for folder in [*MAY_IMPORT, "tests"]
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def imported_packages(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
    return found


def long_functions(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > TOO_LONG["function"]:
                yield f"{node.name} has {lines} lines"


@pytest.mark.parametrize(("room", "path"), SOURCES)
def test_imports_follow_the_arrows(room: str, path: Path) -> None:
    assert imported_packages(ast.parse(path.read_text())) & OURS <= MAY_IMPORT[room]


@pytest.mark.parametrize("path", PYTHON_FILES)
def test_functions_fit_on_a_screen(path: Path) -> None:
    assert list(long_functions(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize("path", PYTHON_FILES)
def test_modules_hold_one_idea(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= TOO_LONG["module"]


def test_packages_mark_themselves_with_an_empty_init() -> None:
    # On a board a package is loaded as a module like others, and one more costs memory.
    rooms = MAY_IMPORT.keys() - {"device/firmware"}
    marks = [
        *(path for room in rooms for path in (ROOT / room).rglob("__init__.py")),
        *(ROOT / "tests").rglob("__init__.py"),
    ]
    assert [mark for mark in marks if mark.stat().st_size or ROOT / "tests" in mark.parents] == []


def test_names_of_test_files_are_unique() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))
