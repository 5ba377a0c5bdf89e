"""The process of a token, its PINs and the doctor: what a wrong PIN costs, and who hears of it."""

import os
import select
import stat
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from hsm import ceremony
from hsm.doctor import examine
from hsm.frames import read_frame, write_frame
from hsm.refusals import PinRefused, refused_before, trying
from hsm.signstate import SignState, WitnessSigner
from tests.hsm.tokens import Token
from wire.errors import Unavailable
from wire.keys import EDDSA, ES256, PublicKey

PARENT = """
import sys
from pathlib import Path
from hsm.signer import open_signer
from hsm.uri import KeyUri
folder = Path(sys.argv[2])
signer = open_signer(KeyUri.parse(sys.argv[1], folder), folder / "softhsm2.conf")
print(signer.pid, flush=True)
sys.stdin.read()
"""
TALKATIVE = """
import os
from hsm import session, worker
def public(self):
    os.write(1, b"vendor library 1.0 says hello")
    assert os.read(0, 1) == b""
    return session.PublicKey(session.EDDSA, bytes(31) + b"\\x05")
session.Session.public = public
worker.main()
"""


def test_the_token_process_ends_when_its_parent_is_killed(token: Token) -> None:
    token.make("w", ES256)
    module = ceremony.softhsm_module()
    uri = f"pkcs11:token=tok;object=w?module-path={module}&pin-source=file:pin"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, uri, str(token.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    child = os.pidfd_open(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate(timeout=10)
    ended, _, _ = select.select([child], [], [], 10)
    os.close(child)
    assert ended


def test_between_two_tries_nothing_is_asked(token: Token) -> None:
    public = token.make("w", ES256)
    signer = token.open("w", public)
    (token.folder / "tokens").rename(token.folder / "gone")
    with pytest.raises(Unavailable):
        signer.sign(b"m")
    with pytest.raises(Unavailable, match="tried again in"):
        signer.sign(b"m")
    assert signer.pid is None


def test_a_wrong_pin_is_tried_once_and_never_again(token: Token) -> None:
    public = token.make("w", ES256)
    right = token.pin_file.read_text()
    token.pin_file.write_text("0000")
    with pytest.raises(PinRefused, match="PinIncorrect"):
        token.open("w", public).sign(b"m")
    # A program that starts again does not try it either.
    for _ in range(3):
        with pytest.raises(PinRefused, match="refused before"):
            token.open("w", public).sign(b"m")
    token.pin_file.write_text(right)
    public.verify(b"m", token.open("w", public).sign(b"m"))


def test_making_a_key_spends_no_second_try_on_a_wrong_pin_either(token: Token) -> None:
    token.pin_file.write_text("0000")
    with pytest.raises(PinRefused, match="PinIncorrect"):
        token.make("w", ES256)
    with pytest.raises(PinRefused, match="refused before"):
        token.make("w", ES256)
    with pytest.raises(PinRefused, match="refused before"):
        token.open("w")


def test_each_wrong_pin_is_remembered_until_one_is_right(token: Token) -> None:
    public = token.make("w", ES256)
    right = token.pin_file.read_text()
    for wrong in ("0000", "1111"):
        token.pin_file.write_text(wrong)
        with pytest.raises(PinRefused, match="PinIncorrect"):
            token.open("w", public).sign(b"m")
    token.pin_file.write_text("0000")
    with pytest.raises(PinRefused, match="refused before"):
        token.open("w", public).sign(b"m")
    token.pin_file.write_text(right)
    token.open("w", public).sign(b"m")
    assert not token.pin_file.with_name("pin.refused").exists()


def test_two_keys_of_one_token_spend_one_try_on_a_wrong_pin(token: Token) -> None:
    keys = {label: token.make(label, ES256) for label in ("w", "reader")}
    token.pin_file.write_text("0000")
    said: list[str] = []

    def work(label: str) -> None:
        try:
            token.open(label, keys[label]).sign(b"m")
        except PinRefused as reason:
            said.append(str(reason))

    threads = [threading.Thread(target=work, args=(label,)) for label in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted("PinIncorrect" in each for each in said) == [False, True]


def test_a_pin_corrected_during_the_login_is_not_taken_for_the_refused_one(token: Token) -> None:
    uri = token.uri("w")

    def log_in() -> None:
        with trying(uri):
            token.pin_file.write_text("corrected")
            raise PinRefused("by the token")

    with pytest.raises(PinRefused, match="by the token"):
        log_in()
    assert not refused_before(uri)


def test_what_a_vendors_library_prints_is_no_answer() -> None:
    child = subprocess.Popen(
        [sys.executable, "-P", "-c", TALKATIVE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    write_frame(child.stdin, {"token": "tok"})
    write_frame(child.stdin, [["w", b""], "public", None])
    kind, text = read_frame(child.stdout)
    assert kind == "done"
    assert PublicKey.from_text(text).alg == EDDSA
    _, printed = child.communicate(timeout=10)
    assert b"says hello" in printed


def test_ctrl_c_at_the_terminal_is_not_the_tokens_business(token: Token) -> None:
    token.make("w", ES256)
    signer = token.open("w")
    assert signer.pid is not None
    assert os.getpgid(signer.pid) != os.getpgid(0)


def test_the_pin_is_nowhere_to_be_seen(token: Token, capfd: pytest.CaptureFixture[str]) -> None:
    public = token.make("w", ES256)
    pin = token.pin_file.read_text()
    signer = token.open("w", public)
    signer.sign(b"m")
    child = Path("/proc") / str(signer.pid)
    assert pin.encode() not in (child / "cmdline").read_bytes()
    with suppress(PermissionError):  # Only root may look into the process that has the PIN.
        assert pin.encode() not in (child / "environ").read_bytes()
    signer.close()  # Else a second one would find the process logged in.
    token.pin_file.write_text("87654321")
    with pytest.raises(PinRefused) as caught:
        token.open("w", public).sign(b"m")
    said = f"{caught.value!r} {token.uri('w')!r} {token.uri('w').pin()!r}" + capfd.readouterr().err
    assert "87654321" not in said
    assert pin not in said
    for path in (token.pin_file, token.pin_file.with_name("pin.refused")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"87654321" not in token.pin_file.with_name("pin.refused").read_bytes()


def test_the_doctor_names_the_first_thing_to_mend(token: Token) -> None:
    public: PublicKey = token.make("w", ES256)
    uri = token.uri("w")
    assert [each.good for each in examine(uri, token.conf, public)] == [True] * 9
    other = token.make("other", ES256)
    assert "somebody swapped it" in examine(uri, token.conf, other)[-1].words
    assert "no key" in examine(token.uri("missing"), token.conf)[-1].words
    token.pin_file.chmod(0o644)
    assert "chmod 600" in examine(uri, token.conf)[-1].words
    token.pin_file.chmod(0o600)
    token.pin_file.write_text("0000")
    assert "PinIncorrect" in examine(uri, token.conf)[-1].words
    assert "not tried again" in examine(uri, token.conf)[-1].words
    token.pin_file.unlink()
    assert not examine(uri, token.conf)[-1].good


def test_the_doctor_reads_what_the_key_has_signed(token: Token, tmp_path: Path) -> None:
    token.make("w", ES256)
    uri, path = token.uri("w"), tmp_path / "signstate.sqlite"
    missing = examine(uri, token.conf, sign_state=path)[-1]
    assert (missing.check, missing.good, path.exists()) == ("sign-state", False, False)
    state = SignState(path)
    WitnessSigner(token.open("w"), state).sign(7, b"statement")
    state.close()
    before = path.read_bytes()
    assert "batches up to 7" in examine(uri, token.conf, sign_state=path)[-1].words
    assert path.read_bytes() == before
