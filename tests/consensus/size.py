"""How much a machine keeps: what a flood must not grow."""

from typing import Any

LEAVES = (str, bytes, int, float, type(None))


def kept_objects(thing: Any) -> int:
    """How many keys and values there are in all containers that belong to it."""
    if isinstance(thing, LEAVES):
        return 1
    if isinstance(thing, dict):
        return sum(1 + kept_objects(value) for value in thing.values())
    if isinstance(thing, list | set | frozenset):
        return sum(kept_objects(each) for each in thing)
    if type(thing).__module__.startswith("validator.consensus") and not _is_value(thing):
        return sum(kept_objects(value) for value in vars(thing).values())
    return 1


def _is_value(thing: Any) -> bool:
    """Messages and certificates are counted as one; a message's size is bounded elsewhere."""
    return hasattr(type(thing), "__dataclass_fields__")
