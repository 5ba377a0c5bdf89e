"""A holder's link and an authority's signed request: forms that have one spelling only."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.access import AccessRequest, HolderSecret, SignedRequest, link_parts
from wire.errors import BadSignature, Malformed, Refused
from wire.keys import EDDSA, SoftSigner

SECRET = HolderSecret(bytes(range(32)))
SIGNER = SoftSigner.from_private(EDDSA, hashlib.sha256(b"PEA").digest())
REQUEST = AccessRequest(bytes(32), "val-1", "GET", "/api/v1/readings/c1?after=3", 1_750_000_000)


def test_a_link_keeps_its_secret_behind_the_hash_sign_and_is_read_back() -> None:
    link = SECRET.link("https://validator.example:8800/", "GW-000117")
    assert link.partition("#")[0] == "https://validator.example:8800/"
    assert link_parts(link) == ("https://validator.example:8800", "GW-000117", SECRET)
    assert HolderSecret.from_text(link) == HolderSecret.from_text(SECRET.text) == SECRET


def test_a_secret_is_not_shown_by_accident() -> None:
    assert SECRET.text not in repr(SECRET) + str(SECRET)
    assert HolderSecret.make() != HolderSecret.make()


@pytest.mark.parametrize(
    "text",
    ["", SECRET.text[:-1], SECRET.text + "=", SECRET.text + "A", "ü" * 43, SECRET.text[:-1] + "9"],
)
def test_a_secret_has_one_spelling(text: str) -> None:
    with pytest.raises(Malformed):
        HolderSecret.from_text(text)


@pytest.mark.parametrize("link", ["", "https://v/", "ftp://v/#/meter/c1/x", "https://v/#/meter/c1"])
def test_what_is_no_link_is_told_as_such(link: str) -> None:
    with pytest.raises(Malformed):
        link_parts(link)


def test_a_signed_request_is_what_was_signed_and_by_whom() -> None:
    scheme, _, text = REQUEST.signed(SIGNER).partition(" ")
    found = SignedRequest.open(text)
    assert (scheme, found.request) == ("GridWitness", REQUEST)
    found.verify(SIGNER.public)
    with pytest.raises(BadSignature):
        found.verify(SoftSigner.generate(EDDSA).public)


@given(st.text(max_size=300) | st.binary(max_size=200).map(bytes.hex))
def test_nothing_else_is_a_signed_request(text: str) -> None:
    with pytest.raises(Refused):
        SignedRequest.open(text)
