"""Evidence against validators on its way into a block: found, told to the others, remembered.

Decides which the mempool takes: evidence that the next block could carry now. What is taken is on
the disk and goes to every other validator, so that an offender must silence all of them to stay
unnamed. After each block it forgets what the ledger tells. What proves an offence is decided in
`validator.consensus.evidence`; what follows from one is for the authorities.
"""

from collections.abc import Callable
from typing import Any

import structlog

from validator.consensus.evidence import Evidence
from validator.node.candidate import Blocks
from validator.node.mempool import Mempool
from validator.node.store import Store

_log = structlog.get_logger()


class EvidencePool:
    """Takes evidence into the mempool and watches what becomes of it."""

    def __init__(self, blocks: Blocks, mempool: Mempool, store: Store) -> None:
        """Take the parts; what waited before a restart waits again."""
        self._blocks = blocks
        self._mempool = mempool
        self._store = store
        self.forward: Callable[[list[Any]], None] = lambda _: None
        """Sends a frame to every other validator."""
        self.nudge: Callable[[], None] = lambda: None
        """Told when something waits for a block."""
        for data in store.evidence():
            mempool.add_evidence(blocks.open_evidence(data))

    def take(self, evidence: Evidence) -> None:
        """Take evidence that this validator or another has found, unless the ledger tells it."""
        fit = self._blocks.is_fit(evidence, self._store.height + 1)
        if not fit or not self._mempool.add_evidence(evidence):
            return
        offence = evidence.offence
        self._store.put_evidence(offence, evidence.encoded)
        _log.warning("evidence", against=offence.validator, kind=offence.kind, at=offence.height)
        self.forward(["evidence", evidence.encoded])
        self.nudge()

    def hear(self, data: bytes) -> None:
        """Take what another validator tells; raises Refused when it proves nothing."""
        self.take(self._blocks.open_evidence(data))

    def waiting(self) -> list[list[Any]]:
        """Frames that tell a validator what waits."""
        return [["evidence", each.encoded] for each in self._mempool.evidence()]

    def look_again(self) -> None:
        """After a block: forget what the ledger tells now, or what has grown too old."""
        height = self._store.height + 1
        for evidence in self._mempool.evidence():
            if not self._blocks.is_fit(evidence, height):
                self._mempool.remove_evidence(evidence.offence)
                self._store.remove_evidence(evidence.offence)
