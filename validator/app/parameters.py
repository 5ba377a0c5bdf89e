"""The numbers that govern the rules, as the genesis file gives them.

Decides names, units, defaults and ranges of the rules' own parameters; the genesis file carries
others beside them, which belong to the consensus engine and the node.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from wire import cbor
from wire.errors import Malformed
from wire.fields import uint

_POSITIVE = ("interval_s", "class_k_den", "acceptance_window_s")
_LONGEST_BRIDGE = 31 * 96
_LARGEST = 10**9
"""Of any parameter: 31 years in seconds. What a rule adds to a time or multiplies stays far from
the ends of the integers that the ledger holds."""
_AT_MOST_A_MILLION = ("a0_ppm", "a1_ppm", "common_ppm")


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters of the rules S, T, L, C and of the zone seal."""

    interval_s: int = 900
    """T: registered length of an interval, seconds."""

    witness_ahead_ms: int = 2_000
    """T: how far a witness may be ahead of block time, milliseconds."""

    witness_tolerance_s: int = 2
    """T: how long before an interval's end its reading may have been witnessed, seconds."""

    operating_tolerance_s: int = 300
    """T: how far operating seconds may disagree with interval starts within one boot."""

    operating_drift_ppm: int = 500
    """T: and how far they may drift apart over time, parts per million."""

    acceptance_window_s: int = 3_024_000
    """T: readings that ended longer ago are LATE, seconds (35 days)."""

    reach_m: int = 1_200
    """L: longest line between a gateway and a meter, metres (RS-485)."""

    position_max_age_s: int = 3_600
    """L: oldest position that a witness may name, seconds."""

    installed_margin_ppm: int = 100_000
    """C: export beyond installed power that is still believed, parts per million."""

    deadline_intervals: int = 4
    """Seal: intervals after a window's end until it is sealed without what is missing."""

    bridge_wait_s: int = 86_400
    """Seal: how long readings of a gap are waited for before registers tell, seconds."""

    bridge_intervals: int = 96
    """Seal: the longest merged window, intervals."""

    class_k_num: int = 4
    """Seal: k, the number of standard deviations that make a zone SUSPECT; numerator."""

    class_k_den: int = 1
    """Seal: k; denominator."""

    common_ppm: int = 1_000
    """Seal: class error common to all meters of a zone, parts per million."""

    a0_ppm: int = 100_000
    """Seal: uncertainty of no-load losses, parts per million."""

    a1_ppm: int = 100_000
    """Seal: how far load losses may lie below the model, parts per million."""

    skew_missing_s: int = 10
    """Seal: a meter whose interval is known less well counts as missing, seconds."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Take the rules' parameters out of the genesis file's; raises Malformed."""
        known = {each.name for each in fields(cls)}
        found = {
            name: uint(values[name], f"parameter {name}", _LARGEST)
            for name in known & values.keys()
        }
        parameters = cls(**found)
        for name in _POSITIVE:
            if getattr(parameters, name) == 0:
                raise Malformed(f"parameter {name}: must not be 0")
        for name in _AT_MOST_A_MILLION:
            if getattr(parameters, name) > 1_000_000:
                raise Malformed(f"parameter {name}: more than the whole")
        if not 1 <= parameters.bridge_intervals <= _LONGEST_BRIDGE:
            raise Malformed(f"parameter bridge_intervals: 1 to {_LONGEST_BRIDGE}")
        if 3600 % parameters.interval_s:
            raise Malformed("parameter interval_s: must divide an hour")
        return parameters

    def items(self) -> dict[str, int]:
        """All parameters by name, defaults included."""
        return asdict(self)


def parameters_hash(values: Mapping[str, Any]) -> bytes:
    """SHA-256 of all parameters in force, 32 bytes: the header's `params_hash`."""
    return hashlib.sha256(cbor.encode(dict(values))).digest()
