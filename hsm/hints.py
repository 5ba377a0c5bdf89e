"""What each vendor's library needs around it, for who has to find out why a token is away.

By the library's file name; sources in hsm/README.md.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

_FAMILIES = {
    "softhsm": "SoftHSM2",
    "softokn": "NSS",
    "tpm2_pkcs11": "TPM",
    "p11-kit-client": "p11-kit remoting",
    "yubihsm": "YubiHSM 2",
    "opensc": "OpenSC",
    "cryptoauth": "ATECC608",
    "cloudhsm": "AWS CloudHSM",
}
_ALWAYS = {
    "NSS": "its place is configdir=sql:… in x-init-reserved of the URI",
    "OpenSC": "pcscd must run and the reader be plugged in (pcsc_scan shows it)",
    "ATECC608": "it needs /etc/cryptoauthlib and the I2C bus (i2cdetect shows the chip)",
    "AWS CloudHSM": "its PIN is user:password, and the client must reach the cluster",
}
_LEAKS = {
    "NSS": "NSS hands private keys out by C_WrapKey, whatever it says of them: for tests only",
}


@dataclass(frozen=True, slots=True)
class _Variable:
    """An environment variable that a library reads."""

    name: str
    """Its name."""

    without: str
    """What is the case when it is not set."""

    meaning: str
    """What must be there where it points to."""


_VARIABLES = {
    "SoftHSM2": (
        _Variable(
            "SOFTHSM2_CONF",
            "/etc/softhsm/softhsm2.conf counts; give --softhsm2-conf",
            "directories.tokendir in it must be a folder that this user may write",
        ),
    ),
    "TPM": (
        _Variable("TPM2_PKCS11_STORE", "~/.tpm2_pkcs11 counts", "must hold tpm2_pkcs11.sqlite3"),
        _Variable(
            "TPM2_PKCS11_TCTI",
            "/dev/tpmrm0 counts; this user must be in group tss",
            "the TPM must answer there",
        ),
    ),
    "p11-kit remoting": (
        _Variable("P11_KIT_SERVER_ADDRESS", "no server is known", "p11-kit server must run there"),
    ),
    "YubiHSM 2": (
        _Variable(
            "YUBIHSM_PKCS11_CONF",
            "the library refuses to start (ArgumentsBad): let it name a file with connector=…",
            "its connector= must answer; the PIN is 4 hex digits of the key id, then the password",
        ),
    ),
}


def family(module: str) -> str:
    """The kind of token that a library is for; empty when it is not known here."""
    name = module.rpartition("/")[2]
    return next((words for part, words in _FAMILIES.items() if part in name), "")


def leak(module: str) -> str:
    """How a key gets out of this family's tokens, whatever its attributes say; empty if it stays.

    Found by tests/hsm/test_no_export.py, with softokn 3.87.
    """
    return _LEAKS.get(family(module), "")


def hint(module: str, environment: Mapping[str, str] = os.environ) -> str:
    """What to look at when this library finds no token; empty when nothing is known."""
    kind = family(module)
    said = [
        f"{each.name}={environment[each.name]}: {each.meaning}"
        if each.name in environment
        else f"{each.name} is not set: {each.without}"
        for each in _VARIABLES.get(kind, ())
    ]
    return "; ".join([*said, *([_ALWAYS[kind]] if kind in _ALWAYS else [])])
