"""Registry transactions between their parties and a block: kept, forwarded, bounded, forgotten."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.app.enrolments import NEW, TECHNICIAN, Enrolment, enrol, retire, starts
from tests.app.registry_kinds import GENESIS
from tests.app.village import BOOK, block_ms, signer
from tests.node.chain import Chain
from validator.app.application import RefusedTransaction
from validator.node.evidence_pool import EvidencePool
from validator.node.exchange import Exchange
from validator.node.mempool import MOST_CHANGES, MOST_DECISIONS, Mempool
from validator.node.receipts import BatchReceipts, Receipts
from validator.node.registrar import MOST_REMEMBERED, Registrar
from validator.node.store import Store
from validator.node.verification import Keyring
from wire.errors import Malformed, Unavailable
from wire.governance import ChangeParameters
from wire.light import LightClient
from wire.transaction import Transaction, payload_of


class Clock:
    """Network time as the test sets it."""

    def __init__(self) -> None:
        self.slot = 0

    def now_ms(self) -> int:
        return block_ms(self.slot)


class Office:
    """A validator's registrar over a ledger."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.chain = Chain(folder)
        self.clock = Clock()
        self.sent: list[list[Any]] = []
        self.nudged = 0
        self.open()

    def open(self) -> None:
        """Start, as after an end of the process."""
        self.mempool = Mempool()
        chain = self.chain
        self.registrar = Registrar(chain.app, self.mempool, chain.store, BOOK, self.clock)
        self.registrar.forward = self.sent.append
        self.registrar.nudge = self._nudge

    def _nudge(self) -> None:
        self.nudged += 1

    def reopen(self) -> None:
        self.chain.store.close()
        self.chain.store = Store(self.folder / "ledger.sqlite")
        self.open()

    def append(self, slot: int) -> None:
        """A block with what waits."""
        self.clock.slot = slot
        candidate = self.chain.append([], slot, self.mempool.changes())
        self.registrar.look_again(candidate.block.content.time_ms)

    def status(self, transaction: Transaction) -> dict[str, Any]:
        return self.registrar.status(transaction.id) or {}


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.chain.store.close()


def test_what_is_taken_is_forwarded_once_and_asks_for_a_block(office: Office) -> None:
    transaction = enrol(office.chain.village, 2)
    for _ in range(2):
        assert office.registrar.submit(transaction.encoded).id == transaction.id
        office.registrar.hear("val-2", transaction.encoded)
    assert office.sent == office.registrar.waiting() == [["transaction", transaction.encoded]]
    assert office.nudged == 1
    assert office.status(transaction) == {"status": "waiting"}


def test_what_is_final_waits_no_longer(office: Office) -> None:
    transaction = enrol(office.chain.village, 2)
    office.registrar.submit(transaction.encoded)
    office.append(0)
    assert (office.registrar.waiting(), len(office.mempool)) == ([], 0)
    found = office.status(transaction)
    assert (found["status"], found["height"], found["code"]) == ("final", 1, 0)
    office.reopen()
    assert office.registrar.waiting() == []


def test_what_waits_survives_an_end_and_a_loss_of_power_before_it_was_forgotten(
    office: Office,
) -> None:
    transaction = enrol(office.chain.village, 2)
    office.registrar.submit(transaction.encoded)
    office.reopen()
    assert office.status(transaction) == {"status": "waiting"}
    office.chain.append([], 0, [transaction])  # The process ends before it looks again.
    office.reopen()
    office.append(1)
    assert office.chain.store.waiting() == []
    assert office.status(transaction)["status"] == "final"


def test_another_validators_word_is_checked_and_its_nonsense_cuts_it_off(office: Office) -> None:
    wrong = Enrolment(office.chain.genesis, signers=(NEW, TECHNICIAN)).transaction()
    office.registrar.hear("val-2", wrong.encoded)
    assert office.registrar.waiting() == []
    with pytest.raises(RefusedTransaction):
        office.registrar.submit(wrong.encoded)
    with pytest.raises(Malformed):
        office.registrar.hear("val-2", wrong.encoded[:-1])


def test_what_became_impossible_is_forgotten_and_its_reason_remembered(office: Office) -> None:
    late = Enrolment(office.chain.genesis, 2).transaction()
    soon = Enrolment(office.chain.genesis, 3, expiry_height=1, meter="c8").transaction()
    for each in (late, soon):
        office.registrar.submit(each.encoded)
    office.clock.slot = 2
    candidate = office.chain.append([], 2)
    office.registrar.look_again(candidate.block.content.time_ms)
    assert office.status(late)["reason"] == "from-has-passed"
    assert office.status(soon)["reason"] == "transaction-expired"
    assert office.chain.store.waiting() == []


def test_a_later_block_is_later_than_the_newest(office: Office) -> None:
    transaction = Enrolment(office.chain.genesis, 2).transaction()
    office.registrar.submit(transaction.encoded)
    office.registrar.look_again(starts(2) * 1000 - 1)
    assert office.status(transaction) == {"status": "waiting"}
    office.registrar.look_again(starts(2) * 1000)
    assert office.status(transaction)["reason"] == "from-has-passed"


