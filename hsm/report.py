"""What a key is, for who registers it: its public half, its token, and how it is kept there.

Facts as the token tells them, and one judgement: whether anything proves that the key is in
hardware. Nothing here does: a vendor's attestation is not read by this program.
"""

from pathlib import Path
from typing import Any

from hsm.hints import leak
from hsm.token_process import KeyRefused, TokenProcess
from hsm.uri import KeyUri
from wire.errors import BadSignature
from wire.keys import ES256, PublicKey, normalise_s

_PROBE = b"gridwitness/key-report/1"
_SOFTWARE = {"SoftHSM project", "Mozilla Foundation", "IBM"}
"""Makers of tokens that are programs; IBM's is the TPM in software behind swtpm."""


def report(uri: KeyUri, softhsm2_conf: Path | None = None) -> dict[str, Any]:
    """Log in, look at the key and sign once with it.

    Raises:
        KeyRefused: the key can be read out of its token, or does not sign for its public half.
        PinRefused, PinLocked: nothing was looked at.
        Unavailable: the token is away.
    """
    process = TokenProcess(uri, softhsm2_conf)
    try:
        process.login()
        return report_of(process, uri)
    finally:
        process.end()


def report_of(process: TokenProcess, uri: KeyUri) -> dict[str, Any]:
    """The same of a token that is logged in."""
    public = PublicKey.from_text(process.ask("public"))
    kept = process.ask("key")
    if kept["extractable"] or kept["value_readable"] or not kept["sensitive"]:
        raise KeyRefused("the key can be read out of its token")
    _try(process, public)
    token = process.ask("token")
    return {
        "key": public.text,
        "kid": public.kid.hex(),
        "thumbprint": public.thumbprint.hex(),
        "label": kept.pop("label"),
        "id": kept.pop("id"),
        "kept": kept,
        "leaves_nevertheless": leak(str(uri.module)),
        "token": {key: token[key] for key in ("label", "manufacturer", "model", "serial")},
        "firmware": token["firmware"],
        "library": process.ask("library"),
        "attestation": _attestation(token["manufacturer"]),
    }


def lines(found: dict[str, Any]) -> list[str]:
    """The report as text, a fact a line."""
    kept = found["kept"]
    names = [name.replace("_", " ") for name, value in kept.items() if value]
    token, library = found["token"], found["library"]
    rows = {
        "key": found["key"],
        "kid": found["kid"],
        "thumbprint": found["thumbprint"],
        "name": f"label {found['label']}, id {found['id']}",
        "kept as": ", ".join(names),
        "but": found["leaves_nevertheless"],
        "token": f"{token['label']}: {token['manufacturer']} {token['model']} {token['serial']}",
        "library": f"{library['description']} {library['version']}".strip(),
        "attestation": found["attestation"],
    }
    return [f"{name:11} {value}" for name, value in rows.items() if value]


def _try(process: TokenProcess, public: PublicKey) -> None:
    (signature,) = process.ask("sign", [public.alg, [_PROBE]])
    if public.alg == ES256:
        signature = normalise_s(signature)
    try:
        public.verify(_PROBE, signature)
    except BadSignature:
        raise KeyRefused("the private key is another one than the public key beside it") from None


def _attestation(manufacturer: str) -> str:
    if manufacturer.strip() in _SOFTWARE:
        return "software, not attested"
    return "none read: this program takes no vendor's attestation"
