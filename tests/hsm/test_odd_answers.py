"""What a token gives in the place of signatures is refused in words, whatever it is."""

from typing import Any

import pytest

from hsm.doctor import examine
from hsm.signer import KeyRefused, TokenSigner
from hsm.token_process import TokenProcess
from hsm.uri import KeyUri
from tests.hsm.tokens import Token
from wire.keys import EDDSA, ES256, P256_ORDER, SoftSigner

URI = KeyUri.parse("pkcs11:token=t;object=o?module-path=/x.so")
ONE, ORDER = (1).to_bytes(32, "big"), P256_ORDER.to_bytes(32, "big")


@pytest.mark.parametrize("alg", [ES256, EDDSA])
@pytest.mark.parametrize(
    "answer",
    [
        *([b"\xff" * 64], [bytes(64)], [ONE + ORDER], [ORDER + ONE], [ONE + bytes(32)]),
        *([b"\x30" + b"\xff" * 69], [b""], [], [ONE + ONE] * 2),
        *(["a" * 64], [7], [None], 7, "a" * 64, None, {"a": 1}),
    ],
)
def test_what_is_no_signature_is_refused(
    alg: int, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = TokenSigner(URI, None, SoftSigner.generate(alg).public)
    monkeypatch.setattr(signer, "_ask", lambda name, argument: answer)
    with pytest.raises(KeyRefused):
        signer.sign(b"m")


@pytest.mark.parametrize("answer", [[b"\xff" * 64], [], 7])
def test_the_doctor_tells_what_is_no_signature(
    token: Token, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = token.make("w", ES256)
    ask = TokenProcess.ask

    def odd(self: TokenProcess, name: str, argument: Any = None) -> Any:
        return answer if name == "sign" else ask(self, name, argument)

    monkeypatch.setattr(TokenProcess, "ask", odd)
    last = examine(token.uri("w"), token.conf, public)[-1]
    assert (last.check, last.good) == ("signature", False)
    assert "what is no signature" in last.words
