"""Which register templates there are, and where they come from.

A template is a TOML file with its source, the traps of its meter and golden frames; its hash
travels in every reading that was made with it (field 22), so that a wrong map can be found out
later. Decides that templates come with the gateway or from a folder that the operator names, that a
name never means two maps, and that a file is named as its template. `meters.template_file` reads
one file, `meters.decode` turns words into watt-hours, `polling.probing` asks a meter whether it is
one of these.
"""

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from gateway.meters.template import Template, UnknownTemplate
from gateway.meters.template_file import parse


def load(name: str, folder: Path | None = None) -> Template:
    """Return a template by its name; raises UnknownTemplate.

    Args:
        name: as configuration files call it.
        folder: where the operator keeps templates of his own, or None.
    """
    files = _files(folder)
    if name not in files:
        raise UnknownTemplate(
            f"no template {name!r}; there are {', '.join(sorted(files))} and gridwitness"
        )
    return _read(name, files[name])


def load_all(folder: Path | None = None) -> tuple[Template, ...]:
    """Return every template that there is, by name; raises UnknownTemplate."""
    return tuple(_read(name, file) for name, file in sorted(_files(folder).items()))


def _files(folder: Path | None) -> dict[str, Traversable]:
    """Names and files; a name that stands twice is refused, else a hash would mean two maps."""
    found = _in(resources.files("gateway.meters") / "templates")
    if folder is None:
        return found
    try:
        own = _in(folder)
    except OSError as reason:
        raise UnknownTemplate(f"the folder of templates {folder}: {reason.strerror}") from None
    twice = sorted(found.keys() & own.keys())
    if twice:
        raise UnknownTemplate(
            f"{folder / twice[0]}.toml: a template of that name comes with the gateway; rename it"
        )
    return found | own


def _in(folder: Traversable) -> dict[str, Traversable]:
    return {
        each.name.removesuffix(".toml"): each
        for each in folder.iterdir()
        if each.name.endswith(".toml")
    }


def _read(name: str, file: Traversable) -> Template:
    try:
        template = parse(file.read_bytes())
    except OSError as reason:
        raise UnknownTemplate(f"{name}.toml: {reason.strerror}") from None
    except UnknownTemplate as reason:
        raise UnknownTemplate(f"{file}: {reason}") from None
    if template.name != name:
        raise UnknownTemplate(f"{name}.toml: it calls itself {template.name!r}")
    return template
