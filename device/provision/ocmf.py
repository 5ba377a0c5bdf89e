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

FORMAT = "1.4"
IMPORT_OBIS, EXPORT_OBIS = "01-00:01.08.00*FF", "01-00:02.08.00*FF"
ALGORITHM = "ECDSA-secp256r1-SHA256"
_CLOCK_INVALID = 1 << 1
_ERROR = 1 << 0 | 1 << 2
_TAMPERED = 1 << 8 | 1 << 9 | 1 << 10
_HELD = 1 << 18
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
    invalid = reading.status & _CLOCK_INVALID
    letter = "U" if invalid else _TIME_LETTERS[reading.clock.quality]
    try:
        end = datetime.fromtimestamp(reading.interval_start_s + reading.interval_s, UTC)
    except (ValueError, OverflowError, OSError):
        raise Malformed(
            f"record {reading.sequence}: its time is beyond any calendar; OCMF cannot say it"
        ) from None
    return f"{end:%Y-%m-%dT%H:%M:%S},000+0000 {letter}"


def status_of(reading: Reading) -> tuple[str, str]:
    """Meter status (`ST`) and error flags (`EF`) of a reading."""
    flags = "E" if reading.status & (_ERROR | _HELD) else ""
    if reading.status & _CLOCK_INVALID or not reading.clock.quality:
        flags += "t"
    if reading.status & _TAMPERED:
        return "M", flags
    if reading.status & _HELD:
        return "F", flags
    return ("E" if reading.status & _ERROR else "G"), flags


def payload_of(signed: SignedReading, meter: PublicKey, exporter: str) -> str:
    """The record's first part, JSON: exactly these bytes are signed."""
    reading = signed.reading
    time, (status, flags) = time_of(reading), status_of(reading)
    values = ((IMPORT_OBIS, reading.import_wh), (EXPORT_OBIS, reading.export_wh))
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
        " UK verifies.",
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
