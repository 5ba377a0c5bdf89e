"""What a validator says of registry changes: before they are signed, accepted, withdrawn."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gridwitness import registry_file
from gridwitness.cli import main
from gridwitness.registry_known import ByValidator
from gridwitness.registry_parties import check_part, parties_of
from tests.app.enrolments import starts
from tests.app.registry_kinds import KINDS, LOAD, Kind, signed, zone_entry
from tests.app.village import signer
from tests.node.office import Bureau, served
from validator.client import Client
from wire.errors import Refused
from wire.event import time_words
from wire.genesis import Genesis
from wire.transaction_bodies import Entry, Retirement, Withdraw

_Z2 = zone_entry("z2", p0_mw=9)


def with_a_second_zone(content: dict[str, Any]) -> None:
    content["zones"].append(zone_entry("z2"))
    content["unmetered"].append(LOAD)


@pytest.fixture(scope="module")
def bureau(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bureau]:
    found = Bureau(tmp_path_factory.mktemp("told"), edit=with_a_second_zone)
    yield found
    found.close()


@pytest.fixture(scope="module")
def files(bureau: Bureau, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two changes that were accepted for later, of which one was withdrawn, and the withdrawal."""
    genesis = bureau.chain.genesis
    stands = signed(Entry("change-zone", _Z2, starts(9)), ["PEA"], genesis)
    goes = signed(Retirement("retire-meter", "c1", starts(9)), ["PEA"], genesis)
    back = signed(Withdraw(goes.id), ["PEA"], genesis)
    bureau.grow(1, (stands, goes))
    bureau.grow(2, (back,))
    folder = tmp_path_factory.mktemp("files")
    made = {"stands": stands, "goes": goes, "back": back}
    for name, transaction in made.items():
        (folder / name).write_bytes(registry_file.content(transaction))
    return {name: folder / name for name in made}


@pytest.fixture(scope="module")
def url(bureau: Bureau, files: dict[str, Path]) -> Iterator[str]:
    with served(bureau) as address:
        yield f"http://{address}"


def shown(url: str, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    words = ["registry", "show", *(str(each) for each in arguments), "--from-validator", url]
    assert main(words) == 0
    return capsys.readouterr().out


def test_a_change_is_told_with_what_it_changes_and_what_became_of_it(
    url: str, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    begins = time_words(starts(9))
    told = shown(url, capsys, files["stands"])
    assert "             p0_mw: 0 → 9" in told
    assert f"final in block 1; it holds from {begins} on" in told
    gone = shown(url, capsys, files["goes"])
    assert '             id: "c1"' in gone
    assert "final in block 1, and withdrawn since: it never holds" in gone
    back = shown(url, capsys, files["back"])
    assert f"withdraws    retire-meter: meter c1 is registered no more, from {begins}" in back
    assert 'id: "c1"' in back


def test_a_withdrawn_change_that_is_submitted_again_is_said_to_be_withdrawn(
    url: str, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["registry", "submit", str(files["goes"]), "--to", url]) == 1
    assert "block 1 has it, and it was withdrawn since" in capsys.readouterr().err
    assert main(["registry", "submit", str(files["stands"]), "--to", url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["height"] == 1


def test_a_table_tells_what_is_accepted_for_later(
    url: str, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "accepted for later: change-zone of z2, from" in shown(url, capsys, "zones")
    assert "WITHDRAWN: never holds: retire-meter of c1" in shown(url, capsys, "meters")
    found: dict[str, Any] = json.loads(shown(url, capsys, "zones", "--json"))
    assert [each["ids"] for each in found["coming"]] == [["z2"]]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_a_validator_tells_who_has_a_part(kind: Kind, url: str, bureau: Bureau) -> None:
    genesis: Genesis = bureau.chain.genesis
    transaction = signed(kind.body(starts(2)), [], genesis)
    with Client([url]) as client:
        known = ByValidator(client, url)
        assert parties_of(transaction, known) is not None
        for name in kind.signers:
            check_part(transaction, signer(name).public, known)
        with pytest.raises(Refused, match="has no part"):
            check_part(transaction, signer("a stranger").public, known)
