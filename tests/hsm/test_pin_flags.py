"""What a token says about its PIN is heeded: locked, one try left, somebody was wrong."""

import sys
import unittest.mock

import pytest
from pkcs11 import TokenFlag

from hsm import token_process
from hsm.doctor import examine
from hsm.refusals import PinLocked, PinRefused, mark_of, tried_of
from hsm.session import PinNotTried, check_flags
from hsm.token_process import TokenProcess
from hsm.worker import kind_of
from tests.hsm.tokens import Token
from wire.keys import ES256

# A token that says of itself that one wrong PIN more locks it; SoftHSM2 never does.
LAST_TRY = """
from hsm import session, worker
real = session.check_flags
last = session.TokenFlag.USER_PIN_FINAL_TRY
session.check_flags = lambda flags, final_try: real(flags | last, final_try)
worker.main()
"""


@pytest.mark.parametrize(
    ("flags", "final_try", "tried"),
    [
        (TokenFlag.LOGIN_REQUIRED, False, True),
        (TokenFlag.USER_PIN_COUNT_LOW, False, True),
        (TokenFlag.USER_PIN_FINAL_TRY, False, False),
        (TokenFlag.USER_PIN_FINAL_TRY | TokenFlag.USER_PIN_COUNT_LOW, True, True),
        (TokenFlag.USER_PIN_LOCKED, False, False),
        (TokenFlag.USER_PIN_LOCKED, True, False),
    ],
)
def test_a_pin_is_given_only_when_that_cannot_lock_the_token(
    flags: TokenFlag, final_try: bool, tried: bool
) -> None:
    if tried:
        check_flags(flags, final_try)
        return
    with pytest.raises(PinNotTried) as caught:
        check_flags(flags, final_try)
    assert kind_of(caught.value) == "locked"


def test_the_last_try_is_a_persons(token: Token) -> None:
    public = token.make("w", ES256)
    before = tried_of(token.pin_file).read_bytes()
    command = (sys.executable, "-P", "-c", LAST_TRY)
    with unittest.mock.patch.object(token_process, "COMMAND", command):
        signer = token.open("w", public)
        with pytest.raises(PinLocked, match="give --final-try once"):
            signer.sign(b"m")
        assert not mark_of(token.pin_file).exists()
        assert tried_of(token.pin_file).read_bytes() == before
        process = TokenProcess(token.uri("w"), token.conf, final_try=True)
        process.login()
        process.end()


def test_a_wrong_pin_of_somebody_else_is_told(token: Token) -> None:
    public = token.make("w", ES256)
    right = token.pin_file.read_text()
    token.pin_file.write_text("00000000")
    with pytest.raises(PinRefused):
        token.open("w", public).sign(b"m")
    token.pin_file.write_text(right)
    told = {each.check: each.words for each in examine(token.uri("w"), token.conf, public)}
    assert "somebody has given a wrong PIN since the last login" in told["token"]
    assert "verify" in told["signature"]
