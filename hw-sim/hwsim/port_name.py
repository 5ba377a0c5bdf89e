"""A name of one's own for a pseudo-terminal: a symlink, which never takes a file's place."""

import errno
from pathlib import Path


def give(name: Path, terminal: str) -> None:
    """Let `name` lead to a terminal from now on; an older symlink of that name is replaced.

    Raises FileExistsError when something else than a symlink has the name.
    """
    check(name)
    part = name.with_name(name.name + ".new")
    check(part)
    part.unlink(missing_ok=True)
    part.symlink_to(terminal)
    part.replace(name)


def take_away(name: Path) -> None:
    """Remove the name, unless something else than a symlink has it by now."""
    if name.is_symlink():
        name.unlink(missing_ok=True)


def check(name: Path) -> None:
    """Refuse a name that something else than a symlink has; raises FileExistsError."""
    if name.exists() and not name.is_symlink():
        what = "a folder" if name.is_dir() else "a file"
        words = f"is {what}; only a symlink is replaced: choose another name"
        raise FileExistsError(errno.EEXIST, words, str(name))
