"""Links between simulated validators: how long each message takes, and which never arrive.

Decides for one message when its copies arrive. Two kinds: `Weather` is chance, with asymmetric
loss, cuts of one direction and splits into groups until it heals; `Atlas` is a fixed matrix of one-
way delays between places.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Protocol

from validator.simulation.faults import HEALED_DELAY_MS, Faults

CHANGE_MS = 500
"""So often the weather changes."""

SPLIT_CHANGES = 20
"""A split into two groups lasts at most so many changes."""


class Links(Protocol):
    """How messages travel."""

    def delays_us(self, sender: str, receiver: str, now_ms: int) -> Sequence[int]:
        """After how many microseconds each copy of one message arrives; none when it is lost."""
        ...


class Weather:
    """Links that chance rules until they heal."""

    def __init__(self, names: Sequence[str], faults: Faults, chance: random.Random) -> None:
        """Draw how bad each direction of each link is."""
        self._names = names
        self._faults = faults
        self._chance = chance
        pairs = [(one, other) for one in names for other in names if one != other]
        self._loss = {pair: faults.loss * chance.choice((0, 0.5, 1, 2)) for pair in pairs}
        self._cut: set[tuple[str, str]] = set()
        self._group: frozenset[str] = frozenset()
        self._split_left = 0

    def change(self) -> None:
        """Half a second has passed: cut and mend links, split and join groups."""
        share = self._faults.partition
        if not share:
            return
        for pair in self._loss:
            if self._chance.random() < share:
                self._cut ^= {pair}
        self._split_left -= 1
        if self._split_left <= 0:
            self._group = frozenset()
            if self._chance.random() < share / 5:
                some = self._chance.randrange(1, max(2, len(self._names)))
                self._group = frozenset(self._chance.sample(self._names, some))
                self._split_left = self._chance.randrange(1, SPLIT_CHANGES)

    def delays_us(self, sender: str, receiver: str, now_ms: int) -> Sequence[int]:
        """After how many microseconds each copy of one message arrives; none when it is lost."""
        chance = self._chance
        if now_ms >= self._faults.heal_at_ms:
            return (chance.randrange(1_000, HEALED_DELAY_MS * 1000),)
        pair = (sender, receiver)
        split = (sender in self._group) != (receiver in self._group)
        if split or pair in self._cut or chance.random() < self._loss[pair]:
            return ()
        copies = 2 if chance.random() < self._faults.double else 1
        most_us = self._faults.most_delay_ms * 1000
        return [chance.randrange(1_000, most_us) for _ in range(copies)]


class Atlas:
    """Fixed one-way delays between places, with a share of jitter; nothing is lost."""

    def __init__(
        self,
        places: Mapping[str, int],
        matrix_us: Sequence[Sequence[int]],
        chance: random.Random,
        jitter: float = 0.1,
    ) -> None:
        """Take who is where.

        Args:
            places: row of each validator in the matrix.
            matrix_us: one-way delays in microseconds.
            chance: for the jitter.
            jitter: a message takes at most this share longer.
        """
        self._places = places
        self._matrix_us = matrix_us
        self._chance = chance
        self._jitter = jitter

    def delays_us(self, sender: str, receiver: str, now_ms: int) -> Sequence[int]:
        """After how many microseconds one message arrives."""
        base_us = self._matrix_us[self._places[sender]][self._places[receiver]]
        return (round(base_us * (1 + self._jitter * self._chance.random())),)
