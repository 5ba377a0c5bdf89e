"""A meter's events: their bytes, their words, and that none can be taken out of the chain."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import cbor, event
from wire.cose import sign1
from wire.errors import BadSignature, Malformed, Refused
from wire.event import CONTENT_TYPE, NAMES, Event, SignedEvent, sign_event, verify_chain
from wire.keys import ES256, SoftSigner

VECTORS = Path(__file__).parents[2] / "wire" / "vectors" / "events.json"
SECRET = bytes.fromhex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721")
SIGNER = SoftSigner.from_private(ES256, SECRET)
FIRST = Event(
    meter="GW-000001",
    number=0,
    boots=1,
    operating_s=2,
    status=1 << 19,
    previous=bytes(32),
    kind=event.KEY,
    time_s=0,
    details=(SIGNER.public.kid,),
)
LIFE: list[dict[str, Any]] = [
    {},
    {"kind": event.CLOCK_SET, "time_s": 1_795_251_600, "details": (0, 1_795_251_600, 2)},
    {"kind": event.CONFIGURATION, "details": (b"", b"\x01" * 8)},
    {"kind": event.POWER_UP, "boots": 2, "operating_s": 70_000, "details": ()},
    {"kind": event.CRASH, "details": ("ValueError: ไม่ดี",)},
    {"kind": event.ACKNOWLEDGED, "status": 1 << 19, "details": ("tech-1", 0x700)},
    {"kind": event.SNAPSHOT, "details": (1_234_567, 89)},
    {"kind": event.COVER_OPEN, "status": (1 << 19) + (1 << 8), "details": (-1, 2**40)},
]


def life() -> list[SignedEvent]:
    """Eight events of one meter, in order."""
    made: list[SignedEvent] = []
    content = FIRST
    for number, changes in enumerate(LIFE):
        previous = made[-1].sig_hash if made else bytes(32)
        content = replace(content, number=number, previous=previous, **changes)
        made.append(SignedEvent.open(sign_event(content, SIGNER)))
    return made


def test_events_have_their_golden_bytes(rewrite: bool) -> None:
    made = {
        "secret": SECRET.hex(),
        "public": SIGNER.public.text,
        "events": [
            {
                "words": each.event.words,
                "payload": each.cose.payload.hex(),
                "sig_structure": each.cose.sig_structure.hex(),
                "signed": each.encoded.hex(),
                "next_previous": each.sig_hash.hex(),
            }
            for each in life()
        ],
    }
    text = json.dumps(made, indent=1) + "\n"
    if rewrite:
        VECTORS.write_text(text)
    assert VECTORS.read_text() == text, "the format has changed; golden bytes never may"


def test_a_chain_of_events_stands() -> None:
    assert verify_chain(life(), SIGNER.public) == len(LIFE)
    assert verify_chain([], SIGNER.public) == 0
    opened = SignedEvent.open(life()[3].encoded).event
    assert (opened.number, opened.kind, opened.details) == (3, event.POWER_UP, ())


def test_an_event_taken_out_put_twice_or_swapped_is_noticed() -> None:
    events = life()
    for wrong in (
        events[:2] + events[3:],
        [*events[:3], events[2], *events[3:]],
        [events[0], events[2], events[1]],
    ):
        with pytest.raises(Malformed, match="stands after"):
            verify_chain(wrong, SIGNER.public)


def test_an_event_made_again_breaks_the_chain_behind_it() -> None:
    events = life()
    again = replace(events[2].event, details=(b"", b"\x02" * 8))
    events[2] = SignedEvent.open(sign_event(again, SIGNER))
    with pytest.raises(Malformed, match="names another event 2"):
        verify_chain(events, SIGNER.public)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"meter": "GW-000002"}, "of meter"),
        ({"boots": 0}, "backwards"),
        ({"operating_s": 0}, "backwards"),
    ],
)
def test_an_event_of_another_life_does_not_follow(changes: dict[str, Any], words: str) -> None:
    before, after = life()[:2]
    with pytest.raises(Malformed, match=words):
        SignedEvent.open(sign_event(replace(after.event, **changes), SIGNER)).check_follows(before)


def test_another_key_has_not_signed_it() -> None:
    with pytest.raises(BadSignature):
        verify_chain(life(), SoftSigner.from_private(ES256, bytes([9]) * 32).public)


def test_what_happened_is_said_in_words() -> None:
    assert [each.event.words for each in life()] == [
        f"key made {SIGNER.public.kid.hex()}",
        "clock set from unknown to 2026-11-21 09:00:00 UTC, ±2 s",
        "configuration changed from none to 0101010101010101",
        "power up",
        "program stopped ValueError: ไม่ดี",
        "acknowledged by tech-1: status bits 0x700",
        "registers shown import 1234567 Wh, export 89 Wh",
        "cover open -1, 1099511627776",
    ]


def test_details_of_a_later_firmware_are_shown_as_they_are() -> None:
    assert replace(FIRST, kind=event.CLOCK_SET, details=("x",)).words == "clock set x"
    assert replace(FIRST, kind=event.SNAPSHOT, details=()).words == "registers shown"
    assert replace(FIRST, kind=200, details=(b"\x01", 5)).words == "event of kind 200 01, 5"
    assert replace(FIRST, kind=event.ACKNOWLEDGED, details=("a", "b")).words == "acknowledged a, b"
    far = replace(FIRST, kind=event.CLOCK_SET, details=(2**63, -(2**63), 0))
    assert "9223372036854775808 s" in far.words


def test_no_text_from_a_meter_drives_a_terminal() -> None:
    words = replace(FIRST, kind=event.CRASH, details=("\x1b[2J\n\u202eok",)).words
    assert words == "program stopped \\x1b[2J\\n\\u202eok"


UNFIT: dict[str, dict[int, Any]] = {
    "another format": {1: 2},
    "a meter without name": {2: ""},
    "a negative number": {10: -1},
    "status true": {13: True},
    "a short hash": {15: bytes(31)},
    "a first event with one before": {15: b"\x01" * 32},
    "kind 256": {30: 256},
    "a time beyond calendars": {31: 2**41},
    "details that are no list": {32: {}},
    "a float": {32: [[]]},
    "true among details": {32: [True]},
    "nine details": {32: [0] * 9},
    "a long text": {32: ["x" * 201]},
    "an unknown key": {33: 0},
}


@pytest.mark.parametrize("changes", UNFIT.values(), ids=UNFIT.keys())
def test_a_malformed_event_is_refused(changes: dict[int, Any]) -> None:
    content = cbor.decode(FIRST.payload()) | changes
    with pytest.raises(Malformed):
        Event.from_payload(cbor.encode(content))


@pytest.mark.parametrize("key", [1, 2, 10, 11, 12, 13, 15, 30, 31, 32])
def test_no_field_is_missing(key: int) -> None:
    content = cbor.decode(FIRST.payload())
    del content[key]
    with pytest.raises(Malformed):
        Event.from_payload(cbor.encode(content))


def test_a_reading_or_another_thing_is_no_event() -> None:
    headers = {1: -7, 3: 60, 4: SIGNER.public.kid}
    with pytest.raises(Malformed, match="is an event"):
        SignedEvent.open(sign1(headers, FIRST.payload(), SIGNER))
    with pytest.raises(Malformed, match="exactly"):
        SignedEvent.open(sign1({1: -7, 3: CONTENT_TYPE}, FIRST.payload(), SIGNER))
    with pytest.raises(Malformed, match="at most"):
        SignedEvent.open(bytes(2000))


def test_every_kind_has_a_name() -> None:
    assert sorted(NAMES) == list(range(1, 15))


@given(st.data())
def test_a_damaged_event_is_refused_or_fails_to_verify(data: st.DataObject) -> None:
    good = sign_event(FIRST, SIGNER)
    place = data.draw(st.integers(0, len(good) - 1))
    bad = good[:place] + bytes([good[place] ^ data.draw(st.integers(1, 255))]) + good[place + 1 :]
    with pytest.raises(Refused):
        SignedEvent.open(bad).verify(SIGNER.public)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_with_a_reason(data: bytes) -> None:
    with pytest.raises(Malformed):
        SignedEvent.open(b"\xd2" + data)
