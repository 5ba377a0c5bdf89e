"""OCMF 1.4: a verified reading in the form that programs for legal metrology read.

Decides the translation into a fiscal record (pagination `F`), and who signs it. The meter's key
signs COSE only, so the record is signed by whoever exports it (a gateway or a technician, ES256):
that signature says who vouches for the translation. The meter's own signed record travels whole in
the field `UR` (hexadecimal), its public key in `UK` (SubjectPublicKeyInfo, hexadecimal), and `UN`
says so in words; the letters U to Z are the format's own place for such fields. Source: OCMF 1.4,
https://github.com/SAFE-eV/OCMF-Open-Charge-Metering-Format. Leaves verifying the reading to the
caller's `wire.series` or `wire.receipt`, and checks the signature once more.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from device.provision.label import spki
from wire import fields
from wire.errors import Malformed
from wire.keys import ES256, PublicKey, Signer
from wire.reading import Reading, SignedReading
from wire.record_rules import status_words

FORMAT = "1.4"
IMPORT_OBIS, EXPORT_OBIS = "01-00:01.08.00*FF", "01-00:02.08.00*FF"
ALGORITHM = "ECDSA-secp256r1-SHA256"
_CLOCK_INVALID = 1 << 1
_CLOCK_ADJUSTED = 1 << 5
_ERROR = 1 << 0 | 1 << 16  # An incomplete interval has no letter of its own.
_NOT_VALID = 1 << 2 | 1 << 18
_TAMPERED = 1 << 8 | 1 << 9 | 1 << 10
_SAID = _CLOCK_INVALID | _CLOCK_ADJUSTED | _ERROR | _NOT_VALID | _TAMPERED
_CLOCK_ERROR_S = 60  # A bound of its error above this is no synchronised clock.
_TIME_LETTERS = "UISS"  # Clock quality 0 to 3: unknown, informative, synchronised, synchronised.


@dataclass(frozen=True, slots=True)
class Exporter:
    """Who vouches for the translation."""

    id: str
    """Gateway id or technician id (`GS`)."""

    signer: Signer
    """ES256 key that signs."""


def time_of(reading: Reading) -> str:
    """The end of the interval with the letter of its clock: `2026-11-21T09:00:00,000+0000 S`."""
    letter = _TIME_LETTERS[reading.clock.quality]
    if reading.status & _CLOCK_INVALID:
        letter = "U"
    elif letter == "S" and _is_clock_doubtful(reading):
        letter = "I"
    try:
        end = datetime.fromtimestamp(reading.interval_start_s + reading.interval_s, UTC)
    except (ValueError, OverflowError, OSError):
        raise Malformed(
            f"record {reading.sequence}: its time is beyond any calendar; OCMF cannot say it"
        ) from None
    return f"{end:%Y-%m-%dT%H:%M:%S},000+0000 {letter}"


def _is_clock_doubtful(reading: Reading) -> bool:
    doubtful = reading.status & (_CLOCK_INVALID | _CLOCK_ADJUSTED)
    return bool(doubtful) or not reading.clock.quality or reading.clock.error_s > _CLOCK_ERROR_S


def status_of(reading: Reading) -> tuple[str, str]:
    """Meter status (`ST`) and error flags (`EF`) of a reading."""
    flags = "E" if reading.status & (_ERROR | _NOT_VALID) else ""
    if _is_clock_doubtful(reading):
        flags += "t"
    if reading.status & _TAMPERED:
        return "M", flags
    if reading.status & _NOT_VALID:
        return "F", flags
    return ("E" if reading.status & _ERROR else "G"), flags


def unsaid(reading: Reading) -> str:
    """The status bits for which OCMF has no word, in ours; empty when there are none."""
    bits = reading.status & ~_SAID
    return status_words(bits) if bits else ""


def payload_of(signed: SignedReading, meter: PublicKey, exporter: str) -> str:
    """The record's first part, JSON: exactly these bytes are signed."""
    reading = signed.reading
    time, (status, flags) = time_of(reading), status_of(reading)
    values = ((IMPORT_OBIS, reading.import_wh), (EXPORT_OBIS, reading.export_wh))
    more = unsaid(reading)
    content = {
        "FV": FORMAT,
        "GI": "GridWitness export",
        "GS": fields.identifier(exporter, "exporter"),
        "GV": version("gridwitness"),
        "PG": f"F{reading.sequence}",
        "MV": "GridWitness",
        "MS": reading.meter,
        "MF": reading.software_id.hex(),
        "IS": False,
        "IF": [],
        "IT": "NONE",
        "RD": [
            {
                "TM": time,
                "RV": value,
                "RI": obis,
                "RU": "Wh",
                "RT": "AC",
                "EF": flags,
                "ST": status,
            }
            for obis, value in values
        ],
        "UR": signed.encoded.hex(),
        "UK": spki(meter).hex(),
        "UN": "Signed by the exporter GS. UR is the meter's own record (COSE_Sign1), which the key"
        " UK verifies." + (f" It says more: status bits {more}." if more else ""),
    }
    return json.dumps(content, ensure_ascii=True, separators=(",", ":"))


def ocmf_record(signed: SignedReading, meter: PublicKey, exporter: Exporter) -> str:
    """The reading as a signed OCMF record, `OCMF|…|…`.

    Raises:
        BadSignature: the meter has not signed this reading.
        Malformed: it cannot be said in OCMF, or the exporter's key is not ES256.
        Unavailable: the exporter's key cannot sign now.
    """
    signed.verify(meter)
    if exporter.signer.public.alg != ES256:
        raise Malformed("OCMF knows no Ed25519: export with an ES256 key, a gateway's for instance")
    payload = payload_of(signed, meter, exporter.id)
    raw = exporter.signer.sign(payload.encode())
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    signature = {
        "SA": ALGORITHM,
        "SE": "hex",
        "SM": "application/x-der",
        "SD": encode_dss_signature(r, s).hex(),
    }
    return f"OCMF|{payload}|{json.dumps(signature, separators=(',', ':'))}"
