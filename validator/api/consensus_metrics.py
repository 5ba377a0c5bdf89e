"""The agreement as Prometheus text, under CometBFT's names.

A PREPARE is its prevote, a COMMIT its precommit, a batch or registry transaction its tx. Every
validator has a power of one.
"""

from collections.abc import Iterable, Mapping

from validator.node.measures import Histogram, Measures

Row = tuple[Mapping[str, str], float]
DELAYS = ("quorum_prevote", "full_prevote", "quorum_precommit", "full_precommit")
LATE = {"prepare": "prevote", "commit": "precommit", "proposal": "proposal"}


def text(measures: Measures, byzantine: int) -> str:
    """Counters and gauges.

    Args:
        measures: what was counted.
        byzantine: validators of whom the ledger tells an offence.
    """
    me = {"validator_address": measures.me}
    power = measures.validators
    gauges: tuple[tuple[str, Iterable[Row]], ...] = (
        ("validators", [({}, power)]),
        ("validators_power", [({}, power)]),
        ("missing_validators", [({}, measures.missing)]),
        ("missing_validators_power", [({}, measures.missing)]),
        ("byzantine_validators", [({}, byzantine)]),
        ("byzantine_validators_power", [({}, byzantine)]),
        ("num_txs", [({}, measures.transactions)]),
        ("block_size_bytes", [({}, measures.block_bytes)]),
        ("validator_last_signed_height", [(me, measures.last_signed)]),
        *(
            (f"{name}_delay", [({}, round(measures.delay_s[name], 6))])
            for name in DELAYS
            if name in measures.delay_s
        ),
    )
    received = [({"status": each}, measures.proposals[each]) for each in ("accepted", "rejected")]
    counters: tuple[tuple[str, Iterable[Row]], ...] = (
        ("total_txs", [({}, measures.total_transactions)]),
        ("validator_missed_blocks", [(me, measures.missed)]),
        ("proposal_create_count", [({}, measures.proposals["created"])]),
        ("proposal_receive_count", received),
        ("late_votes", [({"vote_type": LATE[k]}, measures.late[k]) for k in LATE]),
    )
    return "".join(
        [
            *(_table(name, "gauge", rows) for name, rows in gauges),
            *(_table(name, "counter", rows) for name, rows in counters),
            _histogram("round_duration_seconds", measures.round_s),
            _histogram("block_interval_seconds", measures.interval_s),
        ]
    )


def _table(name: str, kind: str, rows: Iterable[Row]) -> str:
    full = f"gridwitness_consensus_{name}"
    lines = [f"# TYPE {full} {kind}"]
    for labels, value in rows:
        shown = ",".join(f'{label}="{content}"' for label, content in labels.items())
        lines.append(f"{full}{{{shown}}} {value}" if shown else f"{full} {value}")
    return "\n".join(lines) + "\n"


def _histogram(name: str, histogram: Histogram) -> str:
    full, below = f"gridwitness_consensus_{name}", 0
    lines = [f"# TYPE {full} histogram"]
    for bound, count in zip((*histogram.bounds, "+Inf"), histogram.counts, strict=True):
        below += count
        lines.append(f'{full}_bucket{{le="{bound}"}} {below}')
    lines += [f"{full}_sum {round(histogram.total, 6)}", f"{full}_count {histogram.count}"]
    return "\n".join(lines) + "\n"
