"""A token that hashes by itself signs the same; one that offers neither way is said to."""

import sys
import unittest.mock
from pathlib import Path

import pytest

from hsm import token_process
from hsm.signer import KeyRefused
from tests.hsm.tokens import token_of
from wire.keys import ES256

HASHING_ONLY = """
from pkcs11 import Mechanism
from hsm import session, worker
session.MECHANISMS[session.ES256] = (Mechanism.ECDSA_SHA256,)
worker.main()
"""


@pytest.mark.parametrize("kind", ["nss", "tpm"])
def test_a_token_with_the_hashing_mechanism_only_gets_the_message(
    kind: str, tmp_path: Path
) -> None:
    with token_of(kind, tmp_path) as token:
        public = token.make("w", ES256)
        signer = token.open("w", public)
        command = (sys.executable, "-P", "-c", HASHING_ONLY)
        with unittest.mock.patch.object(token_process, "COMMAND", command):
            for message in (b"", b"one" * 1000):
                public.verify(message, signer.sign(message))


def test_a_token_without_any_of_them_is_refused_by_their_names(tmp_path: Path) -> None:
    with token_of("softhsm", tmp_path) as token:
        public = token.make("w", ES256)
        signer = token.open("w", public)
        command = (sys.executable, "-P", "-c", HASHING_ONLY)
        with (
            unittest.mock.patch.object(token_process, "COMMAND", command),
            pytest.raises(KeyRefused, match="does not offer ECDSA_SHA256"),
        ):
            signer.sign(b"m")
