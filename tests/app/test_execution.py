"""Blocks: what may stand in one, and that executing one changes nothing until it is committed."""

import hashlib
from typing import Any

import pytest

from tests.app.village import BOOK, INTERVAL_S, SITE, START_S, Village, names, signer
from validator.app.carrier import RefusedBatch
from validator.app.execution import InvalidBlock
from wire import cbor, merkle
from wire.block import transactions_root
from wire.errors import Unavailable
from wire.keys import ES256, SoftSigner
from wire.results import REASONS, ReadingResult, TxResult, ZoneSeal
from wire.witness import Batch, WitnessPosition

CARRIER_FAULTS = [
    pytest.param({"gateway": "gw-x"}, "unknown-gateway", id="stranger"),
    pytest.param({"network": "other-00000000"}, "other-network", id="another network"),
    pytest.param({"position": None}, "no-position", id="no position"),
    pytest.param(
        {"position": WitnessPosition(*SITE, 20, 3_601, 1)}, "stale-position", id="old position"
    ),
    pytest.param(
        {"position": WitnessPosition(SITE[0] + 20_000, SITE[1], 20, 5, 1)},
        "outside-site",
        id="another place",
    ),
]


def one_batch(village: Village, **changes: Any) -> Batch:
    return village.batch([village.meters["c1"].close(0, 500, 0)], 0, **changes)


def refusal(village: Village, batch: Batch) -> str:
    with pytest.raises(RefusedBatch) as caught:
        village.check(batch)
    return REASONS[caught.value.reason].name


@pytest.mark.parametrize(("changes", "reason"), CARRIER_FAULTS)
def test_a_carriers_fault_refuses_the_batch_and_makes_a_block_invalid(
    changes: dict[str, Any], reason: str
) -> None:
    village = Village()
    batch = one_batch(village, **changes)
    assert refusal(village, batch) == reason
    with pytest.raises(InvalidBlock):
        village.execute([batch], 0)


@pytest.mark.parametrize("key", [signer("gw-b"), SoftSigner.generate(ES256)])
def test_only_the_gateways_own_key_witnesses(key: SoftSigner) -> None:
    village = Village()
    batch = one_batch(village, key=key)
    assert refusal(village, batch) == "unknown-witness-key"
    with pytest.raises(InvalidBlock):
        village.execute([batch], 0)


def test_the_signature_in_the_block_counts_not_the_one_at_hand() -> None:
    village = Village()
    batch = one_batch(village)
    forged = bytearray(batch.witness.encoded)
    forged[-1] ^= 1
    with pytest.raises(InvalidBlock, match="signature"):
        village.app.finalize_block(
            1, (START_S + 1000) * 1000, [bytes(forged)], {batch.batch_id: batch}, BOOK
        )


def test_a_position_within_the_radius_stands() -> None:
    village = Village()
    north = WitnessPosition(SITE[0] + 17_000, SITE[1], 20, 5, 1)
    village.check(one_batch(village, position=north))


def test_a_witness_ahead_of_block_time_makes_the_block_invalid_and_is_not_picked() -> None:
    village = Village()
    batch = one_batch(village)
    village.check(batch)
    witnessed_ms = batch.witness.statement.witnessed_at_s * 1000
    transactions = [batch.witness.encoded]
    batches = {batch.batch_id: batch}
    assert village.pick(witnessed_ms - 2_001, [batch]) == []
    with pytest.raises(InvalidBlock, match="ahead"):
        village.app.finalize_block(1, witnessed_ms - 2_001, transactions, batches, BOOK)
    assert village.pick(witnessed_ms - 2_000, [batch]) == [batch]
    village.app.finalize_block(1, witnessed_ms - 2_000, transactions, batches, BOOK)


def test_a_batch_stands_once() -> None:
    village = Village()
    batch = one_batch(village)
    with pytest.raises(InvalidBlock, match="already"):
        village.execute([batch, batch], 0)
    village.commit([batch], 0)
    assert village.app.included("gw-a", 0) == batch.batch_id
    assert village.pick((START_S + 2000) * 1000, [batch]) == []
    village.check(batch)
    with pytest.raises(InvalidBlock, match="already"):
        village.execute([batch], 0)


def test_another_batch_under_a_used_sequence_is_witness_equivocation() -> None:
    village = Village()
    batch = one_batch(village)
    other = village.batch([village.meters["c2"].close(0, 300, 0)], 0, sequence=0)
    assert village.pick((START_S + 2000) * 1000, [batch, other]) in ([batch], [other])
    village.commit([batch], 0)
    assert refusal(village, other) == "witness-equivocation"
    with pytest.raises(InvalidBlock, match="already"):
        village.execute([other], 0)


def test_what_is_not_here_is_unavailable_and_not_invalid() -> None:
    village = Village()
    batch = one_batch(village)
    with pytest.raises(Unavailable):
        village.app.finalize_block(1, (START_S + 1000) * 1000, [batch.witness.encoded], {}, BOOK)


