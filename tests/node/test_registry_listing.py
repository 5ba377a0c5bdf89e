"""`gridwitness registry show TABLE` lists what is registered now, however many pages it takes."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from gridwitness.cli import main
from tests.app.enrolments import TECHNICIAN, Enrolment, retire, starts
from tests.app.registry_kinds import LOAD, zone_entry
from tests.app.village import signer
from tests.node.office import Bureau, served
from validator import client
from wire.event import time_words


def with_a_second_zone(content: dict[str, Any]) -> None:
    content["zones"].append(zone_entry("z2"))
    content["unmetered"].append(LOAD)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    bureau = Bureau(tmp_path_factory.mktemp("listing"), edit=with_a_second_zone)
    genesis = bureau.chain.genesis
    changes = (Enrolment(genesis, slot=2).transaction(), retire(genesis, "c2", 2, "PEA"))
    bureau.grow(1, changes)
    bureau.grow(2)
    with served(bureau) as address:
        yield f"http://{address}"
    bureau.close()


def listed(url: str, table: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["registry", "show", table, "--from-validator", url, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["table"] == table
    return {each["id"]: each for each in found["entries"]}


def test_meters_that_are_registered_now_are_listed_over_all_pages(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAGE", 2)
    found = listed(url, "meters", capsys)
    assert list(found) == ["b0", "c1", "c3", "c9", "pv"], "c2 is registered no more"
    assert found["c9"]["since"] == starts(2)
    assert found["c1"] == {
        **{"id": "c1", "since": None, "key": signer("c1").public.kid.hex(), "zone": "z1"},
        **{"node": "n1", "role": "customer", "reader": "gw-a"},
    }
    assert found["c3"]["key"] == "", "its reader signs for it"


def test_gateways_are_listed_with_both_keys_and_technicians_zones_and_loads_too(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    gateways = listed(url, "gateways", capsys)
    assert gateways["gw-b"]["reader_key"] == signer("gw-b reader").public.kid.hex()
    assert gateways["gw-b"]["witness_key"] == signer("gw-b").public.kid.hex()
    assert TECHNICIAN in listed(url, "technicians", capsys)
    zones = listed(url, "zones", capsys)
    assert (zones["z1"]["branches"], zones["z2"]["branches"]) == (3, 0)
    assert listed(url, "unmetered", capsys)["l1"]["node"] == "n2"


def test_people_read_a_table(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["registry", "show", "meters", "--from-validator", url]) == 0
    head, *rows, last = capsys.readouterr().out.splitlines()
    assert head.split() == ["id", "since", "key", "zone", "node", "role", "reader"]
    assert last == "5 meters are registered now"
    assert any(row.startswith(f"c9  {time_words(starts(2))}") for row in rows)
    assert any(row.startswith("c3  genesis") and "  -  " in row for row in rows)


def test_a_validator_that_is_away_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["registry", "show", "meters", "--from-validator", "http://127.0.0.1:9"]) == 75
    assert capsys.readouterr().err.count("\n") == 1


def test_an_entry_is_told_with_the_transaction_that_made_it_so(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its id a change that is still to come can be withdrawn."""
    assert main(["registry", "show", "meters", "c9", "--from-validator", url]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith(f"from {time_words(starts(2))}: {{")
    assert re.search(r"\(transaction [0-9a-f]{64}\)$", line)
