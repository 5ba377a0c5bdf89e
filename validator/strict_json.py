"""JSON of strangers, read so that it can be written again: RFC 8259 without numbers beyond a float.

Python reads `NaN`, and `1e999` as infinite, and would write what no other reader takes. Decides
that the first is no JSON and the second no value.
"""

import json
import math
from typing import Any


class TooLarge(ValueError):
    """A number that is JSON, and more than a float holds."""


def read(data: str | bytes) -> Any:
    """What a text says; raises ValueError or RecursionError when it is no JSON, or TooLarge."""
    return json.loads(data, parse_constant=_no_constant, parse_float=_finite)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _finite(digits: str) -> float:
    found = float(digits)
    if not math.isfinite(found):
        raise TooLarge("a number is too large")
    return found
