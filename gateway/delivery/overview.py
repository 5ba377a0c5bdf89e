"""What a spool holds, for people and monitors: readings by state, the oldest one, the disk.

Decides nothing; every question has its index, so a status page costs the same however much waits.
"""

from typing import Any

from gateway.delivery.spool import Spool

OLDEST = """
SELECT MIN(at) FROM (
    SELECT MIN(interval_start_s) AS at FROM reading WHERE state = 'closed'
    UNION ALL SELECT MIN(interval_start_s) FROM reading
        WHERE state = 'queued' AND batch IS NULL AND retry_ms = 0
    UNION ALL SELECT MIN(interval_start_s) FROM reading WHERE retry_ms > 0
    UNION ALL SELECT MIN(oldest_start_s) FROM batch
        WHERE state IN ('open', 'witnessed', 'published'))
"""
"""Start of the oldest interval whose reading has no receipt."""


_NONE = bytes(32)
"""Hash of the reading before the first one."""


async def oldest_start_s(spool: Spool) -> int | None:
    """Start of the oldest interval whose reading has no receipt yet; refused ones apart."""
    ((oldest_s,),) = await spool.rows(OLDEST)
    return None if oldest_s is None else int(oldest_s)


async def meters_with_readings(spool: Spool) -> set[str]:
    """Of the meters that cannot sign, those of which a reading was ever closed."""
    return {
        name for (name,) in await spool.rows("SELECT id FROM meter WHERE previous <> ?", (_NONE,))
    }


async def overview(spool: Spool, now_ms: int) -> dict[str, Any]:
    """Counts by state; how far receipts are; the disk.

    Returns:
        With `oldest_age_s`, the age of the oldest interval without a receipt, and `newest_final_s`,
        the start of the newest one with a receipt; both -1 when there is none.
    """
    oldest_s = await oldest_start_s(spool)
    newest = await spool.rows("SELECT value FROM life WHERE name = 'newest_final_s'")
    fill = spool.room.fill()
    return {
        **await spool.counts(),
        "oldest_age_s": -1 if oldest_s is None else max(0, now_ms // 1000 - oldest_s),
        "newest_final_s": newest[0][0] if newest else -1,
        "disk": {
            "used_percent": fill.used_percent,
            "free_mb": fill.free_bytes // 1_000_000,
            "alarm_percent": fill.alarm_percent,
            "full": spool.room.is_full,
            "reserve": spool.room.reserve.exists(),
        },
    }
