"""Names that only their own module can know are short ones on a board.

MicroPython keeps every name of a program once, for as long as it runs, with some 20 bytes beside
its letters; the meter had five hundred. Two kinds of them say nothing to anybody outside: a
parameter that nobody passes by name, or a variable, and a name with an underscore in front. They
become single letters, the same ones for all: in a function and of an object from `a` on, in a
module from `z` back, behind the alphabet `_0`, `_1` … Like `inlining` this works on text, and lines
stay lines.

Decides which names those are, and what is done to sources before mpy-cross sees them (`compact`).
Public names, classes and what stands in texts stay, so whatever a board or a console asks for is
there. Leaves compiling to others.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from string import ascii_lowercase

from device.provision.inlining import inline

OPTIONS = ("-O3",)
"""For mpy-cross: no line numbers, which nobody reads of a meter in its case."""

_PRIVATE = re.compile(r"_[A-Za-z]\w*")

Edit = tuple[int, int, str, str]
"""Line, column in bytes, the name that stands there, the name that comes there."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def compact(sources: Mapping[str, str]) -> dict[str, str]:
    """Sources by path as mpy-cross gets them; they must be all that know of each other."""
    return shorten(inline(sources))


def shorten(sources: Mapping[str, str]) -> dict[str, str]:
    """The same sources with short names."""
    trees = {path: ast.parse(text) for path, text in sources.items()}
    kept = set().union(*map(_told, trees.values()))
    for tree in trees.values():
        kept |= _private(_mentioned(tree)) - _defined(tree)
    return {
        path: _rewritten(sources[path], sorted(_edits(tree, kept), reverse=True))
        for path, tree in trees.items()
    }


def _told(tree: ast.Module) -> Iterator[str]:
    """Names by which something is passed, imported or caught, and those in f-strings.

    Python 3.11 does not know where in its line a name in an f-string stands.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg:
            yield node.arg
        elif isinstance(node, ast.alias | ast.ExceptHandler):
            yield node.name or ""
        elif isinstance(node, ast.Global | ast.Nonlocal):
            yield from node.names
        elif isinstance(node, ast.JoinedStr):
            yield from _mentioned(node)


def _mentioned(tree: ast.AST) -> Iterator[str]:
    """Every name and attribute in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def _private(names: Iterable[str]) -> set[str]:
    return {name for name in names if _PRIVATE.fullmatch(name)}


def _defined(tree: ast.Module) -> set[str]:
    """Private names that this module gives to something."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, Function | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
    return _private(found)


def _edits(tree: ast.Module, kept: set[str]) -> Iterator[Edit]:
    """All that changes in a module."""
    private = _defined(tree) - kept
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.name for node in tree.body if isinstance(node, Function | ast.ClassDef)}
    own = dict(zip(sorted(private & names), _short(ascii_lowercase[::-1], names), strict=False))
    kept = kept | {"self"} | {node.id for node in _outside(tree) if isinstance(node, ast.Name)}
    attributes = dict(zip(sorted(private - names), _short(ascii_lowercase, set()), strict=False))
    for node in _outside(tree):
        if isinstance(node, Function):
            local = own | _variables(node, kept, set(own.values()))
            for inner in ast.walk(node):
                yield from _edit(inner, own | attributes, local)
        else:
            yield from _edit(node, own | attributes, own)


def _short(letters: str, taken: set[str]) -> Iterator[str]:
    """Names that are not taken, as short as they go."""
    yield from (letter for letter in letters if letter not in taken)
    yield from (f"_{number}" for number in count())


def _outside(tree: ast.AST) -> Iterator[ast.AST]:
    """What is in a module; its functions and methods as wholes."""
    for node in ast.iter_child_nodes(tree):
        yield node
        if not isinstance(node, Function):
            yield from _outside(node)


def _variables(function: Function, kept: set[str], taken: set[str]) -> dict[str, str]:
    """Short names for the parameters and variables of a function and of those within it."""
    inside = list(ast.walk(function))
    names = [node for node in inside if isinstance(node, ast.Name)]
    given = {node.arg: None for node in inside if isinstance(node, ast.arg)}
    given |= {node.id: None for node in names if isinstance(node.ctx, ast.Store)}
    letters = _short(ascii_lowercase, taken | given.keys() | {node.id for node in names})
    return dict(zip([name for name in given if name not in kept], letters, strict=False))


def _edit(node: ast.AST, private: Mapping[str, str], local: Mapping[str, str]) -> Iterator[Edit]:
    """How a node changes by itself."""
    if isinstance(node, ast.Name) and node.id in local:
        yield node.lineno, node.col_offset, node.id, local[node.id]
    elif isinstance(node, ast.arg) and node.arg in local:
        yield node.lineno, node.col_offset, node.arg, local[node.arg]
    elif isinstance(node, ast.Attribute) and node.attr in private:
        line, end = node.end_lineno or 0, node.end_col_offset or 0
        yield line, end - len(node.attr), node.attr, private[node.attr]
    elif isinstance(node, Function | ast.ClassDef) and node.name in private:
        word = "class " if isinstance(node, ast.ClassDef) else "def "
        yield node.lineno, node.col_offset + len(word), node.name, private[node.name]


def _rewritten(source: str, from_the_end: Iterable[Edit]) -> str:
    lines = source.encode().split(b"\n")
    for line, column, before, after in from_the_end:
        text = lines[line - 1]
        rest = text[column:]
        if not rest.startswith(before.encode()):
            raise ValueError(f"line {line}: {before} is not where it should be")
        lines[line - 1] = text[:column] + after.encode() + rest[len(before) :]
    return b"\n".join(lines).decode()
