"""What the kernel has booked for a process: its CPU time, its memory, its children."""

import os
from contextlib import suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_UTIME, _STIME, _RSS = 11, 12, 21
"""Places after the command's name in /proc/PID/stat (proc(5): fields 14, 15 and 24)."""


def cpu_s(pid: int) -> float:
    """CPU time of a process, user and system, seconds."""
    fields = _fields(pid)
    return (int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS


def rss_mb(pid: int) -> float:
    """Resident memory of a process, 10^6 bytes."""
    return int(_fields(pid)[_RSS]) * _PAGE / 1e6


def family(pid: int) -> list[int]:
    """A process and those that it started, itself first; who ends meanwhile may be missing."""
    children: list[str] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            children += task.read_text().split()
    return [pid, *(each for child in children for each in family(int(child)))]


def _fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