def test_what_no_rule_can_read_is_forgotten_and_who_cannot_look_forgets_nothing(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    transaction = Enrolment(office.chain.genesis, 2).transaction()
    office.registrar.submit(transaction.encoded)
    app = office.chain.app

    def answering(reason: Exception) -> None:
        def look(*_: object) -> None:
            raise reason

        monkeypatch.setattr(app, "check_tx", look)

    answering(Unavailable("the state cannot be read"))
    with pytest.raises(Unavailable):
        office.registrar.look_again(0)
    assert office.status(transaction) == {"status": "waiting"}
    answering(Malformed("nobody can read it"))
    office.registrar.look_again(0)
    assert office.status(transaction)["reason"] == "malformed-transaction"
    assert office.chain.store.waiting() == []


class Links:
    """A mesh that writes down what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, list[Any]]] = []
        self.on_connect: Callable[[str], None] = lambda _: None

    def send(self, peer: str, frame: list[Any]) -> None:
        self.sent.append((peer, frame))

    def broadcast(self, frame: list[Any]) -> None:
        self.send("all", frame)


def test_who_connects_is_told_what_waits_and_all_are_told_what_comes(office: Office) -> None:
    links, village = Links(), office.chain.village
    driver = SimpleNamespace(tip=office.chain.tip, pace=None)
    chain = office.chain
    pool = EvidencePool(chain.blocks, office.mempool, chain.store)
    ears = SimpleNamespace(registrar=office.registrar, evidence=pool)
    exchange = Exchange(cast(Any, links), cast(Any, driver), cast(Any, ears))
    first, second = (enrol(village, 2, meter).encoded for meter in ("c7", "c8"))
    exchange.handle("val-2", ["transaction", first])
    links.on_connect("val-3")
    office.registrar.submit(second)
    assert [each for each in links.sent if each[1][0] == "transaction"] == [
        ("all", ["transaction", first]),
        ("val-3", ["transaction", first]),
        ("all", ["transaction", second]),
    ]
    for wrong in (["transaction"], ["transaction", 1], ["transaction", first, 1]):
        with pytest.raises(Malformed):
            exchange.handle("val-2", wrong)


def test_of_two_that_exclude_each_other_the_loser_is_told_why(office: Office) -> None:
    one = Enrolment(office.chain.genesis, 2).transaction()
    other = Enrolment(office.chain.genesis, 3).transaction()
    for each in (other, one):
        office.registrar.submit(each.encoded)
    office.append(0)
    assert office.status(one)["status"] == "final"
    assert office.status(other)["reason"] == "meter-id-taken"


def test_one_operators_flood_leaves_room_for_what_authorities_decide() -> None:
    mempool = Mempool()
    flood = [retire(GENESIS, "c1", 2 + number, "PEA") for number in range(MOST_CHANGES + 1)]
    assert [mempool.add_change(each) for each in flood] == [True] * MOST_CHANGES + [False]
    for number in range(MOST_DECISIONS + 1):
        body = ChangeParameters(bytes(32), (("reach_m", number),))
        decision = Transaction.of(payload_of(GENESIS.network, bytes(16), 1_000, body))
        assert mempool.add_change(decision) == (number < MOST_DECISIONS)
    assert mempool.add_change(flood[0]), "it waits already"


def test_so_many_wait_and_so_many_refusals_are_remembered(office: Office) -> None:
    genesis = office.chain.genesis
    many = [retire(genesis, "c1", 2 + number, "PEA") for number in range(MOST_CHANGES + 1)]
    for each in many[:-1]:
        office.registrar.submit(each.encoded)
    with pytest.raises(Unavailable, match="too many"):
        office.registrar.submit(many[-1].encoded)
    office.append(0)
    assert office.status(many[0])["status"] == "final"
    assert {office.status(each)["status"] for each in many[1:-1]} == {"refused"}
    assert len(office.mempool) == 0
    assert MOST_REMEMBERED >= MOST_CHANGES


def test_receipts_of_a_block_with_transactions_verify(office: Office) -> None:
    chain = office.chain
    batch = chain.interval(0)
    chain.append([batch], 0, [enrol(chain.village, 2)])
    answer = BatchReceipts(chain.store).of(batch.batch_id)
    assert answer is not None
    client = LightClient(chain.genesis.network, chain.genesis.validators)
    assert {each.code for each in answer.verify(client, batch.witness, batch.readings)} == {0}
    receipt = Receipts(chain.genesis, chain.app, chain.store).receipt("c1", 0)
    assert receipt is not None
    assert receipt.verify(chain.genesis).zone_seal is not None
    assert chain.store.batches_at(1) == [batch.encoded]


def test_signatures_of_an_enrolled_meter_are_checked_beforehand(office: Office) -> None:
    keyring = Keyring(office.chain.app)
    before = keyring.keys()
    assert keyring.keys() is before
    office.chain.append([], 0, [enrol(office.chain.village, 2)])
    own = signer(NEW).public
    assert own.kid not in before
    assert keyring.keys()[own.kid] == own
