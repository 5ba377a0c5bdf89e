"""A validator's ledger without a network: blocks made, sealed by known keys, and stored."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.app.enrolments import with_technician
from tests.app.village import BOOK, Village, block_ms, signer
from validator.app.application import Application
from validator.node.candidate import Blocks, Candidate, Tip
from validator.node.mempool import Waiting
from validator.node.store import Store
from wire.block import Commit, seal_message
from wire.transaction import Transaction
from wire.witness import Batch


class Chain:
    """The village's one validator, block after block."""

    def __init__(
        self, folder: Path, edit: Callable[[dict[str, Any]], object] = lambda _: None
    ) -> None:
        self.genesis_file = b""

        def founded(content: dict[str, Any]) -> None:
            with_technician(content)
            edit(content)
            self.genesis_file = json.dumps(content).encode()

        self.village = Village(founded)
        self.genesis = self.village.genesis
        self.app = self.village.app
        self.store = Store(folder / "ledger.sqlite")
        self.blocks = Blocks(self.genesis, self.app, BOOK)
        self.tip = Tip.genesis(self.genesis)
        self.me = self.genesis.validators.ids[0]

    def interval(self, slot: int) -> Batch:
        return self.village.batch(self.village.close(slot).values(), slot)

    def candidate(
        self, batches: list[Batch], slot: int, changes: Sequence[Transaction] = ()
    ) -> Candidate:
        waiting = Waiting(tuple(batches), tuple(changes))
        return self.blocks.make(self.me, self.tip, block_ms(slot), waiting)

    def seal(self, candidate: Candidate) -> Commit:
        digest = candidate.block.digest
        message = seal_message(self.genesis.network, self.tip.height + 1, 0, digest)
        return Commit(0, digest, ((0, signer("val").sign(message)),))

    def append(
        self, batches: list[Batch], slot: int, changes: Sequence[Transaction] = ()
    ) -> Candidate:
        candidate = self.candidate(batches, slot, changes)
        commit = self.seal(candidate)
        self.store.append(candidate.block, commit, candidate.execution, candidate.batches)
        self.app.commit(candidate.execution)
        self.tip = Tip.of(candidate.block, commit)
        return candidate

    def restarted(self, store: Store) -> Application:
        app = Application(self.genesis)
        app.restore(store.state_rows())
        return app
