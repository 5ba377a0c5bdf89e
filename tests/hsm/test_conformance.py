"""One suite over every token at hand: each finds, signs, refuses and keeps its key alike."""

import hashlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from hsm.refusals import PinRefused
from hsm.signer import LIST_SIZE, READY, KeyRefused, TokenSigner, open_signer
from hsm.token_process import TokenProcess
from tests.hsm.tokens import BENCHES, Token, forget_killed_callers, token_of
from wire.errors import Unavailable
from wire.keys import EDDSA, ES256, PublicKey

NAMES = {ES256: "es256", EDDSA: "eddsa"}


class Bench:
    """A token, an algorithm that it has, and a key of that kind in it."""

    def __init__(self, token: Token, alg: int) -> None:
        self.token, self.alg = token, alg
        self.public: PublicKey = token.make("w", alg)

    def process(self) -> TokenProcess:
        process = TokenProcess(self.token.uri("w"), self.token.conf)
        process.login()
        return process


@pytest.fixture(
    scope="module", params=BENCHES, ids=[f"{kind}-{NAMES[alg]}" for kind, alg in BENCHES]
)
def bench(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    kind, alg = request.param
    with token_of(kind, tmp_path_factory.mktemp(kind)) as token:
        yield Bench(token, alg)


@pytest.fixture
def signer(bench: Bench) -> Iterator[TokenSigner]:
    opened = open_signer(bench.token.uri("w"), bench.token.conf, bench.public)
    yield opened
    opened.close()


def test_a_key_is_found_by_label_by_id_and_by_both(bench: Bench) -> None:
    named = bench.token.uri("w")
    kid = bench.public.kid
    for uri in (named, replace(named, key_id=kid), replace(named, label="", key_id=kid)):
        opened = open_signer(uri, bench.token.conf)
        assert opened.public == bench.public
        opened.close()
    for uri in (replace(named, key_id=bytes(8)), replace(named, label="other")):
        with pytest.raises(Unavailable, match="no key"):
            open_signer(uri, bench.token.conf)


def test_each_signature_verifies_and_is_in_its_one_form(bench: Bench, signer: TokenSigner) -> None:
    messages = [f"{number}".encode() * 9 for number in range(LIST_SIZE + 3)]
    for message, signature in zip(messages, signer.sign_all(messages), strict=True):
        bench.public.verify(message, signature)  # Refuses a high s too.
        assert len(signature) == 64
    assert signer.state == READY
    assert signer.sign_all([]) == []
    bench.public.verify(b"", signer.sign(b""))


def test_a_mechanism_is_used_only_when_the_token_offers_it(bench: Bench) -> None:
    process = bench.process()
    offered = process.ask("token")["mechanisms"]
    assert offered[NAMES[bench.alg]]
    for alg, name in NAMES.items():
        if offered[name]:
            continue
        with pytest.raises(KeyRefused, match="MechanismInvalid the token does not offer"):
            process.ask("sign", [alg, [b"m"]])
        with pytest.raises(KeyRefused, match="does not offer"):
            bench.token.make("never", alg)
    process.end()


def test_the_private_key_is_kept_by_the_token(bench: Bench) -> None:
    process = bench.process()
    told = process.ask("key")
    process.end()
    kept = {name: told[name] for name in ("sensitive", "extractable", "private", "sign")}
    assert kept == {"sensitive": True, "extractable": False, "private": True, "sign": True}
    assert told["never_extractable"] is not False
    assert not told["value_readable"]
    assert not any(told[use] for use in ("decrypt", "unwrap", "derive"))
    assert told["id"] == bench.public.kid.hex()


def test_a_taken_label_makes_no_second_key(bench: Bench) -> None:
    with pytest.raises(KeyRefused, match="is taken"):
        bench.token.make("w", bench.alg)


def test_callers_of_many_threads_get_their_own_signatures(
    bench: Bench, signer: TokenSigner
) -> None:
    wrong: list[str] = []

    def work(number: int) -> None:
        for count in range(4):
            message = hashlib.sha256(f"{number}/{count}".encode()).digest()
            try:
                bench.public.verify(message, signer.sign(message))
            except Exception as reason:
                wrong.append(repr(reason))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_process_that_was_killed_is_started_anew(
    bench: Bench, signer: TokenSigner, patient: Callable[[], None]
) -> None:
    bench.public.verify(b"one", signer.sign(b"one"))
    assert signer.pid is not None
    os.kill(signer.pid, signal.SIGKILL)
    with pytest.raises(Unavailable):
        signer.sign(b"two")
    forget_killed_callers(bench.token)
    patient()
    bench.public.verify(b"two", signer.sign(b"two"))


def test_another_key_than_the_pinned_one_signs_nothing(bench: Bench) -> None:
    other = bench.token.make("other", bench.alg)
    opened = open_signer(bench.token.uri("w"), bench.token.conf, other)
    with pytest.raises(KeyRefused, match="another key"):
        opened.sign(b"m")
    opened.close()


def test_a_wrong_pin_is_said_once_and_the_right_one_still_opens(bench: Bench) -> None:
    right = bench.token.pin_file.read_text()
    bench.token.pin_file.write_text("00000000")
    opened = open_signer(bench.token.uri("w"), bench.token.conf, bench.public)
    with pytest.raises(PinRefused, match="PinIncorrect"):
        opened.sign(b"m")
    for _ in range(2):
        with pytest.raises(PinRefused, match="refused before"):
            opened.sign(b"m")
    bench.token.pin_file.write_text(right)
    bench.public.verify(b"m", opened.sign(b"m"))
    opened.close()
