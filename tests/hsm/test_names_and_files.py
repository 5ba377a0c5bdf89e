"""Names of keys say which key and where the PIN is; key files are of no use without passphrase."""

import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from asn1crypto import pem

from gridwitness.cli import main
from hsm import filekey
from hsm.filekey import NoKeyFile, WrongPassphrase
from hsm.publickey import read_key
from hsm.refusals import mark_of, tried_of
from hsm.uri import BadUri, KeyUri
from wire.errors import Unavailable
from wire.keys import EDDSA, ES256

GOOD = "pkcs11:token=a%20b;object=key;type=private;id=%01%ff?module-path=/m.so&pin-source=file:pin"


def test_a_uri_names_token_key_module_and_pin(tmp_path: Path) -> None:
    (tmp_path / "pin").write_text("1234\n")
    uri = KeyUri.parse(GOOD, tmp_path)
    assert (uri.token, uri.label, uri.key_id) == ("a b", "key", b"\x01\xff")
    assert uri.module == Path("/m.so")
    pin = uri.pin()
    assert pin is not None
    assert pin.reveal() == "1234"
    assert "1234" not in f"{pin!r} {pin} {uri!r}"


def test_a_token_without_login_needs_no_pin() -> None:
    uri = KeyUri.parse("pkcs11:token=t;object=o?module-path=/m.so")
    assert uri.pin() is None


def test_a_missing_pin_file_is_no_refusal(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="PIN file"):
        KeyUri.parse(GOOD, tmp_path).pin()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("token=t;object=o", "not a pkcs11"),
        ("pkcs11:object=o?module-path=/m", "no token"),
        ("pkcs11:token=t?module-path=/m", "no object"),
        ("pkcs11:token=t;object=o", "no library"),
        ("pkcs11:token=t;object=o?module-path=/m&pin-value=1234", "does not belong"),
        ("pkcs11:token=t;object=o;slot-id=3?module-path=/m", "slot-id"),
        ("pkcs11:token=t;token=u;object=o?module-path=/m", "twice"),
    ],
)
def test_a_uri_with_a_fault_says_which(text: str, words: str) -> None:
    with pytest.raises(BadUri, match=words) as caught:
        KeyUri.parse(text)
    assert "1234" not in str(caught.value)


@pytest.mark.parametrize("alg", [ES256, EDDSA])
def test_a_key_file_is_encrypted_and_opens_with_its_passphrase(tmp_path: Path, alg: int) -> None:
    path = tmp_path / "key.pem"
    public = filekey.create(path, alg, b"correct horse")
    signer = filekey.load(path, b"correct horse")
    assert signer.public == public
    public.verify(b"m", signer.sign(b"m"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    for wrong in (b"", b"battery staple"):
        with pytest.raises(WrongPassphrase):
            filekey.load(path, wrong)


def test_a_key_file_costs_a_guesser_scrypt_and_opens_in_openssl(tmp_path: Path) -> None:
    path, passphrase = tmp_path / "key.pem", tmp_path / "passphrase"
    public = filekey.create(path, ES256, b"correct horse")
    passphrase.write_text("correct horse")
    assert filekey.load(path, b"correct horse").public == public
    _, _, der = pem.unarmor(path.read_bytes())
    assert bytes.fromhex("2b06010401da47040b") in der  # id-scrypt, RFC 7914 §7.
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("not installed: apt-get install openssl")
    opened = subprocess.run(
        [program, "pkey", "-in", path, "-passin", f"file:{passphrase}", "-pubout"],
        capture_output=True,
        check=True,
        timeout=60,
    )
    (tmp_path / "public.pem").write_bytes(opened.stdout)
    assert read_key(str(tmp_path / "public.pem")) == public


def test_a_secret_comes_from_a_file_a_credential_or_a_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = "pkcs11:token=t;object=o?module-path=/m.so&pin-source="
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(Unavailable, match="LoadCredentialEncrypted=witness"):
        KeyUri.parse(base + "credential:witness")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "witness").write_text("4711")
    pin = KeyUri.parse(base + "credential:witness").pin()
    assert pin is not None
    assert pin.reveal() == "4711"
    asked = KeyUri.parse(base + "prompt")
    with pytest.raises(Unavailable, match="nobody is at a terminal"):
        asked.pin()
    monkeypatch.setattr("hsm.uri.sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("hsm.uri.getpass", lambda words: "typed")
    typed = asked.pin()
    assert typed is not None
    assert (typed.reveal(), repr(typed)) == ("typed", "Pin(…)")


def test_marks_about_a_credential_go_to_the_services_state_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credential = tmp_path / "credentials" / "witness"
    assert mark_of(credential).parent == credential.parent
    monkeypatch.setattr("hsm.refusals.os.access", lambda place, mode: False)  # Read-only.
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path / 'state'}:{tmp_path / 'other'}")
    assert mark_of(credential) == tmp_path / "state" / "witness.refused"
    assert tried_of(credential) == tmp_path / "state" / "witness.tried"


def test_a_key_file_is_never_overwritten_and_never_plain(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    filekey.create(path, EDDSA, b"one")
    with pytest.raises(FileExistsError):
        filekey.create(path, EDDSA, b"two")
    with pytest.raises(WrongPassphrase):
        filekey.create(tmp_path / "plain.pem", EDDSA, b"")
    assert not (tmp_path / "plain.pem").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no key file"),
        (b"hello", "is no private key"),
        (b"-----BEGIN CERTIFICATE-----\n", "is a certificate: name the file of the private key"),
        (b"-----BEGIN CERTIFICATE REQUEST-----\n", "is a certificate request"),
        (b"-----BEGIN PUBLIC KEY-----\n", "is a public key"),
    ],
)
def test_what_is_no_key_file_is_said(tmp_path: Path, content: bytes | None, words: str) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(NoKeyFile, match=words):
        filekey.load(file, b"x")
    with pytest.raises(NoKeyFile, match="is a folder: name the key file in it"):
        filekey.load(tmp_path, b"x")


def test_a_library_that_is_missing_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hsm", "show", "pkcs11:token=t;object=o?module-path=/nope.so"]) == 2
    assert "there is no PKCS#11 library /nope.so: install" in capsys.readouterr().err
