"""The token's side: a process of its own, whose one thread makes every PKCS#11 call.

Run as `python -m hsm.session` with frames on stdin and stdout (`hsm.frames`); it ends when its
parent does. A library that crashes takes nothing else with it, and nothing else can call into it.
Decides when a token has to be opened anew; what a refusal means for the gateway is decided by
`hsm.signer`.
"""

import hashlib
import os
from collections.abc import Callable
from functools import partial
from typing import IO, Any

import pkcs11
from asn1crypto.core import OctetString
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass
from pkcs11 import exceptions as errors
from pkcs11.util.ec import encode_named_curve_parameters

from hsm.frames import read_frame, write_frame
from wire.keys import EDDSA, ES256, PublicKey

_ED25519_OID = bytes.fromhex("06032b6570")
_PRIVATE = {
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.PRIVATE: True,
    Attribute.TOKEN: True,
    Attribute.SIGN: True,
    Attribute.DERIVE: False,
}

# What a login refuses for good: the same PIN again would only bring the lock nearer.
_PIN_ERRORS = (
    errors.PinIncorrect,
    errors.PinLocked,
    errors.PinExpired,
    errors.PinLenRange,
    errors.PinInvalid,
    errors.UserPinNotInitialized,
)
# What only another configuration cures.
_KEY_ERRORS = (
    errors.MechanismInvalid,
    errors.TemplateInconsistent,
    errors.KeyTypeInconsistent,
    errors.MultipleObjectsReturned,
)

ANSWER_DONE, ANSWER_AWAY, ANSWER_PIN, ANSWER_KEY = "done", "away", "pin", "key"


class Session:
    """One key of one token: opened when first needed, and again after whatever went wrong."""

    def __init__(self, where: dict[str, Any]) -> None:
        """Take module path, token label, key label, key id and PIN; nothing is opened yet."""
        self._where = where
        self._library: Any = None
        self._session: Any = None
        self._key: Any = None

    def sign(self, alg: int, messages: list[bytes]) -> list[bytes]:
        """Sign each message, raw 64 bytes each; the token is opened anew once if it fails."""
        try:
            return [self._sign_one(alg, message) for message in messages]
        except (*_PIN_ERRORS, *_KEY_ERRORS):
            raise
        except (pkcs11.PKCS11Error, RuntimeError):
            # Only a new C_Initialize cures a lost token; handles from before may name other keys.
            self._drop()
            return [self._sign_one(alg, message) for message in messages]

    def public(self) -> PublicKey:
        """The key's public half as the token has it."""
        return _read_public(self._find(ObjectClass.PUBLIC_KEY))

    def make_key(self, alg: int) -> PublicKey:
        """Make a key pair that never leaves the token; refuses when the label is taken."""
        session = self._open()
        taken = list(session.get_objects({Attribute.LABEL: self._where["label"]}))
        if taken:
            raise errors.MultipleObjectsReturned("a key of this label is in the token already")
        if alg == ES256:
            kind, curve = KeyType.EC, encode_named_curve_parameters("secp256r1")
        else:
            kind, curve = KeyType.EC_EDWARDS, _ED25519_OID
        domain = session.create_domain_parameters(kind, {Attribute.EC_PARAMS: curve}, local=True)
        public, private = domain.generate_keypair(
            label=self._where["label"],
            store=True,
            capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY,
            private_template=_PRIVATE,
        )
        found = _read_public(public)
        public[Attribute.ID] = private[Attribute.ID] = found.kid
        return found

    def set_pin(self, new: str) -> None:
        """Change the PIN that this session logged in with."""
        self._open().set_pin(self._where["pin"], new)

    def _sign_one(self, alg: int, message: bytes) -> bytes:
        if self._key is None:
            self._key = self._find(ObjectClass.PRIVATE_KEY)
        if alg == ES256:
            digest = hashlib.sha256(message).digest()
            return bytes(self._key.sign(digest, mechanism=Mechanism.ECDSA))
        return bytes(self._key.sign(message, mechanism=Mechanism.EDDSA))

    def _find(self, kind: ObjectClass) -> Any:
        wanted = {Attribute.CLASS: kind, Attribute.LABEL: self._where["label"]}
        if self._where["id"]:
            wanted[Attribute.ID] = self._where["id"]
        found = list(self._open().get_objects(wanted))
        if not found:
            raise errors.NoSuchKey(f"no key {self._where['label']!r} in the token")
        if len(found) > 1:
            raise errors.MultipleObjectsReturned("several keys of this label: name one by id=…")
        return found[0]

    def _open(self) -> Any:
        if self._session is None:
            if self._library is None:
                self._library = pkcs11.lib(self._where["module"])
            else:
                self._library.reinitialize()
            token = self._library.get_token(token_label=self._where["token"])
            self._session = token.open(rw=True, user_pin=self._where["pin"])
        return self._session

    def _drop(self) -> None:
        self._session = self._key = None


def _read_public(key: Any) -> PublicKey:
    """The public key of an object; EC_POINT comes raw, as OCTET STRING or as BIT STRING."""
    point = bytes(key[Attribute.EC_POINT])
    if key.key_type == KeyType.EC:
        raw = bytes(OctetString.load(point)) if len(point) != 65 else point
        return PublicKey(ES256, raw[1:])
    return PublicKey(EDDSA, point[-32:])


def _answer(deed: Callable[[], Any]) -> list[Any]:
    try:
        return [ANSWER_DONE, deed()]
    except _PIN_ERRORS as reason:
        return [ANSWER_PIN, type(reason).__name__]
    except _KEY_ERRORS as reason:
        return [ANSWER_KEY, f"{type(reason).__name__} {reason}".strip()]
    except (pkcs11.PKCS11Error, RuntimeError, OSError) as reason:
        return [ANSWER_AWAY, f"{type(reason).__name__} {reason}".strip()]


def _own_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Keep both pipes for frames alone: what a vendor's library prints goes to stderr."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return requests, answers


def main() -> None:
    """Serve one parent: the first frame says which key, each other one is a request."""
    requests, answers = _own_pipes()
    session = Session(read_frame(requests))
    deeds: dict[str, Callable[[Any], Any]] = {
        "sign": lambda asked: session.sign(asked[0], asked[1]),
        "public": lambda _: session.public().text,
        "make": lambda alg: session.make_key(alg).text,
        "set-pin": session.set_pin,
    }
    while True:
        try:
            name, argument = read_frame(requests)
        except EOFError:
            return
        write_frame(answers, _answer(partial(deeds[name], argument)))


if __name__ == "__main__":
    main()
