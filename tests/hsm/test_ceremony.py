"""The ceremony: a token, a key, its report, a certificate request, and the key that follows it."""

import json
from pathlib import Path

import pytest
from cryptography import x509

from gridwitness.cli import main
from hsm.registered import NotRegistered
from hsm.report import lines, report
from hsm.request import request
from hsm.rotation import StandingSigner, Succession, open_standing, rotate
from hsm.token_process import KeyRefused
from tests.hsm.tokens import BENCHES, SO_PIN, Token, token_of
from wire.announcement import KeyAnnouncement, SignedAnnouncement, announce
from wire.errors import Malformed, Unavailable
from wire.genesis import Genesis
from wire.keys import EDDSA, ES256, PublicKey

NAMES = {ES256: "es256", EDDSA: "eddsa"}
VECTORS = Path(__file__).parents[2] / "wire" / "vectors"
NOW_S = 1_795_251_600


def network(folder: Path, witness: PublicKey) -> Path:
    """A genesis file in which gw-north's witness key is this one."""
    content = json.loads((VECTORS / "genesis.json").read_text())
    keys = {"witness_key": witness.text, "reader_key": content["validators"][1]["key"]}
    content["gateways"] = [{"id": "gw-north", **keys}]
    path = folder / "genesis.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("kind", "alg"), BENCHES, ids=[f"{kind}-{NAMES[alg]}" for kind, alg in BENCHES]
)
def test_a_key_is_reported_and_asks_for_its_certificate(
    kind: str, alg: int, tmp_path: Path
) -> None:
    with token_of(kind, tmp_path) as token:
        public = token.make("w", alg)
        found = report(token.uri("w"), token.conf)
        assert (found["key"], found["id"]) == (public.text, public.kid.hex())
        assert found["attestation"] == "software, not attested"
        assert bool(found["leaves_nevertheless"]) == (kind == "nss")
        assert any("sensitive" in line and "sign" in line for line in lines(found))
        signer = token.open("w", public)
        pem = request(signer, "gw-north", ["gw-north.local", "gw-north.example"])
        asked = x509.load_pem_x509_csr(pem)
        assert asked.is_signature_valid
        (name,) = asked.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        assert name.value == "gw-north"
        names = asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["gw-north.local", "gw-north.example"]
        plain = x509.load_pem_x509_csr(request(signer, "gw-north"))
        assert plain.is_signature_valid
        assert not list(plain.extensions)


