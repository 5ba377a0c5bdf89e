"""What a file is that was given where a receipt or records are checked, and which command tells it.

Decides only for transactions, which people have beside receipts and records; what is neither is
left to whoever reads it.
"""

from pathlib import Path

from wire.errors import Refused
from wire.governance import Governing
from wire.transaction import MOST_BYTES, Transaction
from wire.transaction_bodies import CommissionedMeter


def transaction_told(data: bytes, path: Path) -> str:
    """What a transaction is and which command tells it; empty for whatever is none."""
    transaction = _transaction(data)
    if transaction is None:
        return ""
    if isinstance(transaction.body, CommissionedMeter):
        return (
            f"this is a meter's enrolment: gridwitness meter enrol {path} --check; the meter's"
            f" records are checked with --enrolment {path}"
        )
    if isinstance(transaction.body, Governing):
        return f"this is a change of the network: gridwitness network show {path}"
    return f"this is a registry transaction: gridwitness registry show {path}"


def _transaction(data: bytes) -> Transaction | None:
    """A transaction that somebody signed, or the payload that is still to be signed."""
    if len(data) > MOST_BYTES:
        return None
    for read in (Transaction.open, Transaction.of):
        try:
            return read(data)
        except Refused:
            continue
    return None
