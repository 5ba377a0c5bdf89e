"""EMR-1, the signed reading: a meter's registers after one interval, and why to trust them.

Decides the payload's fields, their ranges and their one encoding. Whether a reading is true, in
time and in place is decided by the validators' rules; whether its signature stands is asked with
the registered key (`SignedReading.verify`).
"""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from wire import cbor, fields
from wire.cose import (
    HEADER_ALG,
    HEADER_CONTENT_TYPE,
    HEADER_KID,
    Sign1,
    check_alg,
    joined,
    open_sign1,
    sign1,
)
from wire.errors import Malformed
from wire.keys import SIGNATURE_SIZE, PublicKey, Signer
from wire.plain_reading import cut_plain

FORMAT = 1
CONTENT_TYPE = 60
"""CoAP content format of application/cbor: tells a reading from every other signed thing."""

FIRST_FREE_KEY = 64
"""Keys from here on are carried untouched; unknown keys below are refused."""

ORIGIN_OWN_ELEMENT, ORIGIN_MODBUS, ORIGIN_PULSES, ORIGIN_MANUAL = range(4)

MAX_ENCODED = 1024
"""Bytes of one signed reading. A plain one has about 224."""


_NOTHING: Mapping[int, Any] = MappingProxyType({})


class ClockEvidence(NamedTuple):
    """What the meter can say about its clock (field 14)."""

    quality: int
    """0 unknown, 1 set once, 2 synchronised within bounds, 3 disciplined against a reference."""

    times_set: int
    """How often the clock was set since manufacture."""

    set_at_operating_s: int
    """Operating seconds when it was last set."""

    error_s: int
    """Bound of its error, seconds."""

    def items(self) -> list[int]:
        """As encoded."""
        return list(self)


class ReactiveEnergy(NamedTuple):
    """Reactive registers and their advances in the interval (field 20)."""

    import_varh: int
    export_varh: int
    import_advance_varh: int
    export_advance_varh: int

    def items(self) -> list[int]:
        """As encoded."""
        return list(self)


class Position(NamedTuple):
    """Where a receiver says it is (field 21)."""

    lat_e7: int
    """Latitude, 1e-7 degrees."""

    lon_e7: int
    """Longitude, 1e-7 degrees."""

    accuracy_dm: int
    """Radius of the error, decimetres."""

    age_s: int
    """Seconds since the fix."""

    def items(self) -> list[int]:
        """As encoded."""
        return list(self)


class ReadSource(NamedTuple):
    """How a gateway read a meter that cannot sign (field 22)."""

    template: bytes
    """Prefix of the template's SHA-256, 8 bytes."""

    words: bytes
    """Raw register words as they came from the wire, at most 128 bytes."""

    start_offset_ms: int
    """How long after the interval's start its first register value was read.

    Negative when before.
    """

    end_offset_ms: int
    """How long after the interval's end its last register value was read."""

    def items(self) -> list[Any]:
        """As encoded."""
        return list(self)


