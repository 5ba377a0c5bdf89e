"""All buses of a gateway: which run now, and what a changed configuration makes of them.

Decides that a bus whose configuration and meters stayed the same goes on undisturbed, that one that
changed ends between two questions before its successor begins, and that a meter which moved is
never polled on two buses at once. What a bus does is `polling.bus`'s business.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence

from gateway.config import BusConfig
from gateway.polling.bus import BusActor
from gateway.registered import Meter

Wanted = Sequence[tuple[BusConfig, tuple[Meter, ...]]]
"""Each bus with its meters."""

Maker = Callable[[BusConfig, tuple[Meter, ...]], BusActor]


class Buses:
    """The actors of all buses."""

    def __init__(self, make: Maker, wanted: Wanted) -> None:
        """Take how an actor is made, and the buses to begin with."""
        self._make = make
        self._wanted = {bus.name: (bus, meters) for bus, meters in wanted}
        self._actors = {name: make(*each) for name, each in self._wanted.items()}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._changing = asyncio.Lock()

    def __iter__(self) -> Iterator[BusActor]:
        return iter(tuple(self._actors.values()))

    async def run(self) -> None:
        """Poll every bus until cancelled, or until one of them fails."""
        for actor in self:
            await actor.begin()
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for name, actor in self._actors.items():
                    self._tasks[name] = group.create_task(actor.run())
                await asyncio.Event().wait()
        finally:
            self._group = None
            for actor in self:
                actor.line.close()

    async def become(self, wanted: Wanted) -> str:
        """Poll these buses from now on, and return in words what changed.

        Whatever is raised half-way, the buses that are polled then are known, and the next call
        goes on from them.
        """
        async with self._changing:
            new = {bus.name: (bus, meters) for bus, meters in wanted}
            changed = {
                name for name in new.keys() & self._wanted if new[name] != self._wanted[name]
            }
            gone, added = self._wanted.keys() - new, new.keys() - self._wanted
            same = len(new) - len(added) - len(changed)
            for name in sorted(gone | changed):
                await self._end(name)
            for name in sorted(changed | added):
                await self._begin(name, new[name])
            return f"{same} buses go on, {len(changed)} changed, {len(added)} new, {len(gone)} gone"

    async def _end(self, name: str) -> None:
        actor = self._actors.pop(name)
        del self._wanted[name]
        actor.end()
        await asyncio.wait({self._tasks.pop(name)})
        actor.line.close()

    async def _begin(self, name: str, each: tuple[BusConfig, tuple[Meter, ...]]) -> None:
        actor = self._make(*each)
        await actor.begin()
        self._actors[name], self._wanted[name] = actor, each
        if self._group is not None:
            self._tasks[name] = self._group.create_task(actor.run())
