"""The meter's program: a start, then the loop, and how it ends.

On a board without a configuration or a key this says so and ends, which leaves the console to the
provisioning tool; so do the service jumper, and Ctrl-C within the service window or, on a board
that is not locked, at any time. Anything else that ends the meter is noted and ends in a reset.
"""

import gc
import time

import board

CRASH_PAUSE_MS = 1000
SWEEP_BYTES = 1024  # While modules are loaded: what stays would lie scattered among what goes.


def _live():
    """Be the meter if this board is one; returns when a technician is to have the console."""
    from meter import start

    parts = start.start()
    start.forget("start")
    del start
    if parts:
        from meter import loop

        gc.collect()
        gc.threshold(gc.mem_free() // 4)  # Never in a large heap, often in a small one.
        loop.serve(*parts)


def _note(kind, *details):
    """Keep a note for the next start, however often Ctrl-C comes meanwhile."""
    while True:
        try:
            from meter import notes

            return getattr(notes, kind)(*details)
        except KeyboardInterrupt:
            pass  # A session that leaves no trace would be one that nobody has to answer for.


def main():
    """Leave a board in one of three ways: at its prompt, at work, or in a reset."""
    gc.threshold(SWEEP_BYTES)
    if board.jumper():
        print("service: the jumper is set")
        return
    try:
        _live()
    except KeyboardInterrupt:
        _note("session")
        print("service: the meter has stopped")
    except Exception as error:
        kind = type(error).__name__
        print("not running:", kind, error)
        if kind not in ("StateLost", "SelfTestFailed", "NotConfigured"):
            _note("crash", error)
            time.sleep_ms(CRASH_PAUSE_MS)
            board.reset()


main()