def test_a_token_of_any_library_is_made_by_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = Token(tmp_path)
    (tmp_path / "tokens").mkdir()
    assert bare.conf is not None
    bare.conf.write_text(f"directories.tokendir = {tmp_path}/tokens\nobjectstore.backend = file\n")
    monkeypatch.chdir(tmp_path)
    place = [bare.text("w"), "--softhsm2-conf", str(bare.conf)]
    so_pin = tmp_path / "so-pin"
    so_pin.write_text(SO_PIN)
    assert main(["hsm", "token", *place, "--so-pin-file", str(so_pin)]) == 0
    pin = bare.pin_file.read_text()
    assert len(pin) == 8
    assert bare.pin_file.stat().st_mode & 0o077 == 0
    assert main(["hsm", "key", *place, "--report", "report.json"]) == 0
    told = json.loads((tmp_path / "report.json").read_text())
    assert told["kept"]["extractable"] is False
    assert main(["hsm", "report", *place, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == told
    assert main(["hsm", "request", *place, "--cn", "gw-north", "--out", "w.csr"]) == 0
    assert x509.load_pem_x509_csr((tmp_path / "w.csr").read_bytes()).is_signature_valid
    assert main(["hsm", "token", *place, "--so-pin-file", str(so_pin)]) != 0
    said = capsys.readouterr()
    assert "there already" in said.err
    assert pin not in said.out + said.err


def test_an_old_key_announces_the_new_one_and_both_go_on_signing(
    token: Token, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = token.make("w1", ES256), token.make("w2", EDDSA)
    genesis = network(tmp_path, old)
    place = ["--softhsm2-conf", str(token.conf), "--genesis", str(genesis), "--json"]
    what = ["--holder", "gw-north", "--role", "witness", "--from", str(NOW_S), "--days", "30"]
    uris = [
        token.text(label).replace("file:pin", f"file:{token.pin_file}") for label in ("w1", "w2")
    ]
    out = tmp_path / "announcement.cbor"
    audit = tmp_path / "audit.jsonl"
    asked = ["hsm", "rotate", *uris, *place, *what, "--out", str(out), "--audit", str(audit)]
    assert main(asked) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["new_key"], told["until_s"]) == (new.text, NOW_S + 30 * 86_400)
    signed = SignedAnnouncement.open(out.read_bytes())
    signed.verify(old)
    assert signed.statement.network == Genesis.load(genesis).network
    assert main(["hsm", "check-announcement", str(out), "--old", old.text, "--json"]) == 0
    by_key = json.loads(capsys.readouterr().out)
    assert by_key.pop("holds").startswith("signed by the key given")
    assert by_key == told
    assert main(["hsm", "check-announcement", str(out), "--genesis", str(genesis)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("holds: signed by gw-north's registered witness key\n")
    assert f"{NOW_S} (2026-11-21 09:00:00 UTC)" in said
    assert main(["hsm", "check-announcement", str(out), "--old", new.text]) != 0
    assert "in force" in capsys.readouterr().err
    assert main(asked) != 0  # No file is overwritten.
    assert [json.loads(each)["event"] for each in audit.read_text().splitlines()] == [
        "announce-key",
        "announce-key",
    ]
    for label, public in (("w1", old), ("w2", new)):
        public.verify(b"still", token.open(label, public).sign(b"still"))


def test_only_the_registered_key_announces_its_successor(
    token: Token, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registered, other = token.make("w1", ES256), token.make("w2", ES256)
    genesis = Genesis.load(network(tmp_path, registered))
    out = tmp_path / "out"
    uris = token.uri("w2"), token.uri("w1")
    for holder, role, words in (
        ("gw-north", "witness", "is not gw-north's registered witness key"),
        ("gw-north", "reader", "is not gw-north's registered reader key"),
        ("gw-nowhere", "witness", "gw-nowhere has no registered witness key"),
        ("a", "validator", "is not a's registered validator key"),
    ):
        with pytest.raises(NotRegistered, match=words):
            rotate(*uris, Succession(genesis, holder, role, NOW_S, NOW_S), out, token.conf)
        assert not out.exists()
    statement = KeyAnnouncement(
        genesis.network, "gw-north", "witness", other.thumbprint, registered, NOW_S, NOW_S
    )
    out.write_bytes(announce(statement, token.open("w2"), token.open("w1")))
    checked = ["hsm", "check-announcement", str(out)]
    assert main([*checked, "--genesis", str(tmp_path / "genesis.json")]) != 0
    assert "another key than the one in force" in capsys.readouterr().err
    assert main([*checked, "--genesis", str(VECTORS / "genesis.json")]) != 0
    assert "another network" in capsys.readouterr().err
    assert main(checked) != 0
    assert "give --genesis" in capsys.readouterr().err


def test_a_key_does_not_follow_itself(token: Token, tmp_path: Path) -> None:
    genesis = Genesis.load(network(tmp_path, token.make("w", ES256)))
    uri = token.uri("w")
    succession = Succession(genesis, "gw-north", "witness", NOW_S, NOW_S)
    with pytest.raises(Malformed, match="the new key is the old one"):
        rotate(uri, uri, succession, tmp_path / "out", token.conf)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("registered", [0, 1])
def test_of_two_named_keys_the_registered_one_signs(token: Token, registered: int) -> None:
    keys = [token.make("w1", ES256), token.make("w2", ES256)]
    uris = [token.uri("w1"), token.uri("w2")]
    signer: StandingSigner = open_standing(uris, token.conf, keys[registered])
    for message in (b"one", b"two"):
        keys[registered].verify(message, signer.sign(message))
    signer.confirm()
    signer.close()
    other = token.make("w3", ES256)
    neither = open_standing(uris, token.conf, other)
    with pytest.raises(KeyRefused, match="another key"):
        neither.sign(b"m")
    with pytest.raises(KeyRefused, match=f"{other.kid.hex()} is registered; there is"):
        neither.confirm()
    neither.close()


def test_while_the_registered_key_is_away_the_other_one_does_not_speak_for_it(
    token: Token,
) -> None:
    token.make("w1", ES256)
    away = token.make("w2", ES256)
    token.from_outside(
        'for each in list(session.get_objects({Attribute.LABEL: "w2"})):\n    each.destroy()\n'
    )
    signer = open_standing([token.uri("w1"), token.uri("w2")], token.conf, away)
    with pytest.raises(Unavailable, match="no key"):
        signer.sign(b"m")
    signer.close()
