"""Another link for a household: the old one stops, for all time when others may have it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.app.enrolments import starts
from tests.app.registry_kinds import signed
from tests.node.office import Bureau, ask
from wire.access import HolderSecret
from wire.transaction import Transaction
from wire.transaction_bodies import LEAKED, MOVED, ChangeHolder, Withdraw

FIRST, SECOND, THIRD = (HolderSecret(bytes([number]) * 32) for number in range(3))


@pytest.fixture
def bureau(tmp_path: Path) -> Bureau:
    """A network whose readings are private; c1's household has had a link from the beginning."""

    def linked(content: dict[str, list[dict[str, str]]]) -> None:
        content["meters"][1]["holder"] = FIRST.digest.hex()

    return Bureau(tmp_path, edit=linked, open_readings=False)


def change(bureau: Bureau, secret: HolderSecret | None, slot: int, cause: str) -> Transaction:
    digest = b"" if secret is None else secret.digest
    body = ChangeHolder("c1", digest, starts(slot), cause)
    return signed(body, ["PEA"], bureau.chain.genesis)


def opened(bureau: Bureau, secret: HolderSecret) -> list[int]:
    """Numbers of the intervals that a link opens."""
    answer = ask(bureau, "/api/v1/readings/c1", headers={"Authorization": secret.header})
    if answer.status_code == 401:
        return []
    found = [each["interval_start_s"] for each in answer.json()["items"]]
    return [slot for slot in range(9) if starts(slot) in found]


def test_a_leaked_link_opens_nothing_any_more_and_the_new_one_all_that_it_did(
    bureau: Bureau,
) -> None:
    bureau.grow(1, (change(bureau, SECOND, 2, LEAKED),))
    assert (opened(bureau, FIRST), opened(bureau, SECOND)) == ([], [0]), "with the block"
    bureau.grow(3)
    assert (opened(bureau, FIRST), opened(bureau, SECOND)) == ([], [0, 1, 2, 3])
    bureau.grow(1, (change(bureau, THIRD, 6, LEAKED),))
    assert [opened(bureau, each) for each in (FIRST, SECOND, THIRD)] == [[], [], [0, 1, 2, 3, 4]]
    bureau.close()


def test_each_household_reads_its_own_time(bureau: Bureau) -> None:
    bureau.grow(1, (change(bureau, SECOND, 2, MOVED),))
    bureau.grow(3)
    assert (opened(bureau, FIRST), opened(bureau, SECOND)) == ([0, 1], [2, 3])
    bureau.grow(1, (change(bureau, THIRD, 6, LEAKED),))
    bureau.grow(2)
    of_each = [opened(bureau, each) for each in (FIRST, SECOND, THIRD)]
    assert of_each == [[0, 1], [], [2, 3, 4, 5, 6]], "the one before has not lost his"
    bureau.close()


@pytest.mark.parametrize(
    ("cause", "left"), [(MOVED, [0, 1]), (LEAKED, [])], ids=["moved", "leaked"]
)
def test_a_household_can_be_left_without_a_link(
    bureau: Bureau, cause: str, left: list[int]
) -> None:
    bureau.grow(1, (change(bureau, None, 2, cause),))
    bureau.grow(3)
    assert opened(bureau, FIRST) == left
    bureau.close()


def test_a_new_link_that_is_withdrawn_leaves_the_old_one(bureau: Bureau) -> None:
    coming = change(bureau, SECOND, 3, LEAKED)
    bureau.grow(1, (coming,))
    assert opened(bureau, FIRST) == []
    bureau.grow(1, (signed(Withdraw(coming.id), ["PEA"], bureau.chain.genesis),))
    bureau.grow(2)
    assert (opened(bureau, FIRST), opened(bureau, SECOND)) == ([0, 1, 2, 3], [])
    bureau.close()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (lambda: ChangeHolder("c9", SECOND.digest, starts(2), LEAKED), "meter-not-registered"),
        (lambda: ChangeHolder("c1", FIRST.digest, starts(2), LEAKED), "unfit-entry"),
        (lambda: ChangeHolder("c2", b"", starts(2), MOVED), "unfit-entry"),
    ],
    ids=["an unknown meter", "the same link", "none where none is"],
)
def test_what_changes_no_link_is_refused(
    bureau: Bureau, body: Callable[[], ChangeHolder], why: str
) -> None:
    transaction = signed(body(), ["PEA"], bureau.chain.genesis)
    content = {"content": transaction.encoded, "headers": {"Content-Type": "application/cbor"}}
    answer = ask(bureau, "/api/v1/transactions", "POST", **content)
    assert (answer.status_code, answer.json()["reason"]) == (422, why)
    bureau.close()