@pytest.mark.parametrize("transaction", [b"", b"garbage", cbor.encode(cbor.Tag(98, [b"", 1]))])
def test_a_transaction_of_no_known_kind_makes_the_block_invalid(transaction: bytes) -> None:
    village = Village()
    with pytest.raises(InvalidBlock, match=r"no witness statement|a registry transaction"):
        village.app.finalize_block(1, START_S * 1000, [transaction], {}, BOOK)


def test_batches_are_picked_oldest_interval_first_while_they_fit() -> None:
    village = Village()
    days = [list(village.close(slot).values()) for slot in range(4)]
    batches = [village.batch(readings, 3) for readings in reversed(days)]
    now_ms = (START_S + 4 * INTERVAL_S + 10) * 1000
    assert village.pick(now_ms, batches) == batches[::-1]
    assert village.pick(now_ms, batches, 14) == [batches[3], batches[2]]
    assert village.pick(now_ms, batches[::-1], 4) == []


def test_a_proposal_of_what_was_picked_is_valid() -> None:
    village = Village()
    batches = [village.batch(village.close(slot).values(), slot) for slot in range(3)]
    picked = village.pick((START_S + 3 * INTERVAL_S + 10) * 1000, [*batches, batches[0]])
    assert names(village.execute(picked, 2)) == [["accepted"] * 5] * 3


def test_executing_changes_nothing_and_twice_gives_the_same() -> None:
    village = Village()
    batch = village.batch(village.close(0).values(), 0)
    root = village.app.state.root
    first, second = village.execute([batch], 0), village.execute([batch], 0)
    assert first == second
    assert village.app.state.root == root != first.state_root
    village.app.commit(first)
    assert (village.app.state.root, village.app.state.height) == (first.state_root, 1)


def test_an_execution_of_another_state_cannot_be_committed() -> None:
    village = Village()
    readings = list(village.close(0).values())
    one, other = (village.execute([village.batch([each], 0)], 0) for each in readings[:2])
    village.app.commit(one)
    with pytest.raises(AssertionError):
        village.app.commit(other)


def test_the_roots_are_those_that_receipts_prove_under() -> None:
    village = Village()
    batches = [village.batch([x], 0) for x in village.close(0).values()]
    execution = village.execute(batches, 0)
    assert execution.tx_root == transactions_root([x.witness.encoded for x in batches])
    for batch, tx_result, results in zip(
        batches, execution.tx_results, execution.reading_results, strict=True
    ):
        found = TxResult.decode(tx_result)
        assert found.tx_id == batch.batch_id
        assert found.witness_thumbprint == signer("gw-a").public.thumbprint
        assert found.readings_root == merkle.root([merkle.leaf_hash(x) for x in results])
        reading_hash = hashlib.sha256(batch.readings[0]).digest()
        assert ReadingResult.decode(results[0]).reading_hash == reading_hash
    leaves = [merkle.leaf_hash(result) for result in execution.tx_results]
    assert execution.results_root == merkle.root(leaves)
    assert execution.zone_root == merkle.root([merkle.leaf_hash(x) for x in execution.seals])
    (inputs,) = execution.seal_inputs
    inputs_root = merkle.root([merkle.leaf_hash(digest) for digest in inputs])
    assert ZoneSeal.decode(execution.seals[0]).inputs_root == inputs_root
    assert set(inputs) == {hashlib.sha256(x.readings[0]).digest() for x in batches}


def test_the_state_is_restored_from_its_rows_in_any_order() -> None:
    village = Village()
    rows: dict[tuple[str, bytes], bytes] = {}
    for slot in range(3):
        execution = village.execute([village.batch(village.close(slot).values(), slot)], slot)
        village.app.commit(execution)
        rows.update({(table, row): value for table, row, value in execution.writes if value})
    following = village.batch(village.close(3).values(), 3)
    expected = village.execute([following], 3)
    for order in (sorted(rows), sorted(rows, reverse=True)):
        twin = Village()
        twin.app.restore([(table, row, rows[table, row]) for table, row in order])
        assert (twin.app.state.root, twin.app.state.height) == (village.app.state.root, 3)
        assert twin.execute([following], 3) == expected


def test_more_batches_than_are_kept_decoded_give_the_same_results() -> None:
    village = Village()
    reading = village.meters["c1"].close(0, 500, 0)
    batches = [village.batch([reading, *[b"garbage"] * 899], 0) for _ in range(15)]
    parts = [batches[at : at + 5] for at in range(0, 15, 5)]
    found = [names(village.execute(part, 0)) for part in (*parts, *parts)]
    assert found[:3] == found[3:]
    with pytest.raises(InvalidBlock, match="5000"):
        village.execute(batches[:6], 0)
