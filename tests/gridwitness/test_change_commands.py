"""Changes of who rules go from hand to hand as files: made, signed, put together, explained."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gridwitness import change_file, cli, registry_file
from gridwitness.change_file import Standing
from gridwitness.network import Network, make_network
from gridwitness.network_commands import synthetic_plan
from validator import config
from validator.app.parameters import parameters_hash
from validator.node.peers import open_record, record_of
from wire.errors import Refused
from wire.governance import ChangeParameters, ChangeValidators, authorities_hash
from wire.keys import PublicKey

NOW_S = 1_800_000_000


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    return make_network(tmp_path_factory.mktemp("net"), synthetic_plan("changes", 4))


@pytest.fixture
def standing(network: Network, monkeypatch: pytest.MonkeyPatch) -> Standing:
    """What validators would tell: since genesis a fifth has joined, so that one may leave."""
    genesis = network.genesis
    authorities = tuple(
        (each["id"], PublicKey.from_text(each["key"])) for each in genesis.registry["authorities"]
    )
    found = Standing(
        genesis.network,
        41,
        genesis.validators.hash,
        (*((name, genesis.runners[name]) for name in genesis.validators.ids), ("val-z", "MEA")),
        tuple(sorted(authorities)),
        parameters_hash(genesis.parameters),
    )
    monkeypatch.setattr(Standing, "asked", classmethod(lambda *_: found))
    return found


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    status = cli.main(["network", *arguments, "--json"])
    said = capsys.readouterr()
    assert status == 0, said.err
    found: dict[str, Any] = json.loads(said.out.splitlines()[-1])
    return found


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert cli.main(["network", *arguments]) == 1
    words = capsys.readouterr().err
    assert words.count("\n") == 1, "one line"
    return words


def key(network: Network, name: str) -> tuple[str, str]:
    return ("--authority-key", str(network.authority(name)))


def test_a_change_is_signed_by_one_after_the_other_and_copies_are_put_together(
    network: Network, standing: Standing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "change")
    run(capsys, "propose", "--remove", "val-egat", "--out", out, *key(network, "EGAT"))
    body = change_file.read(Path(out)).body
    assert isinstance(body, ChangeValidators)
    assert body.base == network.genesis.validators.hash
    copy = tmp_path / "copy"
    copy.write_bytes(Path(out).read_bytes())
    run(capsys, "sign", out, *key(network, "MEA"))
    assert run(capsys, "sign", out, *key(network, "MEA"))["signatures"] == 2, "once is enough"
    run(capsys, "sign", str(copy), *key(network, "PEA"))
    shown = run(capsys, "show", out)
    assert "1 more needed" in shown["signatures"][0]
    whole = registry_file.together([change_file.read(Path(out)), change_file.read(copy)])
    assert "enough" in change_file.signatures_in_words(whole, standing)[0]
    assert registry_file.together([whole, whole]) == whole


def test_a_stale_change_and_one_of_another_network_are_named(
    network: Network,
    standing: Standing,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = str(tmp_path / "change")
    run(capsys, "propose", "--set", "block_interval_ms=2000", "--out", out, *key(network, "ERC"))
    body = change_file.read(Path(out)).body
    assert isinstance(body, ChangeParameters)
    assert run(capsys, "show", out)["stale"] is False
    for changes, words in (
        ({"parameters_hash": bytes(32)}, "STALE"),
        ({"height": 10**9}, "EXPIRED"),
    ):
        later = Standing(**{name: getattr(standing, name) for name in Standing.__slots__} | changes)
        monkeypatch.setattr(Standing, "asked", classmethod(lambda *_, later=later: later))
        assert cli.main(["network", "show", out]) == 0
        assert words in capsys.readouterr().out
    other = Standing(
        **{name: getattr(standing, name) for name in Standing.__slots__} | {"network": bytes(32)}
    )
    monkeypatch.setattr(Standing, "asked", classmethod(lambda *_: other))
    assert "another network" in fails(capsys, "show", out)


def test_who_joins_gets_a_folder_and_the_others_its_address(
    network: Network, standing: Standing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "val-new"
    where = ("--network", str(network.folder), "--listen", "127.0.0.1:9999")
    found = run(capsys, "join", "--dir", str(home), "--id", "val-new", "--authority", "MEA", *where)
    settings = config.load(home / "validator.toml")
    assert (settings.id, settings.advertise.port) == ("val-new", 9999)
    assert settings.api.port == 9989, "8800 is another's on the machine of a test network"
    transaction = change_file.read(Path(found["change"]))
    body = transaction.body
    assert isinstance(body, ChangeValidators)
    [step] = body.steps
    assert step.key is not None
    assert transaction.is_signed_by(step.key)
    # The record in the change stands under the new key, and under no other.
    record = record_of("val-new", step.place)
    new = step.key
    assert open_record(record, network.genesis, NOW_S, lambda _: [new]).port == 9999
    assert "user val-new" in (network.broker / "acl").read_text()
    again = fails(capsys, "join", "--dir", str(home), "--id", "x", "--authority", "MEA", *where)
    assert "not empty" in again
    unknown = ("join", "--dir", str(tmp_path / "n"), "--id", "x", "--authority", "XYZ", *where)
    assert "no authority XYZ" in fails(capsys, *unknown)


def test_a_rotation_names_the_next_key_once(
    network: Network, standing: Standing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = network.validator("val-mea")
    out = str(tmp_path / "change")
    made = run(capsys, "rotate", str(path), "--out", out)
    content = tomllib.loads(path.read_text())
    assert (content["key"], content["next_key"]) == ("key.pem", made["next_key"])
    assert isinstance(config.load(path).next_key, Path)
    assert "next_key" in fails(capsys, "rotate", str(path), "--out", str(tmp_path / "other"))


def test_what_is_no_change_is_refused_in_one_line(
    network: Network, standing: Standing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("--out", str(tmp_path / "change"), *key(network, "PEA"))
    assert "one kind" in fails(capsys, "propose", *out)
    assert "one kind" in fails(capsys, "propose", "--remove", "val-pea", "--set", "a=1", *out)
    assert "whole number" in fails(capsys, "propose", "--set", "a=b", *out)
    assert "cannot be changed" in fails(capsys, "propose", "--set", "interval_s=60", *out)
    assert "NAME=VALUE" in fails(capsys, "propose", "--set", "a", *out)
    (tmp_path / "nonsense").write_bytes(b"nonsense")
    fails(capsys, "sign", str(tmp_path / "nonsense"), *key(network, "PEA"))
    fails(capsys, "show", str(tmp_path / "nothing"))


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ("--remove val-egat --remove val-mea", "2 of 5 at once: at most 1"),
        ("--remove val-egat --expel val-mea", "2 of 5 at once: at most 1"),
        ("--remove val-nobody", "no validator val-nobody: val-"),
        ("--revoke-authority EGAT", "authority EGAT runs val-egat"),
        ("--rotate-authority NOBODY={key}", "no authority NOBODY"),
        ("--add-authority MEA={key}", "MEA: an authority of that id is in force"),
    ],
)
def test_a_change_that_no_block_would_have_is_refused_before_anybody_signs(
    steps: str,
    words: str,
    network: Network,
    standing: Standing,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "change"
    given = steps.format(key=standing.authorities[0][1].text).split()
    assert words in fails(capsys, "propose", *given, "--out", str(out), *key(network, "PEA"))
    assert not out.exists()


def test_fewer_than_four_are_not_left_by_a_proposal(
    network: Network,
    standing: Standing,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    four = replace(standing, validators=standing.validators[:4])
    monkeypatch.setattr(Standing, "asked", classmethod(lambda *_: four))
    out = ("--out", str(tmp_path / "change"), *key(network, "PEA"))
    assert "3 would be left of 4" in fails(capsys, "propose", "--remove", "val-mea", *out)
    assert "3 would be left of 4" in fails(capsys, "propose", "--expel", "val-mea", *out)
    run(capsys, "propose", "--expel", "val-observer", *out)  # One that has left already.


def test_different_changes_are_not_put_together(network: Network, standing: Standing) -> None:
    first, second = (standing.of_parameters([("block_interval_ms", n)]) for n in (1_000, 2_000))
    with pytest.raises(Refused, match="different transactions"):
        registry_file.together([first, second])
    assert authorities_hash(standing.authorities) == authorities_hash(standing.authorities[::-1])
