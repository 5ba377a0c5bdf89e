"""Whatever happens to a token: nothing wrong is signed, nothing is lost, and it recovers by itself.

After each fault the doctor says what is the case, and changes nothing about it.
"""

import os
import signal
import subprocess
import sys
import threading
import time
import unittest.mock
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from hsm import token_process
from hsm.doctor import examine
from hsm.refusals import PinRefused, tried_of
from hsm.signer import AWAY, LIST_SIZE, READY, KeyRefused
from hsm.token_process import TokenProcess
from tests.hsm.tokens import Token, doctor, token_of, until
from wire.errors import Unavailable
from wire.keys import ES256, PublicKey, normalise_s

DESTROY = """
for each in list(session.get_objects({Attribute.LABEL: "w"})):
    each.destroy()
"""
SWAP = (
    DESTROY
    + """
from pkcs11.util.ec import encode_named_curve_parameters
curve = {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
domain = session.create_domain_parameters(KeyType.EC, curve, local=True)
uses = MechanismFlag.SIGN | MechanismFlag.VERIFY
kept = {Attribute.EXTRACTABLE: False}
domain.generate_keypair(label="w", store=True, capabilities=uses, private_template=kept)
"""
)
# After its first signature it initialises the library again and keeps the old key object, whose
# handle then names the key that is found first.
CARELESS = """
from pkcs11 import Attribute, ObjectClass
from hsm import session, worker
real, login = session.Session.sign, session.Session.login
def remembering(self, pin):
    self.pin = pin
    login(self, pin)
def sign(self, alg, messages):
    if self._keys:
        self.library().reinitialize()
        other = self.library().get_token(token_label="tok").open(user_pin=self.pin)
        wanted = {Attribute.LABEL: "b", Attribute.CLASS: ObjectClass.PRIVATE_KEY}
        list(other.get_objects(wanted))
        self._other = other
    return real(self, alg, messages)
session.Session.login, session.Session.sign = remembering, sign
worker.main()
"""
CRASHING = """
import ctypes
from hsm import session, worker
def sign(self, alg, messages):
    ctypes.string_at(0)
session.Session.sign = sign
worker.main()
"""
HANGING = """
import threading
from hsm import session, worker
session.Session.sign = lambda self, alg, messages: threading.Event().wait()
worker.main()
"""
FORKING = """
import os, sys
from pathlib import Path
from hsm.signer import open_signer
from hsm.uri import KeyUri
folder = Path(sys.argv[2])
signer = open_signer(KeyUri.parse(sys.argv[1], folder), folder / "softhsm2.conf")
signer.public.verify(b"before", signer.sign(b"before"))
parents = signer.pid
child = os.fork()
for number in range(20):
    message = b"%d of %d" % (number, child)
    signer.public.verify(message, signer.sign(message))
same = signer.pid == parents
signer.close()
if child == 0:
    os._exit(2 if same else 0)
assert same
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def replaced(place: Any, name: str, value: Any) -> AbstractContextManager[None]:
    return unittest.mock.patch.object(place, name, value)


def running(program: str) -> AbstractContextManager[None]:
    """Token processes that start meanwhile run this."""
    return replaced(token_process, "COMMAND", (sys.executable, "-P", "-c", program))


def messages(count: int) -> list[bytes]:
    return [f"digest {number}".encode() for number in range(count)]


def verified(public: PublicKey, asked: list[bytes], signatures: list[bytes]) -> None:
    for message, signature in zip(asked, signatures, strict=True):
        public.verify(message, signature)


def kill_server(token: Token) -> None:
    assert token.server is not None
    for child in token.server.children():
        os.kill(child, signal.SIGKILL)
    token.server.kill()


@pytest.mark.parametrize("kind", ["remote", "tpm"])
def test_a_server_killed_in_mid_batch_costs_one_try(
    kind: str, tmp_path: Path, patient: Callable[[], None]
) -> None:
    with token_of(kind, tmp_path) as token:
        public = token.make("w", ES256)
        signer = token.open("w", public)
        signer.sign(b"before")
        asked = messages(3 * LIST_SIZE)
        lists: list[str] = []
        ask = TokenProcess.ask

        def killing(self: TokenProcess, name: str, argument: Any = None) -> Any:
            lists.append(name)
            if lists.count("sign") == 2:
                kill_server(token)
            return ask(self, name, argument)

        with replaced(TokenProcess, "ask", killing), pytest.raises(Unavailable):
            signer.sign_all(asked)
        assert lists == ["sign", "sign"]
        with pytest.raises(Unavailable, match="tried again in"):
            signer.sign(b"at once")
        found = examine(token.uri("w"), token.conf, public)[-1]
        assert not found.good
        assert ("P11_KIT_SERVER_ADDRESS=" in found.words) or found.words.startswith("the TPM: ")
        assert token.server is not None
        token.server.start()
        patient()
        verified(public, asked, signer.sign_all(asked))
        signer.close()
        assert doctor(token, public).startswith("ok signature")


def test_a_pin_whose_only_try_was_cut_off_is_not_tried_again(
    token: Token, patient: Callable[[], None]
) -> None:
    public = token.make("w", ES256)
    tried_of(token.pin_file).unlink()  # As a PIN never tried so far.
    ask = TokenProcess.ask

    def dying(self: TokenProcess, name: str, argument: Any = None) -> Any:
        if name == "login":
            os.kill(self.pid, signal.SIGKILL)
        return ask(self, name, argument)

    signer = token.open("w", public)
    with replaced(TokenProcess, "ask", dying), pytest.raises(Unavailable):
        signer.sign(b"m")
    patient()
    for again in (token.open("w", public), token.open("w", public)):
        with pytest.raises(PinRefused, match="cut off"):
            again.sign(b"m")
    assert doctor(token).startswith("BAD pin: its only try was cut off")
    tried_of(token.pin_file).unlink()
    last = token.open("w", public)
    public.verify(b"m", last.sign(b"m"))
    # From now on it is known to be right: a login that is cut off costs nothing.
    last.close()
    with replaced(TokenProcess, "ask", dying), pytest.raises(Unavailable):
        last.sign(b"m")
    public.verify(b"m", token.open("w", public).sign(b"m"))


def test_a_folder_that_is_away_is_told_with_its_place(
    token: Token, patient: Callable[[], None]
) -> None:
    public = token.make("w", ES256)
    signer = token.open("w", public)
    signer.sign(b"here")
    assert signer.state == READY
    tokens = token.folder / "tokens"
    tokens.rename(token.folder / "gone")
    with pytest.raises(Unavailable):
        signer.sign(b"away")
    assert signer.state == AWAY
    said = doctor(token)
    assert said.startswith("BAD module: ")
    assert f"SOFTHSM2_CONF={token.conf}: directories.tokendir in it must be a folder" in said
    (token.folder / "gone").rename(tokens)
    patient()
    public.verify(b"back", signer.sign(b"back"))
    assert doctor(token, public).startswith("ok signature")


@pytest.mark.parametrize("kind", ["softhsm", "remote", "nss"])
def test_a_key_destroyed_by_another_program_signs_nothing(
    kind: str, tmp_path: Path, patient: Callable[[], None]
) -> None:
    with token_of(kind, tmp_path) as token:
        public = token.make("w", ES256)
        signer = token.open("w", public)
        signer.sign(b"before")
        token.from_outside(DESTROY)
        for _ in range(2):
            with pytest.raises(Unavailable):
                signer.sign(b"after")
            patient()
        signer.close()
        assert "BAD key: no key 'w' in the token: make it with" in doctor(token)


@pytest.mark.parametrize("kind", ["softhsm", "remote", "nss"])
def test_a_key_swapped_under_a_running_program_signs_nothing(
    kind: str, tmp_path: Path, patient: Callable[[], None]
) -> None:
    with token_of(kind, tmp_path) as token:
        public = token.make("w", ES256)
        signer = token.open("w", public)
        signer.sign(b"before")
        token.from_outside(SWAP)
        for _ in range(3):
            with pytest.raises((Unavailable, KeyRefused)) as caught:
                signer.sign(b"after")
            patient()
        assert "another key" in str(caught.value)
        signer.close()
        assert "somebody swapped it; nothing was signed with it" in doctor(token, public)


def test_a_stale_handle_that_names_another_key_lets_no_signature_out(
    token: Token, patient: Callable[[], None]
) -> None:
    public = token.make("w", ES256)
    other = token.make("b", ES256)
    signer = token.open("w", public)
    with running(CARELESS):
        public.verify(b"first", signer.sign(b"first"))
    assert signer._process is not None
    (wrong,) = signer._process.ask("sign", [ES256, [b"second"]])
    other.verify(b"second", normalise_s(wrong))  # So it does happen.
    with pytest.raises(KeyRefused, match="another key"):
        signer.sign(b"third")
    # A process of its own again, and with it handles of its own.
    public.verify(b"third", signer.sign(b"third"))


def test_a_library_that_crashes_takes_only_its_process_along(
    token: Token, patient: Callable[[], None]
) -> None:
    public = token.make("w", ES256)
    signer = token.open("w", public)
    for _ in range(2):
        with running(CRASHING), pytest.raises(Unavailable, match="ended"):
            signer.sign(b"m")
        patient()
    public.verify(b"m", signer.sign(b"m"))


def test_a_library_that_hangs_is_given_up(
    token: Token, patient: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_process, "ANSWER_TIMEOUT_S", 2.0)
    monkeypatch.setattr(token_process, "GRACE_S", 0.1)
    public = token.make("w", ES256)
    signer = token.open("w", public)
    with running(HANGING), pytest.raises(Unavailable, match="has not answered"):
        signer.sign(b"m")
    assert signer.pid is None
    patient()
    public.verify(b"m", signer.sign(b"m"))


def test_callers_of_many_threads_live_through_a_server_that_is_restarted(tmp_path: Path) -> None:
    with token_of("remote", tmp_path) as token:
        public = token.make("w", ES256)
        signer = token.open("w", public)
        signed: list[bytes] = []
        wrong: list[str] = []
        stop = threading.Event()

        def work(number: int) -> None:
            count = 0
            while not stop.is_set():
                message = f"{number}/{count}".encode()
                try:
                    public.verify(message, signer.sign(message))
                    signed.append(message)
                    count += 1
                except Unavailable:
                    stop.wait(0.02)
                except Exception as reason:
                    wrong.append(repr(reason))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        until(lambda: len(signed) > 30)
        kill_server(token)
        before = len(signed)
        assert token.server is not None
        token.server.start()
        until(lambda: len(signed) > before + 60)
        stop.set()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert len(set(signed)) == len(signed)


def test_a_forked_program_gets_a_process_of_its_own(token: Token) -> None:
    token.make("w", ES256)
    done = subprocess.run(
        [sys.executable, "-c", FORKING, token.text("w"), str(token.folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_pauses_between_tries_grow_to_their_limit(
    token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = token.make("w", ES256)
    now_s = [time.monotonic()]
    monkeypatch.setattr("hsm.signer.time.monotonic", lambda: now_s[0])
    (token.folder / "tokens").rename(token.folder / "gone")
    signer = token.open("w", public)
    pauses = []
    for _ in range(9):
        with pytest.raises(Unavailable):
            signer.sign(b"m")
        pauses.append(signer._pause_s)
        now_s[0] += signer._pause_s
    assert pauses == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]
