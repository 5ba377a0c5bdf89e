"""What happens to the firmware's sources before they are compiled, and what does not."""

import ast
import builtins
from pathlib import Path

import pytest

from device.provision.inlining import inline

FIRMWARE = Path(__file__).parents[2] / "device" / "firmware"
SOURCES = {
    str(path.relative_to(FIRMWARE)): path.read_text() for path in sorted(FIRMWARE.rglob("*.py"))
}

RECORD = '''"""Bits."""
BITS = 4
HELD = 1 << BITS  # 16.
NAME = "text"
LARGE = 1 << 30
ONE, TWO = 1, -2
MOVING = 3
MOVING = 4
'''
APP = """from meter import record
from meter.record import (
    NAME,
    HELD,
)
SIZE = 2 * HELD

def sign(bits, ONE):
    if bits & record.HELD and bits != record.TWO:
        return (SIZE, HELD,
                ONE, record.MOVING, record.LARGE, NAME)
"""


@pytest.fixture
def inlined() -> dict[str, str]:
    return inline({"meter/record.py": RECORD, "meter/app.py": APP})


def test_a_constant_stands_where_it_is_used_in_any_module(inlined: dict[str, str]) -> None:
    assert "    if bits & (16) and bits != (-2):" in inlined["meter/app.py"].splitlines()
    assert "        return ((32), (16)," in inlined["meter/app.py"].splitlines()


def test_its_definition_and_its_import_are_gone(inlined: dict[str, str]) -> None:
    assert inlined["meter/record.py"].splitlines()[1:3] == ["pass", "pass  # 16."]
    assert "from meter.record import NAME" in inlined["meter/app.py"]


def test_what_is_no_small_constant_stays(inlined: dict[str, str]) -> None:
    for line in ('NAME = "text"', "LARGE = 1 << 30", "MOVING = 3", "MOVING = 4"):
        assert line in inlined["meter/record.py"].splitlines()
    assert "                ONE, record.MOVING, record.LARGE, NAME)" in inlined["meter/app.py"]


def test_a_name_in_an_f_string_stays() -> None:
    source = "DAYS = 35\n\n\ndef words():\n    return f'{DAYS} days'\n"
    assert inline({"meter/words.py": source}) == {"meter/words.py": source}


@pytest.mark.parametrize("path", SOURCES)
def test_lines_of_the_firmware_keep_their_numbers(path: str) -> None:
    before, after = SOURCES[path], inline(SOURCES)[path]
    assert after.count("\n") == before.count("\n")
    assert definitions(after) == definitions(before)


def definitions(source: str) -> list[tuple[str, int]]:
    return [
        (node.name, node.lineno)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]


def unknown(source: str) -> set[str]:
    """Names that a module uses and binds nowhere."""
    used: set[str] = set()
    bound = set(dir(builtins))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    return used - bound


@pytest.mark.parametrize("path", SOURCES)
def test_no_name_of_the_firmware_is_lost(path: str) -> None:
    assert unknown(inline(SOURCES)[path]) <= unknown(SOURCES[path])


def test_no_module_asks_another_for_a_constant_that_is_gone() -> None:
    after = {path: ast.parse(text) for path, text in inline(SOURCES).items()}
    names = {
        Path(path).stem: {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        | {node.name for node in ast.walk(tree) if hasattr(node, "name")}
        for path, tree in after.items()
    }
    for tree in after.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                module = node.value.id
                if node.attr.isupper() and module in names:
                    assert node.attr in names[module], f"{module}.{node.attr}"
