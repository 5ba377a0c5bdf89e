"""A key made by the ceremony cannot leave its token: every way that PKCS#11 has is tried."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.hsm.tokens import BENCHES, doctor, token_of
from wire.keys import EDDSA, ES256

NAMES = {ES256: "es256", EDDSA: "eddsa"}
TRIES = """
import json
from pkcs11.util.ec import encode_named_curve_parameters
F, A = MechanismFlag, Attribute
leaked, refused, control, claims = [], {}, [], []

def attempt(name, deed, leaks=lambda found: True):
    try:
        found = deed()
        if leaks(found):
            leaked.append(name)
        else:
            refused[name] = "changed nothing"
    except Exception as reason:
        refused[name] = type(reason).__name__

def is_open(key):
    # Whether the value can be read; what the token only says goes to claims.
    if key[A.EXTRACTABLE] or not key[A.SENSITIVE]:
        claims.append("extractable" if key[A.EXTRACTABLE] else "not sensitive")
    try:
        return bool(key[A.VALUE])
    except pkcs11.PKCS11Error:
        return False

def sets(key, attribute, value):
    key[attribute] = value
    return key

key = session.get_key(ObjectClass.PRIVATE_KEY, label="w")
attempt("read the value", lambda: key[A.VALUE])
changes = {"extractable": (A.EXTRACTABLE, True), "not sensitive": (A.SENSITIVE, False)}
for name, (attribute, value) in changes.items():
    attempt("make it " + name, lambda: sets(key, attribute, value), is_open)
    for stored in (True, False):
        change = {attribute: value, A.TOKEN: stored}
        attempt(f"copy it {name}, stored {stored}", lambda: key.copy(change), is_open)
attempt("allow derivation", lambda: sets(key, A.DERIVE, True), lambda key: False)
point = session.get_key(ObjectClass.PUBLIC_KEY, label="w")[A.EC_POINT]
shared = (pkcs11.KDF.NULL, None, point[-65:])
attempt("derive from it", lambda: key.derive_key(
    KeyType.AES, 128, mechanism=Mechanism.ECDH1_DERIVE, mechanism_param=shared))

wrappers = {}
def make(name, deed):
    try:
        wrappers[name] = deed()
    except Exception as reason:
        refused["make a wrapping key " + name] = type(reason).__name__
uses = F.WRAP | F.UNWRAP | F.ENCRYPT | F.DECRYPT
make("AES", lambda: session.generate_key(KeyType.AES, 256, capabilities=uses))
make("DES3", lambda: session.generate_key(KeyType.DES3, capabilities=uses))
make("RSA", lambda: session.generate_keypair(KeyType.RSA, 2048, capabilities=uses)[0])

def ways():
    for mechanism in token.slot.get_mechanisms():
        try:
            wraps = token.slot.get_mechanism_info(mechanism).flags & F.WRAP
        except Exception:
            continue
        if not isinstance(mechanism, Mechanism):  # A vendor's own.
            mechanism = int.__new__(Mechanism, mechanism)
        if wraps:
            for name, wrapper in wrappers.items():
                for parameter in (None, bytes(8), bytes(16)):
                    yield hex(mechanism), name, wrapper, mechanism, parameter
every = list(ways())
for title, name, wrapper, mechanism, parameter in every:
    attempt(f"wrap by {title} {name} {parameter}", lambda: wrapper.wrap_key(
        key, mechanism=mechanism, mechanism_param=parameter))
if every:
    curve = {A.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
    domain = session.create_domain_parameters(KeyType.EC, curve, local=True)
    _, weak = domain.generate_keypair(capabilities=F.SIGN | F.VERIFY, private_template={
        A.EXTRACTABLE: True, A.SENSITIVE: False})
    for title, name, wrapper, mechanism, parameter in every:
        try:
            wrapper.wrap_key(weak, mechanism=mechanism, mechanism_param=parameter)
            control.append(title)
        except Exception:
            continue
print(json.dumps({"leaked": leaked, "refused": refused, "wraps": len(every), "control": control,
    "claims": claims}))
"""


WORDS_ONLY: dict[str, set[str]] = {
    "softhsm": set(),
    "remote": set(),
    "tpm": {"extractable"},  # Said of a key that the TPM keeps nevertheless.
    "nss": {"extractable"},
}
"""What a token lets itself be told about the key, or about a copy of it."""


@pytest.mark.parametrize(
    ("kind", "alg"), BENCHES, ids=[f"{kind}-{NAMES[alg]}" for kind, alg in BENCHES]
)
def test_every_way_out_of_the_token_is_shut(kind: str, alg: int, tmp_path: Path) -> None:
    with token_of(kind, tmp_path) as token:
        public = token.make("w", alg)
        said = doctor(token, public)
        tried: dict[str, Any] = json.loads(token.from_outside(TRIES).splitlines()[-1])
        assert len(tried["refused"]) >= 9
        assert set(tried["claims"]) == WORDS_ONLY[kind]
        if kind == "nss":
            # softokn 3.87 wraps any private key, whatever it says of it; the doctor warns of that.
            assert {name.split()[0] for name in tried["leaked"]} == {"wrap"}
            assert said.startswith("BAD kept: NSS hands private keys out")
            return
        assert tried["leaked"] == []
        assert said.startswith("ok signature")
        if kind == "softhsm":  # The same wrappings let a key out that may go: it is the key's say.
            assert tried["control"]
        signer = token.open("w", public)
        public.verify(b"still the only one", signer.sign(b"still the only one"))
