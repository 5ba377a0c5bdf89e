"""Every state that four validators can reach in the first rounds of one height.

Not runs but states: messages are never lost or reordered here, they are available from when they
are said, and each correct validator takes any that it could act upon at any time, or times out, or
crashes and comes back. That covers every order, loss, delay and doubling, because a message that
changes nothing yet may as well arrive when it does. One validator may lie (`moves`). In every state
are checked agreement (no COMMITs that could decide two values) and that no correct validator has
signed two messages that contradict each other: then nobody can accuse it.

Bounded by the last round and by two values of the liar's own. The validators are the real machines
(`actors`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from validator.simulation.healing import Ward
from validator.simulation.moves import Bound, Move, Moves
from wire.block import ValidatorSet

_BITS = 16
"""A state of the network is one number; each validator's state has so many bits of it."""


@dataclass
class Found:
    """What the search saw."""

    states: int = 0
    """States of the whole network."""

    steps: int = 0
    """Steps between them."""

    locals: int = 0
    """States of single validators."""

    values: set[bytes] = field(default_factory=set)
    """Values that some state decides."""

    healed: int = 0
    """States from which agreement was seen to come."""

    complete: bool = False
    """Whether everything within the bound was seen."""

    failure: str = ""
    """The first thing that went wrong, and the way there, one step a line."""


def explore(
    validators: ValidatorSet,
    bound: Bound,
    most_states: int = 10**9,
    heal_every: int = 0,
    tell: Callable[[int], None] = lambda _: None,
) -> Found:
    """Visit every state, depth first; stop at the first failure.

    Args:
        validators: the set, four of them.
        bound: what is explored.
        most_states: stop after so many.
        heal_every: look from every so-manyth state whether agreement comes; never when 0.
        tell: is told the number of states now and then.
    """
    moves, found = Moves(validators, bound), Found()
    first = [actor.start for actor in moves.actors]
    seen = {_packed(first)}
    path: list[tuple[str, Iterator[tuple[list[int], str]]]] = []
    found.failure = _judge(moves, first, found)
    path.append(("", _successors(moves, first, found)))
    while path and not found.failure and len(seen) < most_states:
        step = next(path[-1][1], None)
        if step is None:
            path.pop()
            continue
        state, label = step
        packed = _packed(state)
        if packed in seen:
            continue
        seen.add(packed)
        if len(seen) % 100_000 == 0:
            tell(len(seen))
        path.append((label, _successors(moves, state, found)))
        found.failure = _judge(moves, state, found)
        if heal_every and len(seen) % heal_every == 0 and not found.failure:
            found.failure = _heal(moves, state, found)
    if found.failure:
        found.failure = "\n".join([found.failure, *(label for label, _ in path[1:])])
    found.states = len(seen)
    found.locals = sum(len(actor.locals) for actor in moves.actors)
    found.complete = not path
    return found


def _packed(state: list[int]) -> int:
    packed = 0
    for number in state:
        packed = packed << _BITS | number
    return packed


def _said(moves: Moves, state: list[int]) -> int:
    said = 0
    for place, number in enumerate(state):
        said |= moves.said(place, number)
    return said


def _successors(moves: Moves, state: list[int], found: Found) -> Iterator[tuple[list[int], str]]:
    said = _said(moves, state)
    for place, number in enumerate(state):
        move: Move
        for move in moves.of(place, number, said):
            found.steps += 1
            yield [*state[:place], move.after, *state[place + 1 :]], move.label


def _heal(moves: Moves, state: list[int], found: Found) -> str:
    found.healed += 1
    return "" if Ward(moves, state).heals() else "nobody commits though the network is whole"


def _judge(moves: Moves, state: list[int], found: Found) -> str:
    for actor, number in zip(moves.actors, state, strict=True):
        if actor.locals[number].fault:
            return actor.locals[number].fault
    said = _said(moves, state)
    decided = {
        value
        for place, number in enumerate(state)
        for value in moves.decisions(place, number, said)
    }
    found.values |= decided
    return f"{len(decided)} values are decided" if len(decided) > 1 else ""
