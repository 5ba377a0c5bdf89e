"""One value, one encoding; and RFC 9162 trees whose proofs fit exactly."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import cbor, merkle
from wire.errors import BadProof, Malformed

SCALARS = (
    st.integers(-(2**64), 2**64 - 1)
    | st.binary(max_size=40)
    | st.text(max_size=20)
    | st.booleans()
    | st.none()
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.integers(-70000, 70000) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_what_is_encoded_decodes_to_itself(value: Any) -> None:
    assert cbor.decode(cbor.encode(value)) == value


@pytest.mark.parametrize(
    ("data", "words"), [(b"", "it is empty"), (b"\x82\x01", "not CBOR: it breaks off")]
)
def test_what_is_empty_or_breaks_off_is_said_to(data: bytes, words: str) -> None:
    with pytest.raises(Malformed, match=f"^{words}$"):
        cbor.decode(data)


@given(st.binary(max_size=64))
def test_every_byte_string_is_refused_or_is_its_own_encoding(data: bytes) -> None:
    try:
        value = cbor.decode(data)
    except Malformed:
        return
    assert cbor.encode(value) == data


@pytest.mark.parametrize(
    ("words", "data"),
    [
        ("bytes left over", "a0ff"),
        ("indefinite array", "9f01ff"),
        ("a longer encoding of 0", "1800"),
        ("a bignum", "c249010000000000000000"),
        ("a small bignum", "c24101"),
        ("a float", "fb3ff0000000000000"),
        ("undefined", "f7"),
        ("a date", "c11a514b67b0"),
        ("a simple value", "f0"),
        ("a key twice", "a201010101"),
        ("keys by length, not by bytes", "a22001181801"),
        ("an array key", "a1800 0".replace(" ", "")),
        ("a boolean key", "a1f501"),
        ("a length without content", "9bffffffffffffffff"),
        ("a map length without content", "bbffffffffffffffff"),
        ("a string length without content", "5bffffffffffffffff"),
        ("nested 50 deep", "81" * 50 + "00"),
        ("nested 100,000 deep", "81" * 100_000),
        ("a bigfloat that would fill the memory", "c5821b00000000ffffffff01"),
        ("a cyclic structure", "d81c81d81d00"),
        ("a decimal", "c482201bffffffff00000000"),
        ("a regular expression", "d82363282b2b"),
        ("bad UTF-8", "62c328"),
        ("nothing", ""),
    ],
)
def test_hostile_and_sloppy_encodings_are_refused(words: str, data: str) -> None:
    with pytest.raises(Malformed):
        cbor.decode(bytes.fromhex(data))


@pytest.mark.parametrize("value", [1.0, 2**64, -(2**64) - 1, {1.5: 1}, {b"k": 1}, {1}, object()])
def test_what_has_no_encoding_is_refused(value: Any) -> None:
    with pytest.raises(Malformed):
        cbor.encode(value)


def test_map_keys_are_ordered_by_their_bytes() -> None:
    assert cbor.encode({"a": 3, -1: 2, 24: 1, 0: 0}).hex() == "a4000018180120026161" + "03"


def leaves(count: int) -> list[bytes]:
    return [merkle.leaf_hash(bytes([index])) for index in range(count)]


def recursive_root(nodes: list[bytes]) -> bytes:
    """RFC 9162 §2.1.1 as it is written: split at the largest power of two below n."""
    if len(nodes) == 1:
        return nodes[0]
    split = 1
    while split * 2 < len(nodes):
        split *= 2
    left, right = recursive_root(nodes[:split]), recursive_root(nodes[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def test_roots_are_those_of_the_rfcs_definition() -> None:
    assert merkle.root([]) == hashlib.sha256(b"").digest()
    for count in range(1, 40):
        assert merkle.root(leaves(count)) == recursive_root(leaves(count))


def test_inclusion_holds_for_every_leaf_and_for_no_other_place() -> None:
    for size in range(1, 18):
        nodes = leaves(size)
        root = merkle.root(nodes)
        for index in range(size):
            path = merkle.Tree(nodes).path(index)
            merkle.verify_inclusion(root, size, index, nodes[index], path)
            wrong = [
                (size, (index + 1) % size, path),
                (size, index - size, path),
                (size, index + size, path),
                (size, 2**64 - 1, path),
                (size, index, [*path, bytes(32)]),
                (size, index, path[:-1]),
                (size, index, [bytes(32), *path]),
                (size, index, [item[:-1] for item in path] or [b""]),
            ]
            for other_size, other_index, other_path in wrong:
                if (other_size, other_index, other_path) == (size, index, path):
                    continue
                with pytest.raises(BadProof):
                    merkle.verify_inclusion(root, other_size, other_index, nodes[index], other_path)


def test_consistency_holds_between_all_prefixes_and_breaks_when_touched() -> None:
    for size in range(1, 18):
        nodes = leaves(size)
        root = merkle.root(nodes)
        for old in range(1, size + 1):
            old_root = merkle.root(nodes[:old])
            path = merkle.consistency_path(nodes, old)
            merkle.verify_consistency(old, size, old_root, root, path)
            for bad_old, bad_new, bad_path in (
                (bytes(32), root, path),
                (old_root, bytes(32), path),
                (old_root, root, [*path, bytes(32)]),
            ):
                with pytest.raises(BadProof):
                    merkle.verify_consistency(old, size, bad_old, bad_new, bad_path)
    for old, new in ((0, 3), (4, 3)):
        with pytest.raises(BadProof):
            merkle.verify_consistency(old, new, bytes(32), bytes(32), [])
