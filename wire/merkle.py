"""Merkle trees of RFC 9162 §2.1: roots, inclusion and consistency proofs.

Pure functions over lists of leaf hashes (`leaf_hash` of each entry). Proofs are lists of 32-byte
hashes, lowest level first. Verification trusts nothing: sizes, indices and path lengths are checked
before hashing.
"""

import hashlib
from collections.abc import Iterator, Sequence

from wire.errors import BadProof

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 || data)."""
    return hashlib.sha256(b"\x00" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree for whoever wants several paths in it: each node is hashed once."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        """The tree over leaf hashes."""
        # Pairing neighbours and carrying an odd last node up gives RFC 9162's left-full tree.
        level = list(leaves)
        self._levels = [level]
        while len(level) > 1:
            pairs = [_node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
            if len(level) % 2:
                pairs.append(level[-1])
            level = pairs
            self._levels.append(level)

    @property
    def size(self) -> int:
        """Leaves."""
        return len(self._levels[0])

    @property
    def root(self) -> bytes:
        """The tree head; SHA-256 of nothing for a tree without leaves."""
        return self._levels[-1][0] if self.size else EMPTY_ROOT

    def path(self, index: int) -> list[bytes]:
        """The path from leaf `index` (from 0) to the root (RFC 9162 §2.1.3.1)."""
        if not 0 <= index < self.size:
            raise IndexError(f"leaf {index} of a tree of {self.size}")
        path: list[bytes] = []
        for level in self._levels:
            sibling = index ^ 1
            if sibling < len(level):
                path.append(level[sibling])
            index //= 2
        return path


def root(leaves: Sequence[bytes]) -> bytes:
    """The tree head over leaf hashes; SHA-256 of nothing for an empty list."""
    return Tree(leaves).root


def _check_path(path: Sequence[bytes]) -> None:
    if len(path) > 64 or any(
        not isinstance(item, bytes) or len(item) != HASH_SIZE for item in path
    ):
        raise BadProof("a path that is not a list of at most 64 hashes of 32 bytes")


def _climb(node: int, last: int, path: Sequence[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield each hash of the path and whether it stands to the left; refuse a path of wrong length.

    `node` is where the climb starts and `last` the last node of that level, both from 0.
    """
    for sibling in path:
        if last == 0:
            raise BadProof("the path is longer than the tree is high")
        to_the_left = bool(node & 1) or node == last
        yield sibling, to_the_left
        while to_the_left and not node & 1 and node:
            node, last = node >> 1, last >> 1
        node, last = node >> 1, last >> 1
    if last != 0:
        raise BadProof("the path is shorter than the tree is high")


def verify_inclusion(
    tree_root: bytes, size: int, index: int, leaf: bytes, path: Sequence[bytes]
) -> None:
    """Check that `leaf` stands at `index` of the tree of `size` leaves (RFC 9162 §2.1.3.2).

    Args:
        tree_root: the root to prove it under, 32 bytes.
        size: leaves of the tree.
        index: place of the leaf, from 0.
        leaf: its leaf hash, 32 bytes.
        path: hashes of 32 bytes, lowest level first.

    Raises:
        BadProof: it does not stand there, or the path has the wrong length.
    """
    _check_path(path)
    if not 0 <= index < size:
        raise BadProof(f"leaf {index} of a tree of {size}")
    result = leaf
    for sibling, to_the_left in _climb(index, size - 1, path):
        result = _node(sibling, result) if to_the_left else _node(result, sibling)
    if result != tree_root:
        raise BadProof("the path leads to another root")


def _split(size: int) -> int:
    """The largest power of two smaller than `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def consistency_path(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """Prove that the first `old_size` leaves are a prefix of `leaves` (RFC 9162 §2.1.4.1)."""
    if not 0 < old_size <= len(leaves):
        raise IndexError(f"a tree of {old_size} is no prefix of a tree of {len(leaves)}")
    return _subproof(leaves, old_size, True)


def _subproof(leaves: Sequence[bytes], old_size: int, whole: bool) -> list[bytes]:
    if old_size == len(leaves):
        return [] if whole else [root(leaves)]
    split = _split(len(leaves))
    if old_size <= split:
        return [*_subproof(leaves[:split], old_size, whole), root(leaves[split:])]
    return [*_subproof(leaves[split:], old_size - split, False), root(leaves[:split])]


def verify_consistency(
    old_size: int, new_size: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]
) -> None:
    """Check that the tree of `new_size` leaves extends that of `old_size` (RFC 9162 §2.1.4.2).

    Raises:
        BadProof: it does not.
    """
    _check_path(path)
    if not 0 < old_size <= new_size:
        raise BadProof(f"a tree of {new_size} cannot extend one of {old_size}")
    if old_size == new_size:
        if path or old_root != new_root:
            raise BadProof("trees of one size need the same root and an empty path")
        return
    # A tree that fills its height is itself a node of the larger one: its root opens the path.
    steps = [old_root, *path] if old_size & (old_size - 1) == 0 else list(path)
    if not steps:
        raise BadProof("the path is empty")
    node, last = old_size - 1, new_size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = steps[0]
    for step, to_the_left in _climb(node, last, steps[1:]):
        new = _node(step, new) if to_the_left else _node(new, step)
        old = _node(step, old) if to_the_left else old
    if old != old_root or new != new_root:
        raise BadProof("the path does not join the two roots")
