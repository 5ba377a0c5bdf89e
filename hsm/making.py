"""Making inside a token: the token itself, its PIN, a key that never leaves it.

Runs in the token's process. Decides what a key is made as: private, sensitive, not extractable, for
signing only, its id the first 8 bytes of its thumbprint; a label that is taken is refused.
"""

from contextlib import suppress
from typing import Any

import pkcs11
from pkcs11 import Attribute, MechanismFlag, ObjectClass, TokenFlag
from pkcs11 import exceptions as errors
from pkcs11.constants import DEFAULT
from pkcs11.util.ec import encode_named_curve_parameters

from hsm.session import KINDS, Session, attribute, read_public
from wire.keys import ES256, PublicKey

_ED25519_OID = bytes.fromhex("06032b6570")
# What is DEFAULT is left out of the template: tpm2-pkcs11 refuses a template that says anything
# about uses which the TPM decides by itself.
_PRIVATE = {
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.PRIVATE: True,
    Attribute.TOKEN: True,
    Attribute.SIGN: True,
    Attribute.DERIVE: False,
    Attribute.DECRYPT: DEFAULT,
    Attribute.UNWRAP: DEFAULT,
}
_PUBLIC = {
    Attribute.ENCRYPT: DEFAULT,
    Attribute.WRAP: DEFAULT,
    Attribute.VERIFY: DEFAULT,
}
_NOT_FOR = (Attribute.DECRYPT, Attribute.UNWRAP, Attribute.SIGN_RECOVER)


def make_key(session: Session, alg: int) -> PublicKey:
    """Make a key pair that never leaves the token; refuses when the label is taken."""
    session.mechanism(alg)
    label = session.label
    opened = session.opened()
    for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY):
        if list(opened.get_objects({Attribute.CLASS: kind, Attribute.LABEL: label})):
            raise errors.MultipleObjectsReturned(
                f"the name {label!r} is taken: choose another object="
            )
    curve = encode_named_curve_parameters("secp256r1") if alg == ES256 else _ED25519_OID
    domain = opened.create_domain_parameters(KINDS[alg], {Attribute.EC_PARAMS: curve}, local=True)
    public, private = domain.generate_keypair(
        label=label,
        store=True,
        capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY,
        private_template=_PRIVATE,
        public_template=_PUBLIC,
    )
    found = read_public(public)
    public[Attribute.ID] = private[Attribute.ID] = found.kid
    for use in _NOT_FOR:
        if attribute(private, use):
            with suppress(pkcs11.PKCS11Error):
                private[use] = False
    return found


def init_token(session: Session, so_pin: str, pin: str) -> None:
    """Make a token in the one slot whose token is not initialised, and set its PIN.

    NSS has its token from the start: there only the PIN is set.

    Raises:
        MultipleTokensReturned: a token of this label is there already.
        NoSuchToken: no slot has room for one.
    """
    library, label = session.library(), session.token_label
    tokens = [slot.get_token() for slot in library.get_slots(token_present=True)]
    named = [token for token in tokens if token.label == label]
    if named and not _has_no_pin(named[0]):
        raise errors.MultipleTokensReturned("a token of this label is there already")
    if not named:
        free = [each for each in tokens if not each.flags & TokenFlag.TOKEN_INITIALIZED]
        if not free:
            raise errors.NoSuchToken("no slot has an uninitialised token")
        library.init_token(free[0].slot.slot_id, so_pin, label)
        library.reinitialize()  # SoftHSM numbers its slots anew.
    token: Any = library.get_token(token_label=label)
    officer = token.open(rw=True, so_pin="" if named else so_pin)
    officer.init_pin(pin)
    officer.close()


def _has_no_pin(token: Any) -> bool:
    return not token.flags & TokenFlag.USER_PIN_INITIALIZED
