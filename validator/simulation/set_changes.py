"""Validator sets that change in simulated networks: what a block decides holds two heights later.

A change is a transaction: `+v004.7` joins, `-v001.8` leaves, `~v002.9` changes its key (the number
makes it unlike any other), sent at times that the seed draws. Decides which change of a block
counts: the first that fits, by the rules of the real ledger (`validator.app.governance`): one
validator a block, and never fewer than the network began with, so that f is never fewer than the
liars. A validator outside the set follows. Who joins again has its first key.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from validator.simulation.marks import key_of
from wire.block import ValidatorSet

if TYPE_CHECKING:
    from validator.simulation.network import Network

EXTRA = 3
"""So many validators more than the network begins with may join."""

KEYS = 1 / 3
"""Share of changes that are of a key."""

DELAY = 2


def is_change(transaction: str) -> bool:
    """Whether a transaction is a change of the set."""
    return transaction[:1] in ("+", "-", "~")


@dataclass(frozen=True)
class Rule:
    """Who may be a validator, and who begins as one."""

    everyone: ValidatorSet
    """All validators that there are."""

    first: ValidatorSet
    """The set of the first blocks."""

    def after(self, members: ValidatorSet, transactions: Sequence[str]) -> ValidatorSet:
        """The set that follows a set when a block has these transactions."""
        for each in filter(is_change, transactions):
            name, _, number = each[1:].partition(".")
            key, is_in = self.everyone.key(name), members.index(name) is not None
            left = tuple(member for member in members.members if member[0] != name)
            if each[0] == "+" and not is_in and key is not None:
                return ValidatorSet(tuple(sorted((*left, (name, key)))))
            if each[0] == "-" and is_in and len(members) > len(self.first):
                return ValidatorSet(left)
            if each[0] == "~" and is_in:
                return ValidatorSet(tuple(sorted((*left, (name, key_of(name, int(number)))))))
        return members


@dataclass
class Sets:
    """The sets of one chain, height by height."""

    rule: Rule
    """How blocks change them."""

    _sets: list[ValidatorSet] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._sets = [self.rule.first] * DELAY

    def add(self, transactions: Sequence[str]) -> None:
        """The chain has one block more."""
        self._sets.append(self.rule.after(self._sets[-1], transactions))

    def at(self, height: int) -> ValidatorSet:
        """The set that seals a height; of heights that are not decided, the newest."""
        return self._sets[min(height, len(self._sets)) - 1]


def unchanging(members: ValidatorSet) -> Rule:
    """Nobody joins who is not there, and nobody leaves."""
    return Rule(members, members)


class Authorities:
    """They sign changes until the network heals."""

    def __init__(self, network: "Network", spread: Callable[[str], None]) -> None:
        """Take whom they write to."""
        self._network = network
        self._spread = spread
        self._count = 0

    def begin(self, rule: Rule) -> None:
        """Draw the times; somebody joins first, for nobody may leave before."""
        chance = self._network.random
        heal_ms = self._network.faults.heal_at_ms
        times = [chance.randrange(1, heal_ms) for _ in range(self._network.faults.changes)]
        for at_ms in sorted(times):
            name = chance.choice(rule.everyone.ids)
            sign = "+" if rule.first.index(name) is None and chance.random() < 0.7 else "-"
            if chance.random() < KEYS:
                sign = "~"
            self._send_at(at_ms, f"{sign}{name}")

    def _send_at(self, at_ms: int, change: str) -> None:
        self._count += 1
        name = f"{change}.{self._count}"
        self._network.time.after(at_ms, lambda: self._spread(name))
