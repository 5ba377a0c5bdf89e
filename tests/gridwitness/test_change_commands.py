"""Changes of who rules go from hand to hand as files: made, signed, put together, explained."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gridwitness import change_file, cli, registry_file
from gridwitness.change_file import Standing
from gridwitness.network import Network, make_network
from gridwitness.network_commands import synthetic_plan
from hsm.filekey import load
from validator import config
from validator.node.peers import open_record, record_of
from wire.errors import Refused
from wire.governance import ChangeParameters, ChangeValidators, authorities_hash
from wire.keys import PublicKey
from wire.transaction import Transaction, payload_of
from wire.transaction_bodies import Retirement

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
        genesis.parameters,
    )
    monkeypatch.setattr(change_file, "final_height", lambda *_: None)
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
        ({"parameters": {"block_interval_ms": 9}}, "STALE"),
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
    registry = tmp_path / "x.gwt"
    payload = payload_of(standing.network, bytes(16), 9, Retirement("retire-meter", "c1", 900))
    signer = load(network.authority("PEA"), passphrase(network))
    registry.write_bytes(Transaction.of(payload).with_signature(signer).encoded)
    assert "gridwitness registry show" in fails(capsys, "show", str(registry))


def passphrase(network: Network) -> bytes:
    return (network.authority("PEA").parent / "passphrase").read_bytes()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            "block_interval_ms=0",
            "block_interval_ms is 50 to 600000 (block_interval_ms is 1000 now)",
        ),
        ("round_timeout_ms=1", "round_timeout_ms is 50 to 600000"),
        ("skew_missing_s=99999999", "skew_missing_s is 0 to 3600"),
        ("skew_missing_s=-5", "not negative"),
        ("block_interval_ms=1000", "nothing changes"),
    ],
)
def test_a_value_that_no_block_would_have_is_refused_before_anybody_signs(
    value: str,
    words: str,
    network: Network,
    standing: Standing,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = ("--out", str(tmp_path / "change"), *key(network, "PEA"))
    assert words in fails(capsys, "propose", "--set", value, *out)


def test_a_key_that_is_no_authoritys_signs_nothing(
    network: Network, standing: Standing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "change"
    technician = ("--authority-key", str(network.technician("tech-1")))
    make = ("propose", "--set", "block_interval_ms=2000", "--out", str(out))
    assert "no authority's" in fails(capsys, *make, *technician)
    run(capsys, *make, *key(network, "PEA"))
    unchanged = out.read_bytes()
    by_genesis = ("--genesis", str(network.genesis_path))
    for source in (by_genesis, ("--at", "http://127.0.0.1:9")):
        assert "Nothing was signed" in fails(capsys, "sign", str(out), *technician, *source)
    assert out.read_bytes() == unchanged
    found = run(capsys, "sign", str(out), *key(network, "MEA"), *by_genesis)
    assert (found["who"], found["again"], found["signatures"]) == ("MEA", False, 2)
    again = run(capsys, "sign", str(out), *key(network, "MEA"), *by_genesis)
    assert (again["again"], again["signatures"]) == (True, 2)


def test_a_change_is_shown_with_the_value_before_also_once_it_is_in_force(
    network: Network,
    standing: Standing,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = str(tmp_path / "change")
    run(capsys, "propose", "--set", "block_interval_ms=2000", "--out", out, *key(network, "ERC"))
    assert run(capsys, "show", out)["steps"] == ["parameter block_interval_ms: 1000 → 2000"]
    later = replace(standing, parameters={"block_interval_ms": 2_000})

    def asked(_: object, client: object, before_height: int | None = None) -> Standing:
        return later if before_height is None else standing

    monkeypatch.setattr(Standing, "asked", classmethod(asked))
    monkeypatch.setattr(change_file, "final_height", lambda *_: 7)
    eras = [SimpleNamespace(from_height=first) for first in (1, 9, 30)]
    told = {"tables": lambda: eras, "rosters": list, "rolls": list}
    client = SimpleNamespace(**told, status=lambda: SimpleNamespace(height=8))
    state = change_file.state_in_words(cast("Any", client), "change-parameters", 7)
    assert state == (
        "final in block 7: in force since block 9, until another change holds from block 30 on"
    )
    monkeypatch.setattr(change_file, "state_in_words", lambda *_: state)
    found = run(capsys, "show", out)
    assert found["steps"] == ["parameter block_interval_ms: 1000 → 2000"]
    assert (found["stale"], found["state"]) == (False, [state])


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
    first, second = (standing.of_parameters([("block_interval_ms", n)]) for n in (3_000, 2_000))
    with pytest.raises(Refused, match="different transactions"):
        registry_file.together([first, second])
    assert authorities_hash(standing.authorities) == authorities_hash(standing.authorities[::-1])
