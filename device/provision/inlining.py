"""Small constants of the firmware are written where they are used, before it is compiled.

A name like `record.VALUE_HELD` costs a board some 40 bytes of memory for a number that fits an
instruction. MicroPython's `const()` helps within one module and wants names of its own; this does
the same over all of them, on text, so that line numbers stay those of the sources.

Decides which names are constants: in capitals, bound in one place, at the top level, to an integer
that is a small one on 32 bits too. A board's console does not find them any more; all else is as it
was. Leaves compiling to mpy-cross.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from types import SimpleNamespace

PACKAGE = "meter"

_CAPITALS = re.compile(r"_?[A-Z][A-Z0-9_]*")
_SMALL = 1 << 30

Edit = tuple[ast.stmt | ast.expr, str]
"""A piece of syntax, and the text that takes its place."""


def inline(sources: Mapping[str, str]) -> dict[str, str]:
    """The same sources, by path as `meter/record.py`, with constants in place.

    Whoever uses a constant must be among them: its name is gone.
    """
    modules = {path: Module(text) for path, text in sources.items()}
    by_name = {
        path.removesuffix(".py").replace("/", "."): module for path, module in modules.items()
    }
    before = -1
    while before != (found := sum(len(module.constants) for module in modules.values())):
        before = found
        for module in modules.values():
            module.learn(by_name)
    return {path: module.rewritten(module.edits(by_name)) for path, module in modules.items()}


def _bound(tree: ast.Module) -> Iterator[str]:
    """Every name that is bound anywhere, as often as it is; in an f-string once more.

    Python 3.11 does not know where in its line a name in an f-string stands.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.JoinedStr):
            yield from (inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name))


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """Names and their values of `A = 1` and `A, B = 1, 2`."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, its_value in zip(target.elts, value.elts, strict=True):
            yield from _pairs(one, its_value)
    elif isinstance(target, ast.Name):
        yield target.id, value


def _imported(
    statement: ast.ImportFrom, others: Mapping[str, "Module"]
) -> Iterator[tuple[str, int | SimpleNamespace]]:
    """What an import from the package brings: constants, and modules with theirs."""
    for alias in statement.names:
        here = alias.asname or alias.name
        if statement.module == PACKAGE and f"{PACKAGE}.{alias.name}" in others:
            yield here, SimpleNamespace(**others[f"{PACKAGE}.{alias.name}"].constants)
        elif statement.module is not None and statement.module in others:
            constant = others[statement.module].constants.get(alias.name)
            if constant is not None:
                yield here, constant


def _import_edits(
    statement: ast.ImportFrom, meanings: Mapping[str, int | SimpleNamespace]
) -> Iterator[Edit]:
    """Constants are no longer imported."""
    left = [
        alias
        for alias in statement.names
        if not isinstance(meanings.get(alias.asname or alias.name), int)
    ]
    if len(left) < len(statement.names):
        kept = ast.ImportFrom(statement.module, left, statement.level)
        yield statement, ast.unparse(kept) if left else "pass"


class Module:
    """One source, and what its names stand for."""

    def __init__(self, source: str) -> None:
        """Parse it; its constants are found later, as they may follow from another module's."""
        self.tree = ast.parse(source)
        self.constants: dict[str, int] = {}
        self.known: dict[str, int | SimpleNamespace] = {}
        self._lines = source.encode().split(b"\n")

    def learn(self, others: Mapping[str, "Module"]) -> None:
        """Find names that stand for constants, its own and those of modules that it imports."""
        bound = Counter(_bound(self.tree))
        for statement in self.tree.body:
            if isinstance(statement, ast.ImportFrom):
                for name, meaning in _imported(statement, others):
                    self.known[name] = meaning
            elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
                for target, value in _pairs(statement.targets[0], statement.value):
                    number = self._number(value)
                    if bound[target] == 1 and _CAPITALS.fullmatch(target) and number is not None:
                        self.constants[target] = self.known[target] = number

    def _number(self, node: ast.expr) -> int | None:
        """What an expression of constants comes to, if it is a small integer."""
        code = compile(ast.Expression(node), "constant", "eval")
        try:
            found = eval(code, {"__builtins__": {}}, dict(self.known))
        except (NameError, AttributeError, TypeError):
            return None
        return found if type(found) is int and abs(found) < _SMALL else None

    def edits(self, others: Mapping[str, "Module"]) -> Iterator[Edit]:
        """What changes: constants go where they are used, and their definitions go."""
        for statement in self.tree.body:
            if isinstance(statement, ast.ImportFrom):
                yield from _import_edits(statement, dict(_imported(statement, others)))
            elif self._is_definition(statement):
                yield statement, "pass"
            else:
                yield from self._uses(statement)

    def _is_definition(self, statement: ast.stmt) -> bool:
        """Whether it binds constants only."""
        if not isinstance(statement, ast.Assign):
            return False
        targets = [name for name, _ in _pairs(statement.targets[0], statement.value)]
        return bool(targets) and all(name in self.constants for name in targets)

    def _uses(self, statement: ast.stmt) -> Iterator[Edit]:
        for node in ast.walk(statement):
            if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load):
                number = self._number(node)
                if number is not None:
                    yield node, f"({number})"

    def rewritten(self, edits: Iterator[Edit]) -> str:
        """The source with edits done; as many lines as before."""
        lines = list(self._lines)
        from_the_end = sorted(edits, key=lambda e: (e[0].lineno, e[0].col_offset), reverse=True)
        for node, text in from_the_end:
            first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
            tail = lines[last][node.end_col_offset :]
            lines[first] = lines[first][: node.col_offset] + text.encode() + tail
            lines[first + 1 : last + 1] = [b""] * (last - first)
        return b"\n".join(lines).decode()
