"""The fast way to open a reading says what the general way says, of whatever bytes."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import cbor, cose
from wire import reading as reading_format
from wire.errors import Refused
from wire.keys import ES256, SoftSigner
from wire.plain_reading import cut_plain
from wire.reading import (
    ClockEvidence,
    Position,
    ReactiveEnergy,
    Reading,
    ReadSource,
    SignedReading,
    sign_reading,
)

VECTORS = json.loads((Path(__file__).parents[2] / "wire/vectors/readings.json").read_text())
SIGNER = SoftSigner.from_private(ES256, bytes(31) + b"\x07")

counts = st.integers(0, 2**63 - 1) | st.sampled_from([0, 23, 24, 255, 256, 65_535, 65_536, 2**32])
uints = st.integers(0, 2**64 - 1) | counts
ints = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-1, -24, -25, -256, -257, -65_537])
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,32}", fullmatch=True)


@st.composite
def readings(draw: st.DrawFn) -> Reading:
    origin = draw(st.integers(0, 3))
    source = ReadSource(
        draw(st.binary(min_size=8, max_size=8)),
        draw(st.binary(max_size=128)),
        draw(ints),
        draw(ints),
    )
    reactive = ReactiveEnergy(draw(uints), draw(uints), draw(uints), draw(uints))
    position = Position(draw(ints), draw(ints), draw(uints), draw(uints))
    extra = draw(st.dictionaries(st.integers(64, 70), ints | st.text(max_size=3), max_size=2))
    return Reading(
        meter=draw(names)[:20],
        node=draw(names),
        **{name: draw(counts) for name in reading_format._UINTS.values()},
        clock=ClockEvidence(draw(st.integers(0, 3)), draw(uints), draw(uints), draw(uints)),
        previous=draw(st.binary(min_size=32, max_size=32)),
        software_id=draw(st.binary(min_size=4, max_size=4)),
        configuration_id=draw(st.binary(min_size=8, max_size=8)),
        origin=origin,
        reactive=draw(st.none() | st.just(reactive)),
        position=draw(st.none() | st.just(position)),
        source=source if origin == 1 else None,
        extra=extra if draw(st.booleans()) else {},
    )


def outcome(deed: Any, data: bytes) -> object:
    """What it returns, or the sentence with which it refuses."""
    try:
        return deed(data)
    except Refused as reason:
        return str(reason)


def both_ways(monkeypatch: pytest.MonkeyPatch, data: bytes) -> tuple[object, object]:
    """A signed reading opened the fast way and the general way."""
    fast = outcome(SignedReading.open, data)
    with monkeypatch.context() as patch:
        patch.setattr(reading_format, "cut_plain", lambda octets: None)
        return fast, outcome(SignedReading.open, data)


@given(reading=readings())
def test_a_reading_is_plain_unless_it_has_a_position_extra_keys_or_giants(reading: Reading) -> None:
    payload = reading.payload()
    clock = [reading.clock.times_set, reading.clock.set_at_operating_s, reading.clock.error_s]
    reactive = [] if reading.reactive is None else reading.reactive.items()
    plain = reading.position is None and not reading.extra
    signed = sign_reading(reading, SIGNER)
    cut = cut_plain(signed)
    assert (cut is not None) == (plain and max(*clock, *reactive, 0) < 2**63)
    message = cose.open_sign1(signed)
    if cut is not None:
        assert cut == (cbor.encode(message.protected), cbor.encode(payload), payload)
        assert Reading.of_plain(payload) == reading
    assert Reading.from_payload(payload) == reading


def test_the_golden_readings_are_opened_the_same_in_both_ways() -> None:
    with pytest.MonkeyPatch.context() as patch:
        for vector in VECTORS["readings"]:
            fast, general = both_ways(patch, bytes.fromhex(vector["signed"]))
            assert fast == general
            assert isinstance(fast, SignedReading)


@given(
    reading=readings(),
    place=st.floats(0, 1),
    change=st.binary(max_size=3),
    removed=st.integers(0, 3),
    in_payload=st.booleans(),
)
def test_changed_bytes_are_opened_or_refused_the_same_in_both_ways(
    reading: Reading, place: float, change: bytes, removed: int, in_payload: bool
) -> None:
    signed = sign_reading(reading, SIGNER)
    message = cose.open_sign1(signed)
    target = message.payload if in_payload else signed
    at = int(place * len(target))
    changed = target[:at] + change + target[at + removed :]
    if in_payload:
        changed = cose.Sign1(message.protected, changed, message.signature).encoded
    with pytest.MonkeyPatch.context() as patch:
        fast, general = both_ways(patch, changed)
    assert fast == general
    if isinstance(fast, SignedReading):
        assert fast.message == fast.cose.sig_structure
        assert (fast.hint, fast.sig_hash) == (fast.cose.hint, fast.cose.sig_hash)
        assert fast.signature == fast.cose.signature


@pytest.mark.parametrize("longer", ["1804", "190004", "1a00000004", "1b0000000000000004"])
def test_a_number_in_a_longer_form_than_the_shortest_is_refused(longer: str) -> None:
    row = {**dict.fromkeys(range(1, 20), 4), 1: 1, 2: "m", 3: "n", 14: [0, 0, 0, 0], 19: 0}
    row |= {15: bytes(32), 16: bytes(4), 17: bytes(8)}
    payload = cbor.encode(row)
    assert cut_plain(enveloped(payload)) is not None
    for key in (*range(4, 14), 18):
        place = payload.index(bytes([key, 4, key + 1]))
        stretched = payload[: place + 1] + bytes.fromhex(longer) + payload[place + 2 :]
        assert cut_plain(enveloped(stretched)) is None
        with pytest.raises(Refused):
            SignedReading.open(enveloped(stretched))


def enveloped(payload: bytes) -> bytes:
    """Whatever bytes, in the envelope of a reading."""
    header = cbor.encode({1: ES256, 3: 60, 4: bytes(8)})
    return cose.Sign1(header, payload, bytes(64)).encoded


def test_a_header_that_names_no_key_or_more_than_that_is_refused() -> None:
    payload = cose.open_sign1(bytes.fromhex(VECTORS["readings"][0]["signed"])).payload
    assert SignedReading.open(enveloped(payload)).hint == (ES256, bytes(8))
    right: dict[int, Any] = {1: ES256, 3: 60, 4: bytes(8)}
    for wrong in ({4: bytes(7)}, {4: "abcdefgh"}, {1: "ES256"}, {3: 61}, {5: b""}):
        message = cose.Sign1(cbor.encode(right | wrong), payload, bytes(64))
        with pytest.raises(Refused):
            SignedReading.open(message.encoded)
