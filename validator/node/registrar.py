"""Registry transactions on their way into a block: taken, forwarded, remembered.

Decides which the mempool takes: those that the next block could carry now. What is taken is on the
disk, so that a restart forgets nothing that was promised, and goes to every other validator, so
that whoever proposes has it. After each block it looks again: what is final leaves, what has become
impossible is remembered with its reason, bounded. Whether a transaction stands, the application
decides.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import structlog

from validator.app.application import Application, RefusedTransaction, SignatureBook
from validator.node.mempool import Mempool
from validator.node.store import Store
from validator.node.timing import NetworkClock
from wire.errors import Refused, Unavailable
from wire.results import REASONS
from wire.transaction import Transaction

MOST_REMEMBERED = 1_000

_log = structlog.get_logger()


class Registrar:
    """Takes registry transactions into the mempool and watches what becomes of them."""

    def __init__(
        self,
        application: Application,
        mempool: Mempool,
        store: Store,
        book: SignatureBook,
        clock: NetworkClock,
    ) -> None:
        """Take the parts; what waited before a restart waits again."""
        self._application = application
        self._mempool = mempool
        self._store = store
        self._book = book
        self._clock = clock
        self._refused: OrderedDict[bytes, int] = OrderedDict()
        self.forward: Callable[[list[Any]], None] = lambda _: None
        """Sends a frame to every other validator."""
        self.nudge: Callable[[], None] = lambda: None
        """Told when something waits for a block."""
        for data in store.waiting():
            mempool.add_change(Transaction.open(data))

    def submit(self, data: bytes) -> Transaction:
        """Take a transaction, from a party or from another validator.

        The same transaction again is no fault while it waits.

        Raises:
            Malformed: no transaction.
            RefusedTransaction: the next block may not carry it.
            Unavailable: too many wait.
        """
        transaction = Transaction.open(data)
        known = self._mempool.change(transaction.id)
        if known is not None:
            return known
        self._application.check_tx(transaction, self._book, self._clock.now_ms())
        if not self._mempool.add_change(transaction):
            raise Unavailable("too many registry transactions wait: try again after some blocks")
        self._store.put_waiting(transaction.id, data)
        self._refused.pop(transaction.id, None)
        _log.info("transaction waits", id=transaction.id.hex(), kind=transaction.kind)
        self.forward(["transaction", data])
        self.nudge()
        return transaction

    def hear(self, peer: str, data: bytes) -> None:
        """Take what another validator forwards; raises Malformed when it is no transaction.

        It may be ahead of this validator, or behind: what does not stand here is left.
        """
        transaction = Transaction.open(data)
        try:
            self.submit(data)
        except (RefusedTransaction, Unavailable) as reason:
            name = transaction.id.hex()[:16]
            _log.info("transaction not taken", peer=peer, id=name, reason=str(reason))

    def waiting(self) -> list[list[Any]]:
        """Frames that tell a validator what waits."""
        return [["transaction", each.encoded] for each in self._mempool.changes()]

    def look_again(self, time_ms: int) -> None:
        """After a block: forget what is final, and what no later block may carry any more.

        A state that cannot be read is no reason to forget anything: Unavailable goes through.

        Args:
            time_ms: the block's network time; every later block is later.
        """
        for transaction in self._mempool.changes():
            try:
                self._application.check_tx(transaction, self._book, time_ms + 1)
            except Refused as refused:
                self._forget(transaction, refused)

    def _forget(self, transaction: Transaction, refused: Refused) -> None:
        self._mempool.remove_change(transaction.id)
        self._store.remove_waiting(transaction.id)
        if self._application.height_of(transaction.id) is None:
            _log.warning("transaction refused", id=transaction.id.hex(), reason=str(refused))
            self._refused[transaction.id] = _code(refused)
            if len(self._refused) > MOST_REMEMBERED:
                self._refused.popitem(last=False)

    def status(self, transaction_id: bytes) -> dict[str, Any] | None:
        """What has become of a transaction, None when it was never seen here."""
        height = self._application.height_of(transaction_id)
        if height is not None:
            return {"status": "final", "height": height, **_reason(0)}
        if self._mempool.change(transaction_id) is not None:
            return {"status": "waiting"}
        code = self._refused.get(transaction_id)
        return None if code is None else {"status": "refused", **_reason(code)}


def refusal(refused: Refused) -> dict[str, Any]:
    """Why a transaction was not taken, for whoever sent it."""
    return {**_reason(_code(refused)), "words": str(refused)}


def _code(refused: Refused) -> int:
    return refused.reason if isinstance(refused, RefusedTransaction) else 60


def _reason(code: int) -> dict[str, Any]:
    return {"code": code, "reason": REASONS[code].name, "words": REASONS[code].words}
