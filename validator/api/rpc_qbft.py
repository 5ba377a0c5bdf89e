"""Besu's `qbft_*` names over this ledger, for tools that know them.

Shapes are Besu's: block numbers and counts are hexadecimal behind 0x, or `latest`, `earliest`. A
vote for or against a validator is no call here: authorities change the set by a signed transaction,
and the calls for it say so.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from validator.api.rpc_fault import INVALID_PARAMS, RpcFault, digest
from validator.api.sources import Sources, address

USUAL_SPAN, MOST_SPAN = 100, 1_000
"""Blocks of `qbft_getSignerMetrics`: when none are named, as Besu has it, and at most."""


def methods(sources: Sources) -> dict[str, Callable[..., Awaitable[Any]]]:
    """All of them, by name."""

    async def get_validators_by_number(block: Any = "latest") -> list[str]:
        return addresses(sources, number(sources, block))

    async def get_validators_by_hash(block: Any) -> list[str]:
        height = sources.ledger.height_of(digest(block, "block hash"))
        if height is None:
            raise RpcFault(INVALID_PARAMS, "block hash: no final block has it")
        return addresses(sources, height)

    async def get_signer_metrics(first: Any = None, last: Any = None) -> list[dict[str, Any]]:
        end = sources.height if last is None else number(sources, last)
        start = max(1, end - USUAL_SPAN + 1) if first is None else number(sources, first)
        if start > end or end - start >= MOST_SPAN:
            raise RpcFault(INVALID_PARAMS, f"a span of 1 to {MOST_SPAN} blocks, first to last")
        return signer_metrics(sources, start, end)

    async def get_pending_votes() -> dict[str, bool]:
        newest = sources.ruling.rosters[-1]
        now = set(sources.members(sources.height + 1).members)
        coming = set(newest.validators.members) if newest.first > sources.height + 1 else now
        return {f"0x{address(key)}": (name, key) in coming for name, key in now ^ coming}

    async def no_votes(*_: Any) -> None:
        words = "authorities change the set by a signed change-validators transaction"
        raise RpcFault(-32_000, words)

    return {
        "qbft_getValidatorsByBlockNumber": get_validators_by_number,
        "qbft_getValidatorsByBlockHash": get_validators_by_hash,
        "qbft_getSignerMetrics": get_signer_metrics,
        "qbft_getPendingVotes": get_pending_votes,
        "qbft_proposeValidatorVote": no_votes,
        "qbft_discardValidatorVote": no_votes,
    }


def number(sources: Sources, value: Any) -> int:
    """A block's height as Besu writes it; raises RpcFault."""
    if value in ("latest", "pending"):
        return sources.height
    if value == "earliest":
        return 1
    try:
        height = int(value, 16) if value.startswith("0x") and len(value) <= 18 else -1
    except (AttributeError, ValueError):
        height = -1
    if not 1 <= height <= sources.height:
        words = f"block: latest, earliest, or 0x1 to {hex(sources.height)} by now"
        raise RpcFault(INVALID_PARAMS, words)
    return height


def addresses(sources: Sources, height: int) -> list[str]:
    """The validators of a height."""
    return [f"0x{address(public)}" for _, public in sources.members(height).members]


def signer_metrics(sources: Sources, first: int, last: int) -> list[dict[str, Any]]:
    """Who proposed how many blocks of a span, and when last."""
    counted: dict[str, list[int]] = {name: [] for name in sources.members(last).ids}
    for outline in sources.ledger.outlines_from(first, last - first + 1):
        counted.setdefault(outline.header.proposer, []).append(outline.header.height)
    keys = {name: key for each in sources.ruling.rosters for name, key in each.validators.members}
    return [
        {
            "address": f"0x{address(keys[name])}",
            "proposedBlockCount": hex(len(heights)),
            "lastProposedBlockNumber": hex(heights[-1]) if heights else "0x0",
        }
        for name, heights in sorted(counted.items())
        if name in keys
    ]
