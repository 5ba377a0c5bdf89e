"""Why a transaction does not stand: its reason codes, and where and when it was looked at.

Decides nothing: `validator.app.enrolment` and `validator.app.governance` do.
"""

from collections.abc import Collection
from dataclasses import dataclass

from wire.errors import Refused
from wire.results import REASONS

OTHER_NETWORK = 61
EXPIRED = 62
REPLAYED = 63
FROM_HAS_PASSED = 64
UNFIT_FROM = 65
UNFIT_ENTRY = 66
WEAK_KEY = 67
UNKNOWN_ZONE = 68
METER_TAKEN = 69
KEY_TAKEN = 70
NOT_BY_METER = 71
NOT_BY_TECHNICIAN = 72
NOT_BY_OPERATOR = 73
BY_STRANGER = 74
UNFIT_COMMISSIONING = 75
UNFIT_REGISTRY = 76
METER_NOT_REGISTERED = 77
CONFLICTING = 78
ID_TAKEN = 79
NOT_REGISTERED = 80
UNKNOWN_OPERATOR = 81
UNFIT_ANNOUNCEMENT = 82
KEY_NOT_IN_FORCE = 83
ALREADY_COMPROMISED = 84
KEY_EXCHANGED = 85
UNFIT_EXCHANGE = 86
NO_SUCH_CHANGE = 87
NOT_BY_READER = 88
NOT_BY_NEW_KEY = 92


class RefusedTransaction(Refused):
    """A transaction that does not stand on this state."""

    code = "refused-transaction"

    def __init__(self, reason: int, detail: str) -> None:
        super().__init__(f"{REASONS[reason].words} ({detail})")
        self.reason = reason
        """A key of `wire.results.REASONS`."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Where and when a transaction is to be carried."""

    network: bytes
    """Network id, 32 bytes."""

    height: int
    """Height of the block."""

    time_ms: int
    """Its network time."""

    keys_taken: Collection[bytes] = ()
    """Raw keys that validators and authorities have or had: nobody else may have one."""

    @property
    def time_s(self) -> int:
        """Network time, Unix seconds."""
        return self.time_ms // 1000
