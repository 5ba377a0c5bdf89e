"""The supervisor: the watchdog is fed only while every task makes progress.

Decides when a task is stuck. A loop that turns proves nothing: a signature that never comes, or a
clock that is never looked at, must end in a reset too. Whoever makes progress says so; when one of
them has been silent for longer than its limit, nobody feeds the watchdog any more.
"""

FEED_MS = 1000


class Supervisor:
    """Tasks with their limits, and a watchdog."""

    def __init__(self, ticks_ms, ticks_diff, watchdog, limits_ms):
        """`limits_ms` maps each task's name to its longest silence; `watchdog` has `feed()`."""
        self._ticks, self._diff = ticks_ms, ticks_diff
        self._watchdog = watchdog
        self._limits_ms = limits_ms
        now = ticks_ms()
        self._progress = {task: now for task in limits_ms}
        self._fed = now

    def progress(self, task):
        """A task has got on."""
        self._progress[task] = self._ticks()

    def stuck(self):
        """The name of a task that is silent for too long, or None."""
        now = self._ticks()
        for task, limit_ms in self._limits_ms.items():
            if self._diff(now, self._progress[task]) > limit_ms:
                return task
        return None

    def check(self):
        """Feed the watchdog if it is time and nobody is stuck."""
        now = self._ticks()
        if self._diff(now, self._fed) >= FEED_MS and self.stuck() is None:
            self._fed = now
            self._watchdog.feed()
