"""The links of a proof: a leaf under a root, a header under its seals; and which breaks first.

Shared by the receipt of a batch (`wire.answer`) and the receipt of a reading (`wire.receipt`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from wire import fields, merkle
from wire.block import Commit, Header
from wire.errors import Refused
from wire.light import LightClient, SetChange, WrongHeader, WrongNetwork

T = TypeVar("T")


class BrokenLink(Refused):
    """A receipt that does not hold, with the first link that fails."""

    code = "broken-link"

    def __init__(self, link: str, reason: str) -> None:
        super().__init__(reason)
        self.link = link
        """One of reading, witness, inclusion, header, seals, zone, genesis."""


def link(name: str, check: Callable[[], T]) -> T:
    """Run a check; what it refuses becomes the broken link `name`."""
    try:
        return check()
    except BrokenLink:
        raise
    except Refused as reason:
        raise BrokenLink(name, str(reason)) from None


@dataclass(frozen=True, slots=True)
class Inclusion:
    """A leaf's place in a tree and the path to its root (RFC 9162 §2.1.3)."""

    size: int
    """Leaves in the tree."""

    index: int
    """Place of the leaf, from 0."""

    path: tuple[bytes, ...]
    """Hashes of 32 bytes, lowest level first."""

    @classmethod
    def of(cls, leaves: Sequence[bytes], index: int) -> Self:
        """Prove that leaf `index` of the tree over `leaves` (leaf hashes) is in it."""
        return cls.within(merkle.Tree(leaves), index)

    @classmethod
    def within(cls, tree: merkle.Tree, index: int) -> Self:
        """Prove that leaf `index` is in a tree."""
        return cls(tree.size, index, tuple(tree.path(index)))

    def items(self) -> list[Any]:
        """As encoded."""
        return [self.size, self.index, list(self.path)]

    @classmethod
    def from_items(cls, value: Any) -> Self:
        """Read a decoded inclusion; raises Malformed."""
        size, index, path = fields.items(value, "inclusion", 3)
        hashes = tuple(fields.octets(item, "path", 32) for item in fields.items(path, "path"))
        return cls(fields.uint(size, "tree size"), fields.uint(index, "leaf index"), hashes)

    def check(self, root: bytes, leaf: bytes, what: str) -> None:
        """Raise BrokenLink("inclusion") unless data `leaf` is proved under `root`."""
        try:
            merkle.verify_inclusion(root, self.size, self.index, merkle.leaf_hash(leaf), self.path)
        except Refused as reason:
            raise BrokenLink("inclusion", f"{what}: {reason}") from None


def sealed_header(
    client: LightClient, header: bytes, commit: Commit, changes: Sequence[SetChange] = ()
) -> Header:
    """Return the header when the validators that the genesis file leads to have sealed it.

    Else raise BrokenLink.
    """
    try:
        content = link("header", lambda: Header.decode(header))
        if commit.digest != content.digest:
            raise WrongHeader("the header is not the one that its seals speak of")
        if content.network != client.network:
            raise WrongNetwork(
                f"the header is of network {content.network.hex()[:8]}, "
                f"the genesis file of {client.network.hex()[:8]}"
            )
        client.follow(changes)
        return client.verify_header(header, commit)
    except WrongNetwork as reason:
        raise BrokenLink("genesis", str(reason)) from None
    except WrongHeader as reason:
        raise BrokenLink("header", str(reason)) from None
    except BrokenLink:
        raise
    except Refused as reason:
        raise BrokenLink("seals", str(reason)) from None
