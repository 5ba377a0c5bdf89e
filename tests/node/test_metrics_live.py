"""What Prometheus reads from a running validator is what its ledger holds."""

import re

from tests.node.town import GatewayClient, Town, wait_for
from validator.node.store import Store

PREFIX = "gridwitness_consensus_"
METRICS = (
    *("height", "rounds", "validators", "missing_validators", "byzantine_validators", "num_txs"),
    *("total_txs", "block_size_bytes", "quorum_prevote_delay", "quorum_precommit_delay"),
    *("round_duration_seconds_count", "block_interval_seconds_sum", "proposal_create_count"),
    *("latest_block_time_ms", "clock_off_seconds", "halted"),
)


def metrics(town: Town, name: str) -> dict[str, float]:
    """The page's samples without labels, by their names without our prefix."""
    status, page = town.get(name, "/metrics")
    assert status == 200
    samples = re.findall(rf"^{PREFIX}(\w+) (\S+)$", page.decode(), re.MULTILINE)
    return {key: float(value) for key, value in samples}


def test_metrics_agree_with_the_ledger(town: Town, gateway: GatewayClient) -> None:
    for _ in range(4):
        assert gateway.settle(gateway.interval()) == ["accepted"] * 5
    wait_for("its four blocks are real", lambda: metrics(town, "val-1")["total_txs"] == 4)
    found = metrics(town, "val-1")
    wait_for("all seals come in", lambda: metrics(town, "val-1")["missing_validators"] == 0)
    assert [name for name in METRICS if name not in found] == []
    town.stop("val-1")  # What it has told last is of its newest block but a few.
    store = Store(town.home("val-1") / "data" / "ledger.sqlite")
    try:
        blocks = [store.block(height) for height in range(1, int(found["height"]) + 1)]
    finally:
        store.close()
    held = [each.block for each in blocks if each is not None]
    newest = held[-1]
    assert found["latest_block_time_ms"] == newest.content.time_ms
    assert (found["num_txs"], found["block_size_bytes"]) == (
        len(newest.transactions),
        len(newest.encoded),
    )
    assert found["total_txs"] == sum(len(block.transactions) for block in held) == 4
    assert found["round_duration_seconds_count"] >= len(held)
    passed_s = (newest.content.time_ms - held[0].content.time_ms) / 1000
    assert abs(found["block_interval_seconds_sum"] - passed_s) < 0.01
    assert 0 < found["quorum_prevote_delay"] < found["quorum_precommit_delay"] < 10
    assert (found["validators"], found["byzantine_validators"], found["halted"]) == (4, 0, 0)
    own = sum(block.content.proposer == "val-1" for block in held)
    assert found["proposal_create_count"] >= own
