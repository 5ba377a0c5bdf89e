"""A household's readings: for the holder of its link and for authorities, for nobody else."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import structlog

from tests.app.enrolments import Enrolment, starts
from tests.app.village import Register, signer
from tests.node.office import Bureau, ask
from wire.access import AccessRequest, HolderSecret

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


def authorization(bureau: Bureau, name: str, **changes: object) -> dict[str, str]:
    fields = {
        "network": bureau.chain.genesis.network,
        "validator": bureau.chain.me,
        "method": "GET",
        "target": "/api/v1/readings/c1?most=2",
        "time_s": int(time.time()),
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
        {"time_s": int(time.time()) - 120},
        {"time_s": int(time.time()) + 120},
    ],
)
def test_a_signed_request_is_good_for_what_it_says_only(
    bureau: Bureau, changes: dict[str, object]
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