class Reading(NamedTuple):
    """The content of one signed reading; the numbers are the payload's keys."""

    meter: str
    """2: meter id exactly as printed on the nameplate, 1 to 20 characters."""

    node: str
    """3: grid node or metering point."""

    interval_start_s: int
    """4: Unix seconds UTC."""

    interval_s: int
    """5: length, 900."""

    import_wh: int
    """6: import register at the interval's end (OBIS 1-0:1.8.0)."""

    export_wh: int
    """7: export register at the interval's end (OBIS 1-0:2.8.0)."""

    import_advance_wh: int
    """8: import within the interval."""

    export_advance_wh: int
    """9: export within the interval."""

    sequence: int
    """10: +1 per signed record, never reused."""

    boots: int
    """11: boot counter."""

    operating_s: int
    """12: operating seconds since manufacture, monotone over reboots."""

    status: int
    """13: status bits."""

    clock: ClockEvidence
    """14: what the clock is worth."""

    previous: bytes
    """15: SHA-256 of the previous reading's Sig_structure, 32 bytes; zeros at sequence 0."""

    software_id: bytes
    """16: prefix of the hash of the legally relevant code, 4 bytes."""

    configuration_id: bytes
    """17: prefix of the SHA-256 of the commissioning record, 8 bytes."""

    events: int
    """18: event-log counter."""

    origin: int
    """19: 0 own element, 1 foreign meter read over Modbus or IEC 62056, 2 pulses, 3 manual."""

    reactive: ReactiveEnergy | None = None
    """20: reactive energy, when measured."""

    position: Position | None = None
    """21: position, when the meter has a receiver."""

    source: ReadSource | None = None
    """22: how it was read; required for origin 1."""

    extra: Mapping[int, Any] = _NOTHING
    """Keys from 64 on, carried untouched."""

    def payload(self) -> bytes:
        """The deterministic encoding that is signed."""
        content: dict[int, Any] = {
            1: FORMAT,
            2: self.meter,
            3: self.node,
            4: self.interval_start_s,
            5: self.interval_s,
            6: self.import_wh,
            7: self.export_wh,
            8: self.import_advance_wh,
            9: self.export_advance_wh,
            10: self.sequence,
            11: self.boots,
            12: self.operating_s,
            13: self.status,
            14: self.clock.items(),
            15: self.previous,
            16: self.software_id,
            17: self.configuration_id,
            18: self.events,
            19: self.origin,
        }
        for key, part in ((20, self.reactive), (21, self.position), (22, self.source)):
            if part is not None:
                content[key] = part.items()
        return cbor.encode(content | dict(self.extra))

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        """Decode and check a payload; raises Malformed naming the field."""
        content = cbor.decode(payload)
        if not isinstance(content, dict) or content.get(1) != FORMAT:
            raise Malformed("not a reading of format 1")
        extra = {key: content[key] for key in content.keys() - _KNOWN_KEYS}
        if any(type(key) is not int or key < FIRST_FREE_KEY for key in extra):
            raise Malformed(
                f"a reading with keys that format 1 does not know: {sorted(map(str, extra))}"
            )
        missing = _REQUIRED_KEYS - content.keys()
        if missing:
            raise Malformed(f"a reading without key {min(missing)}")
        return cls(**_checked(content), extra=extra)

    @classmethod
    def of_plain(cls, payload: bytes) -> Self:
        """Decode a payload that was cut out of a plain signed reading: all of it is checked."""
        content = cbor.decode_canonical(payload)
        reactive, source = content.pop(20, None), content.pop(22, None)
        _, *values = content.values()
        values[12] = ClockEvidence._make(values[12])
        values += (
            None if reactive is None else ReactiveEnergy._make(reactive),
            None,
            None if source is None else ReadSource._make(source),
            _NOTHING,
        )
        return cls._make(values)


_MOST = 2**63 - 1
"""Largest number that a reading counts to: what the integers of every ledger hold."""

_REQUIRED_KEYS = frozenset(range(1, 20))
_KNOWN_KEYS = frozenset(range(1, 23))
_UINTS = {
    4: "interval_start_s",
    5: "interval_s",
    6: "import_wh",
    7: "export_wh",
    8: "import_advance_wh",
    9: "export_advance_wh",
    10: "sequence",
    11: "boots",
    12: "operating_s",
    13: "status",
    18: "events",
}


def _checked(content: dict[Any, Any]) -> dict[str, Any]:
    """Check every known key and return the fields of `Reading` by name."""
    found: dict[str, Any] = {
        name: fields.uint(content[key], f"{name} ({key})", _MOST) for key, name in _UINTS.items()
    }
    found["meter"] = fields.identifier(content[2], "meter (2)", most=20)
    found["node"] = fields.identifier(content[3], "node (3)")
    clock = fields.items(content[14], "clock (14)", 4)
    fields.uint(clock[0], "clock quality (14)", most=3)
    found["clock"] = ClockEvidence(*(fields.uint(item, "clock (14)") for item in clock))
    found["previous"] = fields.octets(content[15], "previous (15)", 32)
    found["software_id"] = fields.octets(content[16], "software_id (16)", 4)
    found["configuration_id"] = fields.octets(content[17], "configuration_id (17)", 8)
    found["origin"] = fields.uint(content[19], "origin (19)", most=3)
    if 20 in content:
        values = fields.items(content[20], "reactive (20)", 4)
        found["reactive"] = ReactiveEnergy(*(fields.uint(item, "reactive (20)") for item in values))
    if 21 in content:
        found["position"] = _position(content[21])
    if 22 in content:
        found["source"] = _source(content[22])
    if (found["origin"] == ORIGIN_MODBUS) != (22 in content):
        raise Malformed("source (22): required for origin 1 and for no other")
    return found


