"""COSE_Sign: what several keys sign, one by one."""

from collections.abc import Sequence

import pytest

from wire import cbor
from wire.cose import MOST_SIGNATURES, TAG_SIGN, Sign, open_sign, sign_structure, signer_header
from wire.errors import BadSignature, Malformed
from wire.keys import EDDSA, ES256, PublicKey, SoftSigner, normalise_s

BODY = cbor.encode({3: "application/x-test"})
PAYLOAD = b"This is the content."
METER = SoftSigner.from_private(ES256, bytes(31) + b"\x07")
TECHNICIAN = SoftSigner.from_private(EDDSA, bytes(31) + b"\x08")

# RFC 8152 Appendix C.1.1, "Single Signature" (the key "11" of its C.7.1), the same in RFC 9052.
RFC_KEY = PublicKey.from_text(
    "es256:bac5b11cad8f99f9c72b05cf4b9e26d244dc189f745228255a219a86d6a09eff"
    "20138bf82dc1b6d562be0fa54ab7804a3a64b6d72ccfed6b6fb6ed28bbfc117e"
)
RFC_SIGNATURE = bytes.fromhex(
    "e2aeafd40d69d19dfe6e52077c5d7ff4e408282cbefb5d06cbf414af2e19d982"
    "ac45ac98b8544c908b4507de1e90b717c3d34816fe926a2b98f53afd2fa0f30a"
)


def message(signatures: Sequence[object], body: bytes = BODY, payload: object = PAYLOAD) -> bytes:
    return cbor.encode(cbor.Tag(TAG_SIGN, [body, {}, payload, list(signatures)]))


def entry(signer: SoftSigner) -> list[object]:
    signed = Sign(BODY, PAYLOAD).signed_by(signer)
    protected, signature = signed.signatures[0]
    return [protected, {}, signature]


def test_what_is_signed_is_what_the_rfc_signs() -> None:
    # RFC 8152 C.1.1; Appendix C prints signatures in either half, we accept the lower.
    signed = sign_structure(b"", bytes.fromhex("a10126"), PAYLOAD)
    assert signed.hex() == (
        "85695369676e61747572654043a1012640" + "54" + b"This is the content.".hex()
    )
    RFC_KEY.verify(signed, normalise_s(RFC_SIGNATURE))
    with pytest.raises(BadSignature):
        RFC_KEY.verify(signed[:-1] + b"?", normalise_s(RFC_SIGNATURE))


def test_parties_sign_one_after_the_other_and_the_message_comes_back_whole() -> None:
    first = Sign(BODY, PAYLOAD).signed_by(METER)
    sent = open_sign(first.encoded)
    both = sent.with_signature(TECHNICIAN.public, TECHNICIAN.sign(sent.to_sign(TECHNICIAN.public)))
    received = open_sign(both.encoded)
    assert received == both
    assert received.signers == ((ES256, METER.public.kid), (EDDSA, TECHNICIAN.public.kid))
    received.verify(METER.public)
    received.verify(TECHNICIAN.public)


def test_who_has_not_signed_is_told_from_who_signed_something_else() -> None:
    first = Sign(BODY, PAYLOAD).signed_by(METER)
    assert first.signature_of(TECHNICIAN.public) is None
    with pytest.raises(BadSignature, match="has not signed"):
        first.verify(TECHNICIAN.public)
    other = Sign(BODY, b"other", first.signatures)
    assert other.signature_of(METER.public) is not None
    with pytest.raises(BadSignature, match="does not match"):
        other.verify(METER.public)


def test_a_signature_covers_the_header_of_the_body() -> None:
    first = Sign(BODY, PAYLOAD).signed_by(METER)
    moved = Sign(cbor.encode({3: "application/x-other"}), PAYLOAD, first.signatures)
    with pytest.raises(BadSignature):
        moved.verify(METER.public)


def test_a_signature_that_does_not_stand_is_not_added() -> None:
    with pytest.raises(BadSignature):
        Sign(BODY, PAYLOAD).with_signature(METER.public, bytes(64))


def test_nobody_signs_twice() -> None:
    first = Sign(BODY, PAYLOAD).signed_by(METER)
    with pytest.raises(Malformed, match="two signatures by one key"):
        first.signed_by(METER)
    with pytest.raises(Malformed, match="two signatures by one key"):
        open_sign(message([entry(METER), entry(METER)]))


def test_at_most_sixty_four_sign_and_at_least_one() -> None:
    signers = [
        SoftSigner.from_private(EDDSA, bytes(31) + bytes([number + 1]))
        for number in range(MOST_SIGNATURES + 1)
    ]
    entries = [entry(signer) for signer in signers]
    assert len(open_sign(message(entries[:MOST_SIGNATURES])).signatures) == MOST_SIGNATURES
    for wrong in (entries, []):
        with pytest.raises(Malformed, match="signatures, not 1 to 64"):
            open_sign(message(wrong))
    with pytest.raises(Malformed, match="0 signatures"):
        _ = Sign(BODY, PAYLOAD).encoded


WRONG = {
    "another tag": cbor.encode(cbor.Tag(18, [BODY, {}, PAYLOAD, [entry(METER)]])),
    "no tag": cbor.encode([BODY, {}, PAYLOAD, [entry(METER)]]),
    "something unprotected": cbor.encode(
        cbor.Tag(TAG_SIGN, [BODY, {4: b"11"}, PAYLOAD, [entry(METER)]])
    ),
    "a detached payload": message([entry(METER)], payload=None),
    "a signer's hint unprotected": message([[cbor.encode({1: ES256}), {4: b"11"}, bytes(64)]]),
    "a signer's header unprotected too": message(
        [[signer_header(METER.public), {4: b"11"}, bytes(64)]]
    ),
    "a signer without a hint": message([[cbor.encode({1: ES256}), {}, bytes(64)]]),
    "a signer with more to say": message(
        [[cbor.encode({1: ES256, 4: bytes(8), 15: {}}), {}, bytes(64)]]
    ),
    "a hint of nine bytes": message([[cbor.encode({1: ES256, 4: bytes(9)}), {}, bytes(64)]]),
    "a short signature": message([[signer_header(METER.public), {}, bytes(63)]]),
    "a signer's header that is no CBOR": message([[b"", {}, bytes(64)]]),
    "signatures that are no array": cbor.encode(cbor.Tag(TAG_SIGN, [BODY, {}, PAYLOAD, {}])),
    "bytes left over": message([entry(METER)]) + b"\x00",
    "not the shortest tag": b"\xd9\x00\x62" + message([entry(METER)])[2:],
}


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG.keys())
def test_another_shape_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        open_sign(data)
