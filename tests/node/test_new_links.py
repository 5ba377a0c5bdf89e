"""Another link for a household: the old one stops, for all time when others may have it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.app.enrolments import TECHNICIAN, Enrolment, starts
from tests.app.registry_kinds import signed
from tests.node.office import Bureau, ask
from wire.access import HolderSecret
from wire.transaction import Transaction
from wire.transaction_bodies import LEAKED, MOVED, ChangeHolder, Entry, ResiteMeter, Withdraw

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


def refusal(bureau: Bureau, transaction: Transaction) -> str:
    """Why a validator does not take a transaction; "" when it does."""
    content = {"content": transaction.encoded, "headers": {"Content-Type": "application/cbor"}}
    answer = ask(bureau, "/api/v1/transactions", "POST", **content)
    return "" if answer.status_code == 202 else str(answer.json()["reason"])


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


def test_who_waits_for_another_link_gets_the_own_time_back_and_no_other(bureau: Bureau) -> None:
    bureau.grow(1, (change(bureau, SECOND, 2, MOVED),))
    bureau.grow(2)
    bureau.grow(1, (change(bureau, None, 5, LEAKED),))
    bureau.grow(1)
    assert (opened(bureau, FIRST), opened(bureau, SECOND)) == ([0, 1], [])
    bureau.grow(1, (change(bureau, THIRD, 7, LEAKED),))
    bureau.grow(2)
    assert (opened(bureau, FIRST), opened(bureau, THIRD)) == ([0, 1], [2, 3, 4, 5, 6, 7])
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
        (lambda: ChangeHolder("c2", SECOND.digest, starts(2), LEAKED), "unfit-entry"),
    ],
    ids=["an unknown meter", "the same link", "none where none is", "none that can have leaked"],
)
def test_what_changes_no_link_is_refused(
    bureau: Bureau, body: Callable[[], ChangeHolder], why: str
) -> None:
    assert refusal(bureau, signed(body(), ["PEA"], bureau.chain.genesis)) == why
    bureau.close()


@pytest.mark.parametrize(("number", "secret"), [(1, FIRST), (3, FIRST)], ids=["signs", "is read"])
def test_a_link_that_was_changed_comes_back_with_no_entry(
    bureau: Bureau, number: int, secret: HolderSecret
) -> None:
    """Whoever sites a meter anew from an old entry does not open it to the old link."""
    genesis = bureau.chain.genesis
    entry = dict(genesis.registry["meters"][number])
    name = str(entry["id"])
    for slot, link in ((2, secret), (3, SECOND), (4, THIRD)):
        first = name != "c1" and link == secret
        body = ChangeHolder(name, link.digest, starts(slot), MOVED if first else LEAKED)
        if (name, link) != ("c1", FIRST):  # That one it has from the genesis file.
            bureau.grow(1, (signed(body, ["PEA"], genesis, nonce=bytes([slot]) * 16),))

    def sited(link: HolderSecret) -> Transaction:
        if entry["key"]:
            changed = {"holder": link.digest.hex(), "node": "n2"}
            made = Enrolment(
                genesis, meter=name, from_s=starts(9), record={"node": "n2"}, entry=changed
            ).body()
            anew = ResiteMeter(made.entry, made.from_s, made.commissioning)
            return signed(anew, (name, TECHNICIAN, "PEA"), genesis)
        changed = {**entry, "holder": link.digest.hex()}
        body = Entry("change-meter", changed, starts(9))
        return signed(body, ("gw-a reader", TECHNICIAN, "PEA"), genesis)

    assert [refusal(bureau, sited(link)) for link in (secret, SECOND, THIRD)] == [
        *("unfit-entry", "unfit-entry", "")
    ]
    back = ChangeHolder(name, secret.digest, starts(9), MOVED)
    assert refusal(bureau, signed(back, ["PEA"], genesis)) == "unfit-entry"
    bureau.close()
