"""Hearing of new blocks as they come: server-sent events, from one validator or the next.

Decides what an event is (WHATWG HTML §9.2, as far as validators send it), and that who comes back
names the last one it had, so that nothing is missed when a validator goes away.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from validator import strict_json
from validator.desk import Desk
from wire.errors import Unavailable

SILENCE_S = 40.0
"""Validators say something every 15 seconds; who says nothing for so long is gone."""

_MOST_LINE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has become final."""

    id: str
    """Its place in the ledger, `HEIGHT.NUMBER`."""

    kind: str
    """`block`, `seal`, `evidence`; `missed`: there were some before that are not told."""

    data: Any
    """As the API tells it."""


def listen(desks: Sequence[Desk], patience_s: float, after: str = "") -> Iterator[Event]:
    """Events of whoever tells them; ends when nobody does, or none came for so long."""
    last = after
    while True:
        told = False
        for desk in list(desks):
            try:
                for event in _of(desk, last, patience_s):
                    last, told = event.id or last, True
                    yield event
            except Unavailable:
                continue
        if not told:
            return


def _of(desk: Desk, after: str, patience_s: float) -> Iterator[Event]:
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
    silence_s = min(patience_s, SILENCE_S) + 1
    with desk.stream("GET", "/api/v1/events", None, headers, silence_s) as response:
        if response.status_code != 200:
            raise Unavailable(f"{desk.url} answers {response.status_code}")
        yield from events_of(_patient(response.iter_lines(), patience_s))


def _patient(lines: Iterable[str], patience_s: float) -> Iterator[str]:
    """Lines, as long as one that says something comes in time."""
    end_s = time.monotonic() + patience_s
    for line in lines:
        if line and not line.startswith((":", "retry")):
            end_s = time.monotonic() + patience_s
        elif time.monotonic() > end_s:
            return
        yield line


def events_of(lines: Iterable[str]) -> Iterator[Event]:
    """Events in the lines of a stream; raises Unavailable when they are none."""
    found: dict[str, str] = {}
    for line in lines:
        if len(line) > _MOST_LINE:
            raise Unavailable("an event of more than 64 KiB")
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(":")
            found[name] = value.removeprefix(" ")
            continue
        if "data" in found:
            try:
                data = strict_json.read(found["data"])
            except (ValueError, RecursionError):
                raise Unavailable("an event that is no JSON") from None
            yield Event(found.get("id", ""), found.get("event", "message"), data)
        found = {}
