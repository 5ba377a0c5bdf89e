"""Strict signatures: the public vectors of Wycheproof, speccheck, RFC 6979 and the COSE group."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from wire import cose
from wire.errors import BadKey, BadSignature, Malformed
from wire.keys import EDDSA, ES256, PublicKey, SoftSigner, _der, normalise_s

DATA = Path(__file__).parent.parent / "data"
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def load(name: str) -> Any:
    return json.loads((DATA / name).read_text())


def accepts(public: PublicKey, message: bytes, signature: bytes) -> bool:
    try:
        public.verify(message, signature)
    except BadSignature:
        return False
    return True


def test_wycheproof_p256_is_met_save_for_high_s() -> None:
    checked = 0
    for group in load("wycheproof_ecdsa_p256_sha256_p1363.json")["testGroups"]:
        public = PublicKey(ES256, bytes.fromhex(group["publicKey"]["uncompressed"])[1:])
        for case in group["tests"]:
            message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
            valid = case["result"] == "valid"
            if valid and int.from_bytes(signature[32:], "big") > P256_ORDER // 2:
                assert not accepts(public, message, signature), "a high-s signature is refused"
                signature = normalise_s(signature)
            assert accepts(public, message, signature) == valid, case["comment"]
            checked += 1
    assert checked == 262


def test_wycheproof_ed25519_is_met() -> None:
    checked = 0
    for group in load("wycheproof_ed25519.json")["testGroups"]:
        public = PublicKey(EDDSA, bytes.fromhex(group["publicKey"]["pk"]))
        for case in group["tests"]:
            message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
            assert accepts(public, message, signature) == (case["result"] == "valid"), case
            checked += 1
    assert checked == 151


def test_strict_ed25519_takes_only_case_3_of_speccheck() -> None:
    verdicts = ""
    for case in load("ed25519_speccheck.json"):
        raw, message, signature = (
            bytes.fromhex(case[k]) for k in ("pub_key", "message", "signature")
        )
        try:
            verdicts += "V" if accepts(PublicKey(EDDSA, raw), message, signature) else "X"
        except BadKey:
            verdicts += "K"
    assert verdicts == "KKXVXXXXXXKK"


@pytest.mark.parametrize(
    ("message", "r", "s"),
    [
        (
            b"sample",
            "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716",
            "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
        ),
        (
            b"test",
            "F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367",
            "019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083",
        ),
    ],
)
def test_rfc_6979_a_2_5_after_normalising_s(message: bytes, r: str, s: str) -> None:
    secret = bytes.fromhex("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721")
    signer = SoftSigner.from_private(ES256, secret)
    assert signer.sign(message) == normalise_s(bytes.fromhex(r + s))
    signer.public.verify(message, signer.sign(message))


@pytest.mark.parametrize("path", sorted(DATA.glob("cose/*/*.json")), ids=lambda path: path.stem)
def test_cose_examples_sign_what_we_sign(path: Path) -> None:
    example = json.loads(path.read_text())
    sign0 = example["input"]["sign0"]
    protected, _, payload, signature = _parts(bytes.fromhex(example["output"]["cbor"]))
    to_be_signed = bytes.fromhex(example["intermediates"]["ToBeSign_hex"])
    external = bytes.fromhex(sign0.get("external", ""))
    stands = accepts(_public(sign0["key"]), to_be_signed, _low_s(sign0["alg"], signature))
    changed = "fail" in path.stem and "fail-01" not in path.stem
    if external:
        assert stands
        return
    if protected == b"\xa0":  # RFC 9052 §3: an empty map is signed as the empty string.
        protected = b""
    same = cose.sig_structure(protected, payload) == to_be_signed
    assert (same and stands) != changed
    # Our profile asks for an empty unprotected header, so each of these is refused as a message.
    with pytest.raises(Malformed):
        cose.open_sign1(bytes.fromhex(example["output"]["cbor"]))


def _parts(message: bytes) -> Any:
    import cbor2

    value = cbor2.loads(message)
    return value.value if isinstance(value, cbor2.CBORTag) else value


def _low_s(alg: str, signature: bytes) -> bytes:
    return normalise_s(signature) if alg == "ES256" else signature


def _public(key: dict[str, str]) -> PublicKey:
    import base64

    def octets(name: str) -> bytes:
        if f"{name}_hex" in key:
            return bytes.fromhex(key[f"{name}_hex"])
        return base64.urlsafe_b64decode(key[name] + "==")

    if key["kty"] == "OKP":
        return PublicKey(EDDSA, octets("x"))
    return PublicKey(ES256, octets("x") + octets("y"))


@pytest.mark.parametrize("alg", [ES256, EDDSA])
def test_keys_and_signatures_survive_their_encodings(alg: int) -> None:
    signer = SoftSigner.generate(alg)
    public = signer.public
    assert PublicKey.from_cose(public.to_cose()) == public
    assert PublicKey.from_text(public.text) == public
    assert public.kid == public.thumbprint[:8]
    signature = signer.sign(b"m")
    public.verify(b"m", signature)
    for wrong in (b"", signature[:-1], bytes(64), b"\xff" * 64):
        with pytest.raises(BadSignature):
            public.verify(b"m", wrong)
    with pytest.raises(BadSignature):
        public.verify(b"n", signature)


@pytest.mark.parametrize(
    "text",
    ["", "es256:", "es256:00", "eddsa:" + "00" * 32, "rsa:00", "es256:" + "11" * 64, "eddsa:zz"],
)
def test_bad_keys_are_refused_at_the_door(text: str) -> None:
    with pytest.raises(BadKey):
        PublicKey.from_text(text)


@given(
    numbers=st.lists(
        st.integers(0, 2**256 - 1)
        | st.builds(lambda bits: 2**bits, st.integers(0, 255))
        | st.builds(lambda bits: 2**bits - 1, st.integers(0, 256)),
        min_size=2,
        max_size=2,
    )
)
def test_a_raw_signature_is_put_into_der_as_the_library_does(numbers: list[int]) -> None:
    r, s = numbers
    assert _der(r.to_bytes(32, "big"), s.to_bytes(32, "big")) == encode_dss_signature(r, s)
