"""The commissioning record: what a meter was set up as, signed by the meter and a technician.

A COSE_Sign (RFC 9052 §4.1) whose payload is the configuration that the meter runs with; the first 8
bytes of the payload's SHA-256 are the configuration id that every reading carries (field 17). The
meter signs first, with its own key, the technician second. Decides the record's shape, its size,
whose signature stands where and whether the registry's entry is about it, by one rule for the
technician's tool, the validators and every verifier; what the configuration's values mean is
decided by the firmware (`meter.config`), who may be a technician by the validators.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from wire import cbor, fields
from wire.cose import HEADER_CONTENT_TYPE, Sign, open_sign
from wire.errors import BadSignature, Malformed
from wire.keys import PublicKey, Signer

CONTENT_TYPE = "application/x-gridwitness-commissioning"
PROTECTED = cbor.encode({HEADER_CONTENT_TYPE: CONTENT_TYPE})
"""The body's protected header, which both signatures cover."""

MOST_BYTES = 6 * 1024
"""Bytes of a record: an enrolment of 8 KiB carries it whole."""

CONFIGURATION_ID_SIZE = 8
Stands = Callable[[PublicKey, bytes, bytes], bool]
"""Tells whether a signature is a key's over a message: (key, message, signature)."""

_MOST_TEXT = 500
_LARGEST_INT = 2**53 - 1  # What every JSON reader keeps exactly: the board stores it as JSON.
_MOST_UNIT = 247
_QUARTER_E7, _HALF_E7 = 900_000_000, 1_800_000_000


def check_content(content: Any) -> dict[str, Any]:
    """The configuration, when it may be signed; raises Malformed naming the part that may not.

    Integers, texts, lists and maps with text keys only: what JSON and CBOR say alike.
    """
    if not isinstance(content, dict):
        raise Malformed("a commissioning record's content is not a map")
    _check_kinds(content, "")
    missing = [key for key in ("meter", "node", "zone", "unit", "element") if key not in content]
    if missing:
        raise Malformed(f"a commissioning record without {missing[0]}")
    fields.identifier(content["meter"], "meter", most=20)
    fields.identifier(content["node"], "node")
    fields.identifier(content["zone"], "zone")
    if fields.uint(content["unit"], "unit", _MOST_UNIT) == 0:
        raise Malformed("unit: a Modbus unit is 1 to 247")
    element = content["element"]
    if not isinstance(element, dict) or not isinstance(element.get("kind"), str):
        raise Malformed("element: not a map with its kind")
    if not isinstance(content.get("commissioning", {}), dict):
        raise Malformed("commissioning: not a map")
    _check_site(content.get("site", []))
    return content