def _position(value: Any) -> Position:
    lat_e7, lon_e7, accuracy_dm, age_s = fields.items(value, "position (21)", 4)
    return Position(
        fields.integer(lat_e7, "latitude (21)"),
        fields.integer(lon_e7, "longitude (21)"),
        fields.uint(accuracy_dm, "accuracy (21)"),
        fields.uint(age_s, "age (21)"),
    )


def _source(value: Any) -> ReadSource:
    template, words, start_offset_ms, end_offset_ms = fields.items(value, "source (22)", 4)
    return ReadSource(
        fields.octets(template, "template (22)", 8),
        fields.blob(words, "words (22)", most=128),
        fields.integer(start_offset_ms, "start offset (22)"),
        fields.integer(end_offset_ms, "end offset (22)"),
    )


def sign_reading(reading: Reading, signer: Signer) -> bytes:
    """Sign a reading as the meter (origin 0) or the reader key (origin 1 to 3) does."""
    headers = {
        HEADER_ALG: signer.public.alg,
        HEADER_CONTENT_TYPE: CONTENT_TYPE,
        HEADER_KID: signer.public.kid,
    }
    return sign1(headers, reading.payload(), signer)


def _check_headers(headers: Mapping[Any, Any]) -> None:
    if headers.keys() != {HEADER_ALG, HEADER_CONTENT_TYPE, HEADER_KID}:
        raise Malformed("a reading's protected header has exactly the keys 1, 3 and 4")
    if headers[HEADER_CONTENT_TYPE] != CONTENT_TYPE:
        raise Malformed(
            "the protected header does not say that this is a reading (content type 60)"
        )


class SignedReading(NamedTuple):
    """A reading with its envelope, decoded once; the bytes stay as the signer made them."""

    encoded: bytes
    """The COSE_Sign1 as it travels."""

    hint: tuple[int, bytes]
    """Algorithm and kid: what the header says of the key that signed."""

    message: bytes
    """The bytes that the signature covers."""

    signature: bytes
    """Raw signature, 64 bytes."""

    sig_hash: bytes
    """SHA-256 of the signed bytes, 32 bytes: field 15 of the meter's next reading.

    Names the content, whatever the signature looks like.
    """

    reading: Reading
    """The content."""

    @classmethod
    def open(cls, encoded: bytes) -> Self:
        """Decode and check the shape; raises Malformed. The signature is checked by `verify`."""
        if len(encoded) > MAX_ENCODED:
            raise Malformed(f"a reading of {len(encoded)} bytes; at most {MAX_ENCODED}")
        plain = cut_plain(encoded)
        if plain is not None:
            protected, content, payload = plain
            reading = Reading.of_plain(payload)
            return cls._of(encoded, _plain_hint(protected), joined(protected, content), reading)
        cose = open_sign1(encoded)
        _check_headers(cose.headers)
        reading = Reading.from_payload(cose.payload)
        return cls._of(encoded, cose.hint, cose.sig_structure, reading)

    @classmethod
    def _of(cls, encoded: bytes, hint: tuple[int, bytes], message: bytes, reading: Reading) -> Self:
        sig_hash = hashlib.sha256(message).digest()
        return cls(encoded, hint, message, encoded[-SIGNATURE_SIZE:], sig_hash, reading)

    @property
    def cose(self) -> Sign1:
        """The envelope."""
        return open_sign1(self.encoded)

    @property
    def kid(self) -> bytes:
        """Hint of the key that signed, 8 bytes."""
        return self.hint[1]

    def verify(self, public: PublicKey) -> None:
        """Check the signature; raises BadSignature."""
        check_alg(self.hint[0], public)
        public.verify(self.message, self.signature)


@lru_cache(maxsize=16_384)
def _plain_hint(protected: bytes) -> tuple[int, bytes]:
    """What a plain reading's header says of the key: a meter's signs under one all its life."""
    message = Sign1(protected[1:], b"", b"")
    return message.hint
