"""How a program of a validator's ends: in order, when it is told to."""

import asyncio
import contextlib
import signal


def end_of_process() -> asyncio.Event:
    """Set on SIGTERM and SIGINT."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, ended.set)
    return ended
