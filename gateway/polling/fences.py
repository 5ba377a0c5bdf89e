"""Which replies a device may still owe, and a question that none of them answers: pure.

A reply on a serial line names neither its request nor its register; what tells it apart is its
length. Devices answer in the order in which they were asked. So once a **fence** is answered, a
question of a length that no reply still owed has, nothing older can come any more. Decides which
length that is: each fence that got no answer is itself owed, so the next one has another length.
Without that, a device that is always late would answer each fence with the reply to the one before,
and a value could be as old as the device is late.
"""

from collections import Counter
from collections.abc import Sequence

from gateway.lines.frames import READ_HOLDING, READS, Request
from gateway.meters.energy import HEAD_WORDS
from gateway.meters.template import Template
from gateway.polling.schedule import AGAIN_S

_LENGTHS = 12
_REFUSALS = 2
"""A length that was refused so often, and not answered since, is not asked while others are left:
the registers end there."""

LATEST_S = 300.0
"""A reply later than this is not reckoned with."""

_PLAIN_FENCES = tuple(range(1, 1 + _LENGTHS))

Shape = tuple[int, int]
"""Function and number of registers: what a reply shows of its request."""


def shape(request: Request) -> Shape:
    """What a reply to the request looks like."""
    return request.function, request.count


def of_template(unit: int, template: Template) -> list[Request]:
    """Fences of a meter with a template: its own one and multiples, as long as no other read."""
    fence, energy = template.fence, template.energy_registers
    others = {block.words for block in energy.blocks} | {size for _, size in energy.used}
    if energy.model:
        others.add(HEAD_WORDS)
    counts = [fence.words * factor for factor in range(2, 1 + _LENGTHS)]
    counts = [each for each in counts if each <= template.most_words and each not in others]
    return [Request(unit, fence.function, fence.address, each) for each in (fence.words, *counts)]


def like(request: Request) -> list[Request]:
    """Fences for a device of which nothing is known but one request to it."""
    function = request.function if request.function in READS else READ_HOLDING
    return [
        Request(request.unit, function, request.address, count)
        for count in _PLAIN_FENCES
        if (function, count) != shape(request)
    ]


class Owed:
    """What one device may still say to what it was asked, in the order of asking."""

    def __init__(self) -> None:
        self._asked: list[tuple[Shape, float]] = []
        self._refused: Counter[Shape] = Counter()
        self._heard_s: dict[Shape, float] = {}
        self._came_late_s: dict[Shape, float] = {}

    def anything(self, now_s: float) -> bool:
        """Whether a reply is owed."""
        self._forget(now_s)
        return bool(self._asked)

    def unanswered(self, request: Request, now_s: float) -> None:
        """A request got no clean answer: it may still come."""
        self._asked.append((shape(request), now_s))

    def heard(self, request: Request, now_s: float) -> None:
        """A reply of that length was taken; it may be said a second time."""
        self._heard_s[shape(request)] = now_s

    def fence(self, fences: Sequence[Request], now_s: float) -> Request:
        """Choose a fence; when replies of all lengths are owed, the one owed longest.

        Args:
            fences: what may be asked, the best first.
            now_s: real time.
        """
        self._forget(now_s)
        usable = [each for each in fences if self._refused[shape(each)] < _REFUSALS]
        return min(usable or fences[:1], key=lambda each: self._risk(shape(each), now_s))

    def answered(self, fence: Request, now_s: float) -> bool:
        """The fence was answered; True when nothing older can come any more.

        Where a reply of that length was owed before, this may be it: then whatever was asked after
        that, the fence included, is still owed.
        """
        self._refused[shape(fence)] = 0
        place = self._place(shape(fence))
        if place < 0:
            self._came_late_s |= {each: now_s for each, _ in self._asked} | {shape(fence): now_s}
            self._asked.clear()
            return True
        self._asked = [*self._asked[place + 1 :], (shape(fence), now_s)]
        return False

    def pause_s(self, request: Request, now_s: float, after_heard: bool) -> float:
        """How long to wait before a question, so that a reply said twice is not taken for its own.

        Args:
            request: what is to be asked; its reply may be as long as a fence's, or as one that
                came late, a moment ago.
            now_s: real time.
            after_heard: or as any that was taken a moment ago.
        """
        last_s = self._came_late_s.get(shape(request), -LATEST_S)
        if after_heard:
            last_s = max(last_s, self._heard_s.get(shape(request), -LATEST_S))
        return max(0.0, last_s + AGAIN_S - now_s)

    def settled(self) -> None:
        """Nothing came for so long that nothing is waited for any more."""
        self._asked.clear()

    def refused(self, fence: Request, now_s: float) -> None:
        """An exception came, which has no length of its own: it may answer anything."""
        self._refused[shape(fence)] += 1
        self.unanswered(fence, now_s)

    def _risk(self, shape_: Shape, now_s: float) -> tuple[bool, int]:
        """The lower, the surer it is that a reply of that length answers what is asked now."""
        last_s = max(each.get(shape_, -LATEST_S) for each in (self._heard_s, self._came_late_s))
        return now_s - last_s < AGAIN_S, self._place(shape_) + 1

    def _place(self, shape_: Shape) -> int:
        """Where a reply of that length is owed first; -1 when none is."""
        return next((at for at, (each, _) in enumerate(self._asked) if each == shape_), -1)

    def _forget(self, now_s: float) -> None:
        self._asked = [each for each in self._asked if each[1] > now_s - LATEST_S]
