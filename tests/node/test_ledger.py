import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.app.village import BOOK, INTERVAL_S, START_S
from tests.node.chain import Chain
from validator.app.application import InvalidBlock
from validator.node import receipts
from validator.node.mempool import MOST_OF_A_GATEWAY, Mempool
from validator.node.receipts import BatchReceipts, Receipts
from validator.node.store import Store
from validator.node.stored import Span, StoredBlock
from wire.block import Block
from wire.light import LightClient
from wire.results import ReadingResult, TxResult, Verdict


def test_a_restart_restores_the_state_from_its_rows(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    for slot in range(3):
        chain.append([chain.interval(slot)], slot)
    chain.store.close()
    store = Store(tmp_path / "ledger.sqlite")
    again = chain.restarted(store)
    assert (again.state.root, again.state.height) == (chain.app.state.root, 3)
    # Both go on to the same next block.
    batch, time_ms = chain.interval(3), (START_S + 4 * INTERVAL_S + 10) * 1000
    arguments = (4, time_ms, [batch.witness.encoded], {batch.batch_id: batch}, BOOK)
    assert (
        again.finalize_block(*arguments).state_root
        == chain.app.finalize_block(*arguments).state_root
    )
    store.close()


def test_a_block_is_stored_whole_or_not_at_all(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    chain.append([chain.interval(0)], 0)
    before = chain.store.fingerprint()
    candidate = chain.candidate([chain.interval(1)], 1)
    commit = chain.seal(candidate)
    spoiled = sqlite3.connect(tmp_path / "ledger.sqlite")
    spoiled.execute(
        "CREATE TRIGGER full_disk BEFORE INSERT ON state BEGIN SELECT RAISE(ABORT, 'full'); END"
    )
    with pytest.raises(sqlite3.IntegrityError):
        chain.store.append(candidate.block, commit, candidate.execution, candidate.batches)
    assert (chain.store.height, chain.store.fingerprint()) == (1, before)
    spoiled.execute("DROP TRIGGER full_disk")
    spoiled.close()
    chain.store.append(candidate.block, commit, candidate.execution, candidate.batches)
    assert chain.store.height == 2
    chain.store.close()


def test_a_proposed_block_and_its_batches_are_kept_until_its_height_is_final(
    tmp_path: Path,
) -> None:
    chain = Chain(tmp_path)
    batch = chain.interval(0)
    proposed = chain.candidate([batch], 0).block
    for _ in range(2):
        chain.store.put_proposed(proposed, [batch])
    chain.store.close()
    chain.store = Store(tmp_path / "ledger.sqlite")
    found = chain.store.batch(batch.batch_id)
    assert found is not None
    assert found.encoded == batch.encoded
    assert chain.store.proposed(proposed.digest) == proposed.encoded
    assert BatchReceipts(chain.store).of(batch.batch_id) is None
    chain.append([batch], 0)
    assert chain.store.proposed(proposed.digest) is None
    chain.store.close()


def test_receipts_from_the_ledger_verify(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    batches = [chain.interval(0)]
    chain.append(batches, 0)
    half = list(chain.village.close(1).values())
    batches += [chain.village.batch(half[:2], 1), chain.village.batch(half[2:], 1)]
    chain.append(batches[1:], 1)
    client = LightClient(chain.genesis.network, chain.genesis.validators)
    files = Receipts(chain.genesis, chain.app, chain.store)
    for batch in batches:
        answer = BatchReceipts(chain.store).of(batch.batch_id)
        assert answer is not None
        assert {each.code for each in answer.verify(client, batch.witness, batch.readings)} == {0}
    for meter in chain.village.meters:
        for stored in chain.store.readings_of(meter, Span()):
            receipt = files.receipt(meter, stored.sequence)
            assert receipt is not None
            verified = receipt.verify(chain.genesis)
            assert verified.reading.interval_start_s == stored.start_s
            assert verified.zone_seal is not None
            assert verified.zone_seal.verdict == Verdict.BALANCED
    assert files.receipt("c1", 2) is None
    chain.store.close()


def test_receipts_of_one_block_read_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts, "KEPT_BLOCKS", 2)
    chain = Chain(tmp_path)
    read: list[int] = []
    block = chain.store.block

    def counted(height: int) -> StoredBlock | None:
        read.append(height)
        return block(height)

    monkeypatch.setattr(chain.store, "block", counted)
    made, batches = BatchReceipts(chain.store), []
    client = LightClient(chain.genesis.network, chain.genesis.validators)
    for slot in range(3):
        readings = list(chain.village.close(slot).values())
        batches += [chain.village.batch([each], slot) for each in readings]
        chain.append(batches[-len(readings) :], slot)
        read.clear()
        for batch in batches[-len(readings) :]:
            answer = made.of(batch.batch_id)
            assert answer is not None
            answer.verify(client, batch.witness, batch.readings)
        assert read == [slot + 1]
    assert made.of(batches[-1].batch_id) is not None
    assert read == [3]
    assert made.of(batches[0].batch_id) is not None
    assert read == [3, 1]
    chain.store.close()


def test_a_block_is_checked_field_by_field(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    chain.append([chain.interval(0)], 0)
    candidate = chain.candidate([chain.interval(1)], 1)
    header = candidate.block.content
    chain.blocks.check(chain.tip, candidate.block, candidate.batches)
    changes: dict[str, Any] = {
        "height": 3,
        "network": bytes(32),
        "time_ms": chain.tip.time_ms,
        "parent": bytes(32),
        "proposer": "val-stranger",
        "validators_hash": bytes(32),
        "next_validators_hash": bytes(32),
        "params_hash": bytes(32),
        "results_root": bytes(32),
        "zone_root": bytes(32),
        "evidence_hash": bytes(32),
        "state_root": bytes(32),
    }
    for name, value in changes.items():
        wrong = replace(header, **{name: value})
        block = Block(wrong.encoded, candidate.block.transactions, candidate.block.parent_commit)
        with pytest.raises(InvalidBlock):
            chain.blocks.check(chain.tip, block, candidate.batches)
    chain.store.close()


@pytest.mark.parametrize(
    ("early_ms", "good"), [(500, True), (501, False), (-15_500, True), (-15_501, False)]
)
def test_a_new_blocks_time_is_near_ones_own_clock(
    tmp_path: Path, early_ms: int, good: bool
) -> None:
    chain = Chain(tmp_path)
    block = chain.candidate([], 0).block
    now_ms = block.content.time_ms - early_ms
    if good:
        chain.blocks.check_time(block, now_ms)
    else:
        with pytest.raises(InvalidBlock):
            chain.blocks.check_time(block, now_ms)
    chain.store.close()


def test_a_flood_of_one_gateway_leaves_room_for_others(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    mempool = Mempool()
    batch = chain.interval(0)
    full = MOST_OF_A_GATEWAY // len(batch.readings)
    flood = [chain.village.batch(batch.readings, 0) for _ in range(full + 1)]
    assert [mempool.add(each) for each in flood] == [True] * full + [False]
    assert mempool.add(chain.village.batch(batch.readings, 0, gateway="gw-b"))
    mempool.remove(flood[0].batch_id)
    assert mempool.add(flood[-1])
    chain.store.close()


@pytest.mark.parametrize("name", ["sequence", "import_wh", "status", "boots"])
def test_a_number_that_no_ledger_holds_refuses_the_reading_and_stops_nobody(
    tmp_path: Path, name: str
) -> None:
    chain = Chain(tmp_path)
    meter = chain.village.meters["c1"]
    past, largest = (
        meter.sign(meter.reading(0, 500, 0, **{name: value})) for value in (2**63, 2**63 - 1)
    )
    chain.append([chain.village.batch([past, largest], 0)], 0)
    stored = chain.store.result(TxResult.decode(chain.store.tx_results(1)[0]).tx_id)
    assert stored is not None
    codes = [ReadingResult.decode(each).code for each in stored.reading_results]
    assert codes[0] == 10
    assert len(chain.store.readings_of("c1", Span())) == codes.count(0) <= 1
    chain.store.close()
