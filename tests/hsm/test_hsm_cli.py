"""`gridwitness hsm`: what it prints, and its exit status."""

import json
from pathlib import Path

import pytest

from gridwitness.cli import main
from hsm import ceremony
from wire.keys import PublicKey


@pytest.fixture
def named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """A fresh token, and the arguments that name a key of it."""
    folder = tmp_path / "tok"
    assert main(["hsm", "init", str(folder), "--label", "site-7"]) == 0
    assert (folder / "pin").read_text() not in capsys.readouterr().out
    module = ceremony.softhsm_module()
    uri = f"pkcs11:token=site-7;object=w?module-path={module}&pin-source=file:{folder / 'pin'}"
    return [uri, "--softhsm2-conf", str(folder / "softhsm2.conf")]


@pytest.mark.parametrize("alg", ["es256", "eddsa"])
def test_a_key_is_made_and_shown_as_it_is_registered(
    named: list[str], capsys: pytest.CaptureFixture[str], alg: str
) -> None:
    assert main(["hsm", "key", *named, "--alg", alg, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    public = PublicKey.from_text(made["key"])
    assert made["key"].startswith(f"{alg}:")
    assert (made["kid"], made["thumbprint"]) == (public.kid.hex(), public.thumbprint.hex())
    assert main(["hsm", "show", *named]) == 0
    assert made["key"] in capsys.readouterr().out


def test_a_taken_label_is_refused_in_one_line(
    named: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["hsm", "key", *named]) == 0
    capsys.readouterr()
    assert main(["hsm", "key", *named]) != 0
    shown = capsys.readouterr()
    assert "refused: the token's key: the name 'w' is taken: choose another object=" in shown.err
    assert len(shown.err.strip().splitlines()) == 1
    assert shown.out == ""


def test_a_missing_key_is_wrong_usage_in_one_line(
    named: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["hsm", "show", *named]) == 2
    assert capsys.readouterr().err == (
        "gridwitness: no key 'w' in the token: make it with `gridwitness hsm key`,"
        " or correct object= or id=\n"
    )


def test_the_doctor_ends_with_a_table_or_one_object(
    named: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["hsm", "doctor", *named]) == 1
    assert "BAD  key" in capsys.readouterr().out
    assert main(["hsm", "doctor", *named, "--json"]) == 1
    bad = json.loads(capsys.readouterr().out)
    assert (bad["good"], bad["checks"][-1]["check"]) == (False, "key")
    assert main(["hsm", "key", *named]) == 0
    capsys.readouterr()
    assert main(["hsm", "doctor", *named, "--json"]) == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert found["good"] is True
    assert [each["check"] for each in found["checks"]] == [
        "module",
        "token",
        "pin",
        "login",
        "mechanisms",
        "key",
        "public key",
        "kept",
        "signature",
    ]
    missing = str(tmp_path / "none.sqlite")
    assert main(["hsm", "doctor", *named, "--sign-state", missing]) == 1
    assert "BAD  sign-state" in capsys.readouterr().out


def test_a_second_token_in_a_folder_is_refused(
    named: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(path.name for path in (tmp_path / "tok").rglob("*"))
    assert main(["hsm", "init", str(tmp_path / "tok"), "--label", "again"]) != 0
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert said.endswith(f"there is a token in {tmp_path / 'tok'} already; choose another folder")
    assert sorted(path.name for path in (tmp_path / "tok").rglob("*")) == before


def test_a_token_that_is_not_there_is_told_by_its_name_and_what_to_look_at(
    named: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOFTHSM2_CONF", raising=False)
    assert main(["hsm", "key", named[0]]) != 0
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert "no token named site-7 in /usr/lib" in said
    assert said.endswith("is it plugged in? For SoftHSM name its --softhsm2-conf")
    assert main(["hsm", "key", named[0].replace("site-7", "site-8"), *named[1:]]) != 0
    assert capsys.readouterr().err.strip().endswith("is it plugged in?")
