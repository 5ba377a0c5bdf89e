"""A key announcement: the old key speaks first, the new one agrees, and both stand for a while."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wire import cbor
from wire.announcement import (
    PROTECTED,
    KeyAnnouncement,
    SignedAnnouncement,
    announce,
    stands,
)
from wire.cose import Sign
from wire.errors import BadSignature, Malformed, Refused
from wire.keys import EDDSA, ES256, SoftSigner

VECTOR = Path(__file__).parents[2] / "wire" / "vectors" / "announcement.json"
OLD = SoftSigner.from_private(
    ES256, bytes.fromhex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721")
)
NEW = SoftSigner.from_private(EDDSA, bytes(range(32)))
STATEMENT = KeyAnnouncement(
    network=b"\x44" * 32,
    holder="gw-north",
    role="witness",
    old=OLD.public.thumbprint,
    new=NEW.public,
    from_s=1_795_251_600,
    until_s=1_797_843_600,
)


def test_an_announcement_has_its_golden_bytes(rewrite: bool) -> None:
    signed = SignedAnnouncement.open(announce(STATEMENT, OLD, NEW))
    signed.verify(OLD.public)
    made = {
        "old": OLD.public.text,
        "new": NEW.public.text,
        "payload": signed.sign.payload.hex(),
        "old_signs": signed.sign.to_sign(OLD.public).hex(),
        "new_signs": signed.sign.to_sign(NEW.public).hex(),
        "signed": signed.encoded.hex(),
    }
    text = json.dumps(made, indent=1) + "\n"
    if rewrite:
        VECTOR.write_text(text)
    assert VECTOR.read_text() == text, "the format has changed; golden bytes never may"


def test_the_vector_opens_and_verifies() -> None:
    kept = json.loads(VECTOR.read_text())
    signed = SignedAnnouncement.open(bytes.fromhex(kept["signed"]))
    assert signed.statement == STATEMENT
    signed.verify(OLD.public)
    assert signed.sign.payload.hex() == kept["payload"]


def test_only_the_key_in_force_announces() -> None:
    signed = SignedAnnouncement.open(announce(STATEMENT, OLD, NEW))
    with pytest.raises(BadSignature, match="another key than the one in force"):
        signed.verify(NEW.public)
    with pytest.raises(Malformed):
        announce(STATEMENT, NEW, OLD)


def test_a_new_key_that_has_not_agreed_is_not_announced() -> None:
    alone = Sign(PROTECTED, STATEMENT.payload).signed_by(OLD)
    with pytest.raises(Malformed, match="two signatures"):
        SignedAnnouncement.open(alone.encoded)
    swapped = Sign(PROTECTED, STATEMENT.payload).signed_by(NEW).signed_by(OLD)
    with pytest.raises(Malformed, match="two signatures"):
        SignedAnnouncement.open(swapped.encoded)


@pytest.mark.parametrize("field", range(1, 9))
def test_a_changed_field_breaks_both_signatures(field: int) -> None:
    content: dict[int, Any] = cbor.decode(STATEMENT.payload)
    signed = SignedAnnouncement.open(announce(STATEMENT, OLD, NEW)).sign
    content[field] = {3: "gw-south", 4: "reader", 7: 1_795_251_601, 8: 1_797_843_601}.get(
        field, bytes(32)
    )
    forged = Sign(PROTECTED, cbor.encode(content), signed.signatures)
    with pytest.raises(Refused):
        SignedAnnouncement.open(forged.encoded).verify(OLD.public)


@pytest.mark.parametrize(
    "change",
    [
        {"network": b"short"},
        {"holder": "no spaces allowed"},
        {"until_s": STATEMENT.from_s - 1},
        {"from_s": -1},
        {"old": NEW.public.thumbprint},
    ],
)
def test_what_cannot_stand_is_not_even_written(change: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        replace(STATEMENT, **change)


def test_another_content_type_is_no_announcement() -> None:
    other = Sign(cbor.encode({3: "application/x-gridwitness-commissioning"}), STATEMENT.payload)
    with pytest.raises(Malformed, match="content type"):
        SignedAnnouncement.open(other.signed_by(OLD).signed_by(NEW).encoded)


def test_both_keys_stand_for_a_while() -> None:
    times = (STATEMENT.from_s - 1, STATEMENT.from_s, STATEMENT.until_s, STATEMENT.until_s + 1)
    told = [stands(STATEMENT, at_s) for at_s in times]
    assert told == [(True, False), (True, True), (True, True), (False, True)]
