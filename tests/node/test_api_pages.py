"""The pages of one validator, asked without a network: what they tell, and to whom."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.village import START_S
from tests.node.office import Bureau, ask
from wire.receipt import Receipt


@pytest.fixture
def bureau(tmp_path: Path) -> Iterator[Bureau]:
    bureau = Bureau(tmp_path)
    bureau.grow(3)
    yield bureau
    bureau.close()


def test_every_page_that_names_nothing_answers(bureau: Bureau) -> None:
    for path in bureau.pages.app.openapi()["paths"]:
        if "{" in path or path in ("/rpc", "/api/v1/transactions", "/api/v1/events"):
            continue
        answer = ask(bureau, path)
        assert answer.status_code == 200, (path, answer.text)
    assert ask(bureau, "/docs").status_code == 200


def test_blocks_come_in_pages_that_later_blocks_do_not_move(bureau: Bureau) -> None:
    first = ask(bureau, "/api/v1/blocks?most=2").json()
    assert [each["height"] for each in first["items"]] == [3, 2]
    bureau.grow()
    second = ask(bureau, f"/api/v1/blocks?most=2&before={first['next']}").json()
    assert [each["height"] for each in second["items"]] == [1]
    assert second["next"] is None


def test_a_block_is_the_same_by_height_and_by_digest(bureau: Bureau) -> None:
    found = ask(bureau, "/api/v1/blocks/2").json()
    assert ask(bureau, f"/api/v1/blocks/hash/{found['digest']}").json() == found
    assert (found["readings"], found["batches"], found["sealers"]) == (5, 1, ["val-pea"])


def test_readings_come_in_pages_and_by_span_with_what_they_counted(bureau: Bureau) -> None:
    page = ask(bureau, "/api/v1/readings/c1?most=2").json()
    assert [each["sequence"] for each in page["items"]] == [0, 1]
    assert page["items"][0]["import_advance_wh"] == 500
    rest = ask(bureau, f"/api/v1/readings/c1?after={page['next']}").json()
    assert ([each["sequence"] for each in rest["items"]], rest["next"]) == ([2], None)
    span = f"?from_s={START_S + 900}&until_s={START_S + 1_800}"
    found = ask(bureau, f"/api/v1/readings/c1{span}").json()
    assert [each["sequence"] for each in found["items"]] == [1]


def test_a_receipt_verifies_against_the_genesis_file(bureau: Bureau) -> None:
    answer = ask(bureau, "/api/v1/receipts/c1/1")
    assert answer.headers["content-type"] == "application/cbor"
    assert Receipt.decode(answer.content).verify(bureau.chain.genesis).reading.sequence == 1


def test_flows_are_sums_of_what_lies_behind_each_branch(bureau: Bureau) -> None:
    found = ask(bureau, f"/api/v1/zones/z1/flows?start_s={START_S}").json()
    flows = {each["branch"]: each["flow_wh"] for each in found["branches"]}
    assert flows == {"bus-n1": 600, "n1-n2": 100, "n2-n3": 200}
    assert (found["import_wh"], found["export_wh"]) == (604, 0)
    drawing = ask(bureau, "/api/v1/zones/z1").json()
    assert {each["id"] for each in drawing["branches"]} == flows.keys()
    assert drawing["seal"]["verdict"] == "BALANCED"


def test_gateways_show_their_newest_batch_and_how_long_they_are_silent(bureau: Bureau) -> None:
    north, south = ask(bureau, "/api/v1/gateways").json()
    assert (north["id"], north["height"], north["readings"], north["silent_ms"]) == (
        "gw-a",
        3,
        5,
        0,
    )
    assert north["final_after_ms"] == 8_000
    assert south["batch_sequence"] is None


def test_performance_is_counted_from_the_ledger(bureau: Bureau) -> None:
    rows = ask(bureau, "/api/v1/authorities/PEA/performance").json()
    (row,) = rows["validators"]
    assert (rows["first"], rows["last"]) == (1, 2)  # Of block 3 the canonical seals are to come.
    assert (row["proposed"], row["sealed"], row["missed_rounds"]) == (2, 2, 0)
    for name in (row["address"], row["validator"]):
        assert ask(bureau, f"/api/v1/authorities/{name}/performance").json() == rows
    assert ask(bureau, "/api/v1/authorities/nobody/performance").status_code == 404


def test_whatever_goes_wrong_has_one_shape_and_says_what_to_do(bureau: Bureau) -> None:
    for method, path, status in (
        ("GET", "/api/v1/blocks/99", 404),
        ("GET", "/api/v1/blocks/-1", 422),
        ("GET", "/api/v1/blocks/9223372036854775808", 422),
        ("GET", "/api/v1/readings/%00", 422),
        ("GET", "/api/v1/nothing", 404),
        ("DELETE", "/api/v1/blocks/1", 405),
        ("POST", "/api/v1/transactions", 415),
    ):
        answer = ask(bureau, path, method)
        told = answer.json()
        assert answer.status_code == status == told["status"], path
        assert answer.headers["content-type"] == "application/problem+json"
        assert told["detail"]
        assert told["remedy"]


def test_every_answer_forbids_pages_to_be_framed_and_to_load_from_elsewhere(bureau: Bureau) -> None:
    for path in ("/api/v1/status", "/docs", "/api/v1/nothing"):
        headers = ask(bureau, path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
