"""Which names of the firmware are short on a board, and that it stays the same program."""

import ast
from pathlib import Path

import pytest

from device.provision.inlining import inline
from device.provision.shortening import compact, shorten

FIRMWARE = Path(__file__).parents[2] / "device" / "firmware"
SOURCES = {
    str(path.relative_to(FIRMWARE)): path.read_text() for path in sorted(FIRMWARE.rglob("*.py"))
}

MODULE = '''"""A module."""
import sys
from meter.other import _shared

_TABLE = "size"

class Meter:
    def __init__(self, size, clock=sys, *rest):
        self._size, self.clock = size, clock
        self._rest = rest  # With its size.

    def _grown(self, by):
        grown = [by + self._size for size in _walk(by)]
        try:
            return grown[0]
        except IndexError as by_error:
            return by_error

def _walk(size):
    yield from (lambda step: step + size, size.size, _shared, _TABLE)

def make(sys, element):
    return Meter(sys, clock=element)._grown(sys._machine)
'''
OTHER = """_shared = 1
_walk = 2
name = f"{_walk}"
"""


@pytest.fixture
def module() -> list[str]:
    return shorten({"meter/a.py": MODULE, "meter/other.py": OTHER})["meter/a.py"].splitlines()


def test_parameters_and_variables_are_letters_unless_they_are_passed_by_name(
    module: list[str],
) -> None:
    assert "    def __init__(self, a, clock=sys, *b):" in module
    assert "    yield from (lambda b: b + a, a.size, _shared, z)" in module


def test_private_names_are_letters_too_and_attributes_of_others_stay(module: list[str]) -> None:
    assert "        self.c, self.clock = a, clock" in module
    assert "        self.b = b  # With its size." in module
    assert "    def a(self, a):" in module
    assert "        b = [a + self.c for c in _walk(a)]" in module
    assert "        except IndexError as by_error:" in module


def test_a_name_that_stands_for_something_else_outside_stays(module: list[str]) -> None:
    assert "def make(sys, a):" in module, "sys is a module here"
    assert "    return Meter(sys, clock=a).a(sys._machine)" in module


def test_names_that_other_modules_import_or_an_f_string_has_stay() -> None:
    made = shorten({"meter/a.py": MODULE, "meter/other.py": OTHER})
    assert made["meter/other.py"] == OTHER


def _shape(tree: ast.Module) -> list[str]:
    return [type(node).__name__ for node in ast.walk(tree)]


def _said(node: ast.AST) -> list[object]:
    """What can be asked for from outside: public names, and every value."""
    names = [getattr(node, "name", None), getattr(node, "attr", None)]
    return [*names, repr(node.value) if isinstance(node, ast.Constant) else None]


@pytest.fixture(scope="module")
def firmware() -> dict[str, tuple[str, str]]:
    """Sources before and after, by path."""
    before, after = inline(SOURCES), compact(SOURCES)
    return {path: (before[path], after[path]) for path in SOURCES}


@pytest.mark.parametrize("path", SOURCES)
def test_the_firmware_keeps_its_shape_its_public_names_and_its_lines(
    path: str, firmware: dict[str, tuple[str, str]]
) -> None:
    before, after = firmware[path]
    assert before.count("\n") == after.count("\n")
    assert _shape(ast.parse(before)) == _shape(ast.parse(after))
    for old, new in zip(ast.walk(ast.parse(before)), ast.walk(ast.parse(after)), strict=True):
        for was, now in zip(_said(old), _said(new), strict=True):
            assert was == now or str(was).startswith("_")


@pytest.mark.parametrize("path", SOURCES)
def test_no_two_names_of_a_function_become_one(
    path: str, firmware: dict[str, tuple[str, str]]
) -> None:
    before, after = map(ast.parse, firmware[path])
    for old, new in zip(ast.walk(before), ast.walk(after), strict=True):
        if isinstance(old, ast.FunctionDef):
            pairs = {
                (_name(a), _name(b))
                for a, b in zip(ast.walk(old), ast.walk(new), strict=True)
                if isinstance(a, ast.Name | ast.arg)
            }
            assert len({was for was, _ in pairs}) == len({now for _, now in pairs}) == len(pairs)


def _name(node: ast.AST) -> str | None:
    return getattr(node, "id", None) or getattr(node, "arg", None)
