"""Keys of one token: open, log in once, find, sign with what the token offers.

Runs in the token's process (`hsm.worker`), which makes every PKCS#11 call. Decides which mechanism
signs and which object is a key; nothing is opened a second time: after whatever went wrong the
process ends, and with it every session and handle that might name another key by now.
"""

import hashlib
import os
from contextlib import suppress
from typing import Any

import pkcs11
from asn1crypto.core import OctetString
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass, TokenFlag
from pkcs11 import exceptions as errors

from hsm.library import Library
from wire.keys import EDDSA, ES256, PublicKey

KINDS = {ES256: KeyType.EC, EDDSA: KeyType.EC_EDWARDS}
MECHANISMS = {
    ES256: (Mechanism.ECDSA, Mechanism.ECDSA_SHA256),
    EDDSA: (Mechanism.EDDSA,),
}
"""What can make a signature of each algorithm, the best first: CKM_ECDSA takes a digest made here,
and nearly every token has it."""


class PinNotTried(errors.PinLocked):
    """The token says that its PIN is locked, or that one mistake more locks it."""


class Session:
    """A token, and the key of it that is spoken of now."""

    def __init__(self, where: dict[str, Any]) -> None:
        """Take module path and arguments, and the token's name; nothing is opened yet."""
        self._where = where
        self._library: Library | None = None
        self._token: Any = None
        self._session: Any = None
        self._keys: dict[tuple[str, bytes], tuple[Any, Mechanism]] = {}
        self.token_label: str = where["token"]
        self.label, self.key_id = "", b""

    def turn_to(self, label: str, key_id: bytes) -> None:
        """Speak of the key of this label and id from now on; either may be empty."""
        self.label, self.key_id = label, key_id

    def library(self) -> Library:
        """The vendor's library, initialised."""
        if self._library is None:
            self._library = Library(self._where["module"], self._where["reserved"])
        return self._library

    def token(self) -> Any:
        """The token of this label; raises NoSuchToken or MultipleTokensReturned."""
        if self._token is None:
            try:
                self._token = self.library().get_token(token_label=self.token_label)
            except errors.NoSuchToken:
                raise errors.NoSuchToken(self._missing()) from None
            except errors.GeneralError:
                if not self._lacks_configuration():
                    raise
                # SoftHSM says so of the machine's own folder of tokens, which only root may read.
                raise errors.NoSuchToken(self._missing()) from None
            except errors.MultipleTokensReturned:
                raise errors.MultipleTokensReturned(
                    f"several tokens are named {self.token_label}: give them names of their own"
                ) from None
        return self._token

    def _missing(self) -> str:
        words = f"no token named {self.token_label} in {self._where['module']}: is it plugged in?"
        hint = " For SoftHSM name its --softhsm2-conf"
        return words + hint if self._lacks_configuration() else words

    def _lacks_configuration(self) -> bool:
        return "softhsm" in str(self._where["module"]) and "SOFTHSM2_CONF" not in os.environ

    def login(self, pin: str | None) -> None:
        """Open the session, logged in by the one try that this process has.

        Raises PinNotTried when the token's flags forbid it.
        """
        if pin is not None:
            check_flags(self.token().flags, self._where["final_try"])
        self._session = self.token().open(rw=self._where["writes"], user_pin=pin)

    def opened(self) -> Any:
        """The session; raises UserNotLoggedIn before `login`."""
        if self._session is None:
            raise errors.UserNotLoggedIn("nobody has logged in")
        return self._session

    def close(self) -> None:
        """Give back what the token has few of: its sessions and the keys that are loaded."""
        self._keys.clear()
        with suppress(pkcs11.PKCS11Error):
            if self._session is not None:
                self._session.close()
            if self._library is not None:
                self._library.finalize()

    def find(self, kind: ObjectClass) -> Any:
        """The one object of this kind with the key's label and id; raises NoSuchKey if none."""
        wanted: dict[Attribute, Any] = {Attribute.CLASS: kind}
        if self.label:
            wanted[Attribute.LABEL] = self.label
        if self.key_id:
            wanted[Attribute.ID] = self.key_id
        found = list(self.opened().get_objects(wanted))
        name = self.label or f"id {self.key_id.hex()}"
        if not found:
            raise errors.NoSuchKey(f"no key {name!r} in the token")
        if len(found) > 1:
            raise errors.MultipleObjectsReturned(f"several keys {name!r}: name one by id=…")
        return found[0]

    def public(self) -> PublicKey:
        """The key's public half as the token has it."""
        return read_public(self.find(ObjectClass.PUBLIC_KEY))

    def sign(self, alg: int, messages: list[bytes]) -> list[bytes]:
        """Sign each message, raw 64 bytes each, s as the token made it."""
        name = self.label, self.key_id
        if name not in self._keys:
            mechanism = self.mechanism(alg)
            key = self.find(ObjectClass.PRIVATE_KEY)
            if key.key_type != KINDS[alg]:
                raise errors.KeyTypeInconsistent(f"the key is of type {key.key_type!s}")
            self._keys[name] = key, mechanism
        key, mechanism = self._keys[name]
        if mechanism == Mechanism.ECDSA:
            messages = [hashlib.sha256(message).digest() for message in messages]
        return [bytes(key.sign(each, mechanism=mechanism)) for each in messages]

    def mechanism(self, alg: int) -> Mechanism:
        """What this token signs the algorithm with; raises MechanismInvalid when it cannot."""
        offered = self.token().slot.get_mechanisms()
        for mechanism in MECHANISMS[alg]:
            if mechanism in offered:
                return mechanism
        names = " nor ".join(mechanism.name for mechanism in MECHANISMS[alg])
        raise errors.MechanismInvalid(f"the token does not offer {names}")


def check_flags(flags: TokenFlag, final_try: bool) -> None:
    """Raise PinNotTried when a try cannot help, or could lock the token; see `final_try`."""
    if flags & TokenFlag.USER_PIN_LOCKED:
        raise PinNotTried("its PIN is locked: the security officer must set a new one")
    if flags & TokenFlag.USER_PIN_FINAL_TRY and not final_try:
        raise PinNotTried(
            "one wrong PIN more locks it: be sure of the PIN, then give --final-try once"
        )


def read_public(key: Any) -> PublicKey:
    """The public key of an object.

    EC_POINT comes raw, as OCTET STRING or as BIT STRING (OpenSC issue 3273, OP-TEE issue 6239).
    """
    point = bytes(key[Attribute.EC_POINT])
    if key.key_type == KeyType.EC:
        raw = bytes(OctetString.load(point)) if len(point) != 65 else point
        return PublicKey(ES256, raw[1:])
    return PublicKey(EDDSA, point[-32:])


def attribute(key: Any, name: Attribute) -> Any:
    """An attribute's value; None when the token has none of this name, or does not show it."""
    try:
        return key[name]
    except pkcs11.PKCS11Error:
        return None