def _check_kinds(value: Any, place: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise Malformed(f"{place or 'content'}: a key that is no text")
            _check_scalar(key, f"a key of {place or 'the content'}")
            _check_kinds(item, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list):
        for item in value:
            _check_kinds(item, place)
    else:
        _check_scalar(value, place)


def _check_scalar(value: Any, place: str) -> None:
    if isinstance(value, str):
        if len(value) > _MOST_TEXT:
            raise Malformed(f"{place}: a text of more than {_MOST_TEXT} characters")
    elif type(value) is not int:
        raise Malformed(f"{place}: not an integer, a text, a list or a map")
    elif abs(value) > _LARGEST_INT:
        raise Malformed(f"{place}: an integer beyond 2^53")


def _check_site(value: Any) -> None:
    match value:
        case []:
            return
        case [int(lat_e7), int(lon_e7)] if abs(lat_e7) <= _QUARTER_E7 and abs(lon_e7) <= _HALF_E7:
            return
    raise Malformed("site: not [latitude, longitude] in 1e-7 degrees")


def configuration_id(payload: bytes) -> bytes:
    """What readings carry as field 17, 8 bytes."""
    return hashlib.sha256(payload).digest()[:CONFIGURATION_ID_SIZE]


def unsigned(content: Mapping[str, Any]) -> Sign:
    """The record before anybody has signed it; raises Malformed."""
    return Sign(PROTECTED, cbor.encode(check_content(dict(content))))


def sign_record(content: Mapping[str, Any], meter: Signer, technician: Signer) -> bytes:
    """Make a record with both keys at hand (simulated meters, tests, vectors)."""
    return unsigned(content).signed_by(meter).signed_by(technician).encoded


@dataclass(frozen=True)
class CommissioningRecord:
    """A commissioning record as it stood on the wire, its shape checked."""

    encoded: bytes
    """The COSE_Sign as it travels."""

    sign: Sign
    """The envelope."""

    content: dict[str, Any] = field(compare=False)
    """The configuration."""

    @classmethod
    def open(cls, data: bytes) -> Self:
        """Decode and check the shape; raises Malformed. Signatures are checked by `verify`."""
        if len(data) > MOST_BYTES:
            raise Malformed(f"a commissioning record of {len(data)} bytes; at most {MOST_BYTES}")
        sign = open_sign(data)
        if sign.protected != PROTECTED:
            raise Malformed(f"a commissioning record's content type is {CONTENT_TYPE}")
        if len(sign.signers) != 2:
            raise Malformed("a commissioning record has two signatures: meter's, technician's")
        return cls(data, sign, check_content(cbor.decode(sign.payload)))

    @property
    def configuration_id(self) -> bytes:
        """What the meter's readings carry as field 17, 8 bytes."""
        return configuration_id(self.sign.payload)

    @property
    def meter_kid(self) -> bytes:
        """Hint of the key that signed as the meter, 8 bytes."""
        return self.sign.signers[0][1]

    @property
    def technician_kid(self) -> bytes:
        """Hint of the key that signed as the technician, 8 bytes."""
        return self.sign.signers[1][1]

    def check_entry(self, meter: str, node: str, zone: str, configuration_id: bytes) -> None:
        """Check that what the registry writes of the meter is about this record.

        Args:
            meter: its id.
            node: its grid node.
            zone: its zone.
            configuration_id: the record that was meant, 8 bytes.

        Raises:
            Malformed: naming what differs.
        """
        for name, value in (("meter", meter), ("node", node), ("zone", zone)):
            if self.content[name] != value:
                raise Malformed(f"the commissioning record speaks of another {name}")
        if configuration_id != self.configuration_id:
            raise Malformed("the commissioning record is not the one that the entry names")

    def verify(self, meter: PublicKey, technician: PublicKey) -> None:
        """Check both signatures, each in its place; raises BadSignature."""
        self.technician_of(meter, (technician,))

    def check_meter(self, meter: PublicKey, stands: Stands = PublicKey.stands) -> None:
        """Check the first signature only, the meter's; raises BadSignature."""
        self._check_signer(0, meter, "meter", stands)

    def technician_of(
        self,
        meter: PublicKey,
        technicians: Iterable[PublicKey],
        stands: Stands = PublicKey.stands,
    ) -> PublicKey:
        """Check both signatures, each in its place, and tell whose the second one is.

        Args:
            meter: the meter's key.
            technicians: keys of those who may commission it.
            stands: checks a signature; the validators' remembers what it was asked before.

        Raises:
            BadSignature: it is not signed by the meter first and by one of these second.
        """
        self.check_meter(meter, stands)
        known = tuple(technicians)
        for technician in known:
            if self.sign.signers[1] == (technician.alg, technician.kid):
                self._check_signer(1, technician, "technician", stands)
                return technician
        whose = " or ".join(each.kid.hex() for each in known[:3]) or "of nobody known"
        raise BadSignature(f"the technician's key {whose} has not signed the record second")

    def _check_signer(self, place: int, public: PublicKey, words: str, stands: Stands) -> None:
        if self.sign.signers[place] != (public.alg, public.kid):
            order = ("first", "second")[place]
            raise BadSignature(
                f"the {words}'s key {public.kid.hex()} has not signed the record {order}"
            )
        found = self.sign.signature_of(public)
        if found is None or not stands(public, *found):
            raise BadSignature(f"the {words}'s signature is not its key's over this record")
