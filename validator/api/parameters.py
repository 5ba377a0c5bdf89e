"""Which values a path or a query may have: within what the ledger can hold, and bounded."""

from typing import Annotated

from fastapi import Path, Query

LARGEST = 2**63 - 1
MOST = 1_000
"""Rows of one page."""

Number = Annotated[int, Path(ge=0, le=LARGEST)]
Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,32}$")]
Hash = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]
After = Annotated[
    int, Query(ge=-1, le=LARGEST, description="what follows this one: a page's `next`")
]
AfterName = Annotated[
    str,
    Query(pattern=r"^[A-Za-z0-9._-]{0,33}$", description="what follows this one: a page's `next`"),
]
Before = Annotated[
    int, Query(ge=1, le=LARGEST, description="heights below this one: a page's `next`")
]
Most = Annotated[int, Query(ge=1, le=MOST, description="rows at most")]
Time = Annotated[int, Query(ge=0, le=LARGEST, description="Unix seconds")]
