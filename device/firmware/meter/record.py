"""The signed record, EMR-1: fields to bytes, bytes to COSE_Sign1 (RFC 9052). Encoding only.

Decides the bytes of payload, protected header and envelope, and nothing about what is true. The
same fields give the same bytes on every Python; the vectors in wire/vectors hold that.
"""

from meter import signing
from meter.cbor import encode, tagged

FORMAT = 1
CONTENT_TYPE = 60  # application/cbor in the CoAP registry: tells a record from all else signed.
TAG_SIGN1 = 18
LONGEST = 256  # Bytes of a record that fit the 128 registers of the Modbus window.
NO_PREVIOUS = bytes(32)

ORIGIN_OWN_ELEMENT = 0

# Status bits (field 13); 0 to 7 are those of the DLMS profile status.
CRITICAL = 1 << 0
CLOCK_INVALID = 1 << 1
CLOCK_ADJUSTED = 1 << 5
POWER_DOWN = 1 << 7
COVER_OPEN = 1 << 8
TERMINAL_COVER_OPEN = 1 << 9
MAGNETIC_FIELD = 1 << 10
CONFIGURATION_CHANGED = 1 << 13
SOFTWARE_CHANGED = 1 << 14
LOG_DEGRADED = 1 << 17
VALUE_HELD = 1 << 18
KEY_IN_FLASH = 1 << 19


def kid(public):
    """The first 8 bytes of the COSE key thumbprint (RFC 9679), the hint in a record's header."""
    return signing.sha256(encode({1: 2, -1: 1, -2: public[:32], -3: public[32:]}))[:8]


def payload(fields):
    """The payload of a reading; `fields` maps the numbers 2 to 19 of EMR-1 to their values."""
    content = {1: FORMAT}
    content.update(fields)
    return encode(content)


def _protected(kid):
    """The protected header of a record signed by the key that `kid` hints at."""
    return encode({1: signing.ALG_ES256, 3: CONTENT_TYPE, 4: kid})


def signed_bytes(kid, content):
    """The bytes that are signed (Sig_structure, RFC 9052 §4.4)."""
    return encode(["Signature1", _protected(kid), b"", content])


def envelope(kid, content, signature):
    """The record as it travels: COSE_Sign1 with its tag."""
    return tagged(TAG_SIGN1, [_protected(kid), {}, content, signature])
