"""Replays a block log and prints each block's roots: the same on every Python, in any order.

`python -m tests.app.replay FILE SEED` needs no test tool, only what the validators' rules need.
A log is CBOR: [genesis file's text, [[time_ms, [transaction, …], [batch, …]], …]].
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random

from validator.app.application import Application
from wire import cbor
from wire.errors import BadSignature
from wire.genesis import Genesis
from wire.keys import PublicKey
from wire.witness import Batch

Block = tuple[int, list[bytes], list[bytes]]
"""Network time in milliseconds, transactions, encoded batches."""


class Checked:
    """Checks every signature when asked."""

    def stands(self, public: PublicKey, message: bytes, signature: bytes) -> bool:
        try:
            public.verify(message, signature)
        except BadSignature:
            return False
        return True


def encode_log(genesis: str, blocks: Sequence[Block]) -> bytes:
    return cbor.encode([genesis, [list(block) for block in blocks]])


def decode_log(data: bytes) -> tuple[str, list[Block]]:
    genesis, blocks = cbor.decode(data)
    return genesis, [(time_ms, changes, batches) for time_ms, changes, batches in blocks]


def replay(genesis: str, blocks: Iterable[Block], seed: int) -> list[str]:
    """Execute every block twice, on a state that is taken from its rows in an order of chance."""
    chance, app = Random(seed), Application(Genesis.from_json(genesis))
    rows: dict[tuple[str, bytes], bytes] = {}
    told = []
    for time_ms, transactions, encoded in blocks:
        batches = [Batch.open(each) for each in encoded]
        chance.shuffle(batches)
        by_id = {batch.batch_id: batch for batch in batches}
        arguments = app.state.height + 1, time_ms, transactions, by_id, Checked()
        execution = app.finalize_block(*arguments)
        assert app.finalize_block(*arguments).writes == execution.writes, (
            "executed twice, two results"
        )
        for table, row, value in execution.writes:
            if value is None:
                rows.pop((table, row), None)
            else:
                rows[table, row] = value
        app = Application(Genesis.from_json(genesis))
        kept = [(table, row, value) for (table, row), value in rows.items()]
        chance.shuffle(kept)
        app.restore(kept)
        roots = execution.state_root, execution.results_root, execution.zone_root
        told.append(" ".join([str(execution.height), *(root.hex() for root in roots)]))
    return told


if __name__ == "__main__":
    print("\n".join(replay(*decode_log(Path(sys.argv[1]).read_bytes()), int(sys.argv[2]))))
