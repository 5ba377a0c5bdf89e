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

from gateway.energy import HEAD_WORDS
from gateway.frames import READ_HOLDING, READS, Request
from gateway.template import Template

_LENGTHS = 12
_REFUSALS = 2
"""A length that was refused so often, and not answered since, is not asked while others are left:
the registers end there."""

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
    """What one device may still say to what it was asked."""

    def __init__(self) -> None:
        self._shapes: list[Shape] = []
        self._refused: Counter[Shape] = Counter()

    def __bool__(self) -> bool:
        """Whether anything is owed."""
        return bool(self._shapes)

    def unanswered(self, request: Request) -> None:
        """A request got no clean answer: it may still come."""
        self._forget(shape(request))
        self._shapes.append(shape(request))

    def fence(self, fences: Sequence[Request]) -> Request:
        """Choose a fence; when replies of all lengths are owed, the one owed longest.

        Args:
            fences: what may be asked, the best first.
        """
        usable = [each for each in fences if self._refused[shape(each)] < _REFUSALS]
        return min(usable or fences[:1], key=lambda each: self._age(shape(each)))

    def answered(self, fence: Request) -> None:
        """The fence was answered: nothing older can come."""
        self._shapes.clear()
        self._refused[shape(fence)] = 0

    def settled(self) -> None:
        """Nothing came for so long that nothing is waited for any more."""
        self._shapes.clear()

    def refused(self, fence: Request) -> None:
        """An exception came, which has no length of its own: it may answer anything."""
        self._refused[shape(fence)] += 1
        self.unanswered(fence)

    def _age(self, shape_: Shape) -> int:
        return self._shapes.index(shape_) + 1 if shape_ in self._shapes else 0

    def _forget(self, shape_: Shape) -> None:
        if shape_ in self._shapes:
            self._shapes.remove(shape_)
