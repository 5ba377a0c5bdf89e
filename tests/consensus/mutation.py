"""Puts a known bug back into the code, for as long as a `with` lasts.

A mutant is one or more edits, each of one function: this text instead of that one. The text must
stand in the function exactly once, so that a mutant of code that has changed fails loudly.
"""

import inspect
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

ROOMS = ("validator.", "hsm.", "tests.consensus")


@dataclass(frozen=True, slots=True)
class Edit:
    """One text in one function, replaced."""

    owner: Any
    """The class or module that the function belongs to."""

    function: str
    """Its name."""

    instead_of: str
    """What stands there; empty for the whole function."""

    now: str
    """What is put there."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug that somebody has shipped, put back."""

    bug: int
    """Number in the catalogue."""

    name: str
    """What is wrong, in a few words."""

    edits: tuple[Edit, ...]
    """How it is put back; several when several guards must fall before it shows."""


def _holders(owner: Any, name: str) -> list[Any]:
    """The owner, and the modules that have imported the function by its name."""
    if inspect.isclass(owner):
        return [owner]
    function = getattr(owner, name)
    modules = [module for key, module in sys.modules.items() if key.startswith(ROOMS)]
    return [module for module in modules if getattr(module, name, None) is function]


def _rewritten(edit: Edit) -> Any:
    original = getattr(edit.owner, edit.function)
    module = sys.modules[original.__module__]
    source = edit.now
    if edit.instead_of:
        source = textwrap.dedent(inspect.getsource(original))
        found = source.count(edit.instead_of)
        assert found == 1, f"{edit.function} has {edit.instead_of!r} {found} times, not once"
        source = source.replace(edit.instead_of, edit.now)
    made: dict[str, Any] = {}
    exec(compile(source, f"<mutant of {edit.function}>", "exec"), vars(module), made)
    return made[edit.function]


@contextmanager
def _edited(edit: Edit) -> Iterator[None]:
    holders = _holders(edit.owner, edit.function)
    known = [vars(holder)[edit.function] for holder in holders]
    rewritten = _rewritten(edit)
    for holder in holders:
        setattr(holder, edit.function, rewritten)
    try:
        yield
    finally:
        for holder, before in zip(holders, known, strict=True):
            setattr(holder, edit.function, before)


@contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """Run with the bug."""
    with ExitStack() as stack:
        for edit in mutant.edits:
            stack.enter_context(_edited(edit))
        yield
