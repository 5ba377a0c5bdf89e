"""What a token says about itself and a key: facts for the doctor and for key reports.

Runs in the token's process and changes nothing.
"""

from typing import Any

import pkcs11
from pkcs11 import Attribute, Mechanism, ObjectClass, TokenFlag

from hsm.session import MECHANISMS, Session, attribute
from wire.keys import EDDSA, ES256

_FLAGS = (
    TokenFlag.LOGIN_REQUIRED,
    TokenFlag.TOKEN_INITIALIZED,
    TokenFlag.USER_PIN_INITIALIZED,
    TokenFlag.USER_PIN_COUNT_LOW,
    TokenFlag.USER_PIN_FINAL_TRY,
    TokenFlag.USER_PIN_LOCKED,
    TokenFlag.USER_PIN_TO_BE_CHANGED,
)
_KEPT = ("SENSITIVE", "ALWAYS_SENSITIVE", "EXTRACTABLE", "NEVER_EXTRACTABLE", "PRIVATE", "LOCAL")
_USES = ("SIGN", "DECRYPT", "UNWRAP", "DERIVE")


def library_facts(session: Session) -> dict[str, Any]:
    """Who made the library, and which version it is."""
    library = session.library()
    return {
        "manufacturer": library.manufacturer_id,
        "description": library.library_description,
        "version": ".".join(map(str, library.library_version)),
        "cryptoki": ".".join(map(str, library.cryptoki_version)),
    }


def token_facts(session: Session) -> dict[str, Any]:
    """Label, maker, model, serial number, firmware, flags, and what it can sign with."""
    token = session.token()
    offered = token.slot.get_mechanisms()
    names = {ES256: "es256", EDDSA: "eddsa"}
    return {
        "label": token.label,
        "manufacturer": token.manufacturer_id,
        "model": token.model,
        "serial": token.serial.decode("ascii", "replace").strip("\0 "),
        "firmware": ".".join(map(str, token.firmware_version)),
        "flags": [flag.name for flag in _FLAGS if token.flags & flag],
        "mechanisms": {
            names[alg]: [each.name for each in usable if each in offered]
            for alg, usable in MECHANISMS.items()
        },
        "wraps": sum(_may_wrap(token, mechanism) for mechanism in offered),
    }


def key_facts(session: Session) -> dict[str, Any]:
    """The private key's attributes, as the token tells them; None for what it does not tell."""
    key = session.find(ObjectClass.PRIVATE_KEY)
    told = {name.lower(): attribute(key, Attribute[name]) for name in (*_KEPT, *_USES)}
    told["value_readable"] = attribute(key, Attribute.VALUE) is not None
    told["id"] = (attribute(key, Attribute.ID) or b"").hex()
    told["label"] = attribute(key, Attribute.LABEL) or ""
    return told


def _may_wrap(token: Any, mechanism: Mechanism | int) -> bool:
    try:
        info = token.slot.get_mechanism_info(mechanism)
    except (pkcs11.PKCS11Error, ValueError):
        return False
    return bool(info.flags & pkcs11.MechanismFlag.WRAP)
