"""A household's readings: for the holder of its link and for authorities, for nobody else."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from tests.app.enrolments import NONCE, TECHNICIAN, Enrolment, starts
from tests.app.village import Register, signer
from tests.node.office import Bureau, ask
from wire.access import AccessRequest, HolderSecret
from wire.transaction import Transaction, payload_of
from wire.transaction_bodies import ResiteMeter

SECRET = HolderSecret(bytes(range(32)))
OTHER = HolderSecret(bytes(32))
NEW = "c9"


@pytest.fixture(scope="module")
def bureau(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bureau]:
    """A network whose readings are private; one meter has a holder."""
    bureau = Bureau(tmp_path_factory.mktemp("private"), open_readings=False)
    chain = bureau.chain
    enrolment = Enrolment(chain.genesis, 2, NEW, entry={"holder": SECRET.digest.hex()})
    transaction = enrolment.transaction()
    chain.village.meters[NEW] = Register(dict(transaction.body.entry))  # type: ignore[attr-defined]
    bureau.grow(1, (transaction,))
    bureau.grow(1)
    bureau.grow_with({NEW: (100, 0)}, 2)
    yield bureau
    bureau.close()


def authorization(bureau: Bureau, name: str, ago_s: int = 0, **changes: object) -> dict[str, str]:
    fields = {
        "network": bureau.chain.genesis.network,
        "validator": bureau.chain.me,
        "method": "GET",
        "target": "/api/v1/readings/c1?most=2",
        "time_s": int(time.time()) - ago_s,
    }
    request = AccessRequest(**(fields | changes))  # type: ignore[arg-type]
    return {"Authorization": request.signed(signer(name))}


def test_without_a_link_nothing_of_a_meter_is_told(bureau: Bureau) -> None:
    for path in (f"/api/v1/readings/{NEW}", f"/api/v1/receipts/{NEW}/0"):
        answer = ask(bureau, path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer, GridWitness"
    assert ask(bureau, f"/api/v1/zones/z1/flows?start_s={starts(1)}").status_code == 401
    assert ask(bureau, "/api/v1/zones/z1/seals").status_code == 200


def test_the_holders_link_opens_its_meter_and_no_other(bureau: Bureau) -> None:
    mine = {"Authorization": SECRET.header}
    page = ask(bureau, f"/api/v1/readings/{NEW}", headers=mine)
    assert [each["interval_start_s"] for each in page.json()["items"]] == [starts(2), starts(3)]
    assert page.headers["cache-control"] == "no-store"
    assert ask(bureau, f"/api/v1/receipts/{NEW}/0", headers=mine).status_code == 200
    for path in ("/api/v1/readings/c1", "/api/v1/receipts/c1/0"):
        assert ask(bureau, path, headers=mine).status_code == 401
    assert (
        ask(bureau, f"/api/v1/zones/z1/flows?start_s={starts(1)}", headers=mine).status_code == 401
    )


@pytest.mark.parametrize(
    "header",
    [
        OTHER.header,
        "Bearer",
        "Bearer ",
        "Bearer " + "A" * 100_00,
        f"Basic {SECRET.text}",
        "GridWitness",
        "GridWitness AAAA",
        "Bearer \u00ff",
    ],
)
def test_what_is_no_link_of_the_meter_opens_nothing(bureau: Bureau, header: str) -> None:
    given = [(b"authorization", header.encode("latin-1"))]
    assert ask(bureau, f"/api/v1/readings/{NEW}", headers=given).status_code == 401


def test_a_meter_without_a_holder_is_opened_by_no_link(bureau: Bureau) -> None:
    for secret in (SECRET, OTHER):
        answer = ask(bureau, "/api/v1/readings/c1", headers={"Authorization": secret.header})
        assert answer.status_code == 401


def test_an_authority_reads_by_a_request_that_it_signs(bureau: Bureau) -> None:
    path = "/api/v1/readings/c1?most=2"
    answer = ask(bureau, path, headers=authorization(bureau, "PEA"))
    assert len(answer.json()["items"]) == 2
    flows = f"/api/v1/zones/z1/flows?start_s={starts(1)}"
    header = authorization(bureau, "MEA", target=flows)
    assert ask(bureau, flows, headers=header).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"network": bytes(32)},
        {"validator": "val-other"},
        {"method": "POST"},
        {"target": "/api/v1/readings/c1?most=3"},
        {"target": "/api/v1/readings/c2?most=2"},
        {"ago_s": 120},
        {"ago_s": -120},
    ],
)
def test_a_signed_request_is_good_for_what_it_says_only(
    bureau: Bureau, changes: dict[str, Any]
) -> None:
    header = authorization(bureau, "PEA", **changes)
    assert ask(bureau, "/api/v1/readings/c1?most=2", headers=header).status_code == 401


@pytest.mark.parametrize("name", ["c1", "gw-a", "tech-1", "val", "nobody"])
def test_keys_of_others_than_authorities_open_nothing(bureau: Bureau, name: str) -> None:
    header = authorization(bureau, name)
    assert ask(bureau, "/api/v1/readings/c1?most=2", headers=header).status_code == 401


def test_no_secret_is_ever_logged_or_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], bureau: Bureau
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    with structlog.testing.capture_logs() as logged:
        answers: list[httpx.Response] = []
        for path in (f"/api/v1/readings/{NEW}", f"/api/v1/readings/{SECRET.text}", "/nothing"):
            answers.append(ask(bureau, path, headers={"Authorization": SECRET.header}))
        ledger = bureau.sources.ledger
        before, ledger.readings_of = ledger.readings_of, fails  # type: ignore[method-assign,assignment]
        path = f"/api/v1/readings/{NEW}?after=1"
        answers.append(ask(bureau, path, headers={"Authorization": SECRET.header}))
        ledger.readings_of = before  # type: ignore[method-assign]
    assert answers[-1].status_code == 500
    told = [repr(logged), *capfd.readouterr(), *(each.text for each in answers)]
    assert all(SECRET.text not in each for each in told)
    assert logged[-1]["route"] == "/api/v1/readings/{meter}"


def test_the_next_holder_sees_nothing_of_the_one_before_and_the_other_way_round(
    tmp_path: Path,
) -> None:
    def first_holder(content: dict[str, list[dict[str, object]]]) -> None:
        content["meters"][1]["holder"] = SECRET.digest.hex()

    bureau = Bureau(tmp_path, edit=first_holder, open_readings=False)
    village, genesis = bureau.chain.village, bureau.chain.genesis
    # The same meter at its place, registered otherwise from the interval of slot 2 on.
    made = Enrolment(
        genesis, 2, "c1", record={"node": "n1"}, entry={"node": "n1", "holder": OTHER.digest.hex()}
    ).body()
    body = ResiteMeter(made.entry, made.from_s, made.commissioning)
    change = Transaction.of(payload_of(genesis.network, NONCE, 1_000, body))
    for name in ("c1", TECHNICIAN, "PEA"):
        change = change.with_signature(signer(name))
    bureau.grow(1, (change,))
    bureau.grow(1)
    village.meters["c1"].entry = dict(made.entry)
    bureau.grow(2)
    seen = {}
    for name, secret in (("first", SECRET), ("second", OTHER)):
        header = {"Authorization": secret.header}
        page = ask(bureau, "/api/v1/readings/c1", headers=header).json()
        codes = [
            ask(bureau, f"/api/v1/receipts/c1/{sequence}", headers=header).status_code
            for sequence in range(4)
        ]
        seen[name] = ([each["sequence"] for each in page["items"]], codes)
    bureau.close()
    assert seen == {
        "first": ([0, 1], [200, 200, 404, 404]),
        "second": ([2, 3], [404, 404, 200, 200]),
    }
