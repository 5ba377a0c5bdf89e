"""From a signature to the keys that it may be from: the right one is always among them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wire.keys import ES256, PublicKey, SoftSigner
from wire.recovery import candidates


@given(st.integers(1, 2**255), st.binary(max_size=80))
@settings(max_examples=20, deadline=None)
def test_the_signers_key_is_among_few_that_fit(secret: int, message: bytes) -> None:
    signer = SoftSigner.from_private(ES256, secret.to_bytes(32, "big"))
    signature = signer.sign(message)
    found = candidates(message, signature)
    assert signer.public in found
    assert len(found) <= 4
    assert all(each.stands(message, signature) for each in found)
    assert signer.public not in candidates(message + b"?", signature)


def test_the_key_of_rfc_6979_is_found_in_its_signature() -> None:
    # RFC 6979 A.2.5, SHA-256, "sample"; s in its low form.
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    s = order - 0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8
    r = bytes.fromhex("efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716")
    point = (
        "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
        "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
    )
    found = candidates(b"sample", r + s.to_bytes(32, "big"))
    assert PublicKey(ES256, bytes.fromhex(point)) in found


@pytest.mark.parametrize(
    "signature",
    [b"", bytes(64), bytes(63), b"\xff" * 64, bytes(31) + b"\x05" + bytes(32), b"\x01" * 65],
)
def test_what_is_no_signature_is_of_no_key(signature: bytes) -> None:
    assert candidates(b"message", signature) == []
