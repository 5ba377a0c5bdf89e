"""Who rules at which height: validators, authorities, parameters, as the ledger has changed them.

Each holds from a height on; what holds at a height never changes once the block two before it is
final. Decides nothing about who may change what (`validator.app.governance`). Objects are
immutable: a block that is executed makes its own.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, Self, TypeVar

from validator.app.entries import Authority
from validator.app.parameters import Parameters, parameters_hash
from wire import cbor, fields
from wire.block import ValidatorSet
from wire.errors import Malformed
from wire.genesis import Genesis
from wire.governance import authorities_hash
from wire.keys import PublicKey

DELAY = 2
"""What a block decides holds from so many heights later."""


@dataclass(frozen=True, slots=True)
class Member:
    """A validator, or one that was."""

    id: str
    """Validator id."""

    authority: str
    """Authority that runs it."""

    key: PublicKey
    """Its key."""

    place: bytes = b""
    """Its signed address as it stood in the transaction; empty of the genesis file's."""

    def items(self) -> list[Any]:
        """As stored."""
        return [self.id, self.authority, self.key.to_cose(), self.place]

    @classmethod
    def of_items(cls, value: Any) -> Self:
        """As stored, read back."""
        name, authority, key, place = fields.items(value, "member", 4)
        return cls(name, authority, PublicKey.from_cose(key), place)


@dataclass(frozen=True)
class Roster:
    """The validators from a height on."""

    first: int
    """First height that they seal."""

    members: tuple[Member, ...]
    """Who votes, in order of id."""

    observers: tuple[Member, ...] = ()
    """Who has left the set and may still follow, in order of id."""

    @cached_property
    def validators(self) -> ValidatorSet:
        """Ids and keys of who votes."""
        return ValidatorSet(tuple((each.id, each.key) for each in self.members))

    @property
    def hash(self) -> bytes:
        """The header's `validators_hash`, 32 bytes."""
        return self.validators.hash

    def packed(self) -> bytes:
        """As stored."""
        parts = [[each.items() for each in group] for group in (self.members, self.observers)]
        return cbor.encode(parts)

    @classmethod
    def of(cls, first: int, value: bytes) -> Self:
        """As stored, read back."""
        groups = fields.items(cbor.decode(value), "roster", 2)
        members, observers = (tuple(map(Member.of_items, group)) for group in groups)
        return cls(first, members, observers)


@dataclass(frozen=True)
class Roll:
    """The authorities from a height on."""

    first: int
    """First height at which their keys count."""

    authorities: tuple[Authority, ...]
    """Those that are not revoked, in order of id."""

    revoked: tuple[str, ...] = ()
    """Ids of those that are, in order."""

    @cached_property
    def hash(self) -> bytes:
        """What a change of authorities names, 32 bytes."""
        return authorities_hash((each.id, each.key) for each in self.authorities)

    @property
    def quorum(self) -> int:
        """q: how many distinct keys decide."""
        return (2 * len(self.authorities) - 1) // 3 + 1

    def packed(self) -> bytes:
        """As stored."""
        written = [[each.id, each.name, each.kind, each.key.to_cose()] for each in self.authorities]
        return cbor.encode([written, list(self.revoked)])

    @classmethod
    def of(cls, first: int, value: bytes) -> Self:
        """As stored, read back."""
        written, revoked = fields.items(cbor.decode(value), "roll", 2)
        authorities = tuple(
            Authority(name, title, kind, PublicKey.from_cose(key))
            for name, title, kind, key in written
        )
        return cls(first, authorities, tuple(revoked))


@dataclass(frozen=True)
class ParameterTable:
    """The parameters from a height on."""

    first: int
    """First height for which they hold."""

    values: Mapping[str, Any]
    """All of them by name, the rules' and the node's."""

    @cached_property
    def hash(self) -> bytes:
        """The header's `params_hash`, 32 bytes."""
        return parameters_hash(self.values)

    @cached_property
    def rules(self) -> Parameters:
        """The rules' own."""
        return Parameters.of(self.values)

    def packed(self) -> bytes:
        """As stored."""
        return cbor.encode(dict(self.values))

    @classmethod
    def of(cls, first: int, value: bytes) -> Self:
        """As stored, read back."""
        return cls(first, cbor.decode(value))


class _Era(Protocol):
    @property
    def first(self) -> int: ...


Era = TypeVar("Era", bound=_Era)
Next = Roster | Roll | ParameterTable


def _at(eras: Sequence[Era], height: int) -> Era:
    """What holds at a height; of heights that are not decided yet, the newest."""
    return eras[max(0, bisect_right(eras, height, key=lambda era: era.first) - 1)]


@dataclass(frozen=True)
class Ruling:
    """Everything that authorities decide together, height by height."""

    rosters: tuple[Roster, ...]
    """Validators, each from its height on, ascending; the first is the genesis file's."""

    rolls: tuple[Roll, ...]
    """Authorities likewise."""

    tables: tuple[ParameterTable, ...]
    """Parameters likewise."""

    decided: Mapping[bytes, int] = field(default_factory=dict)
    """Transactions that stand on the ledger, with the height of their block."""

    @classmethod
    def begin(cls, genesis: Genesis, authorities: Iterable[Authority]) -> Self:
        """As the genesis file has it; its authorities as the registry has read them."""
        members = [
            Member(name, genesis.runners[name], key) for name, key in genesis.validators.members
        ]
        return cls(
            (Roster(1, tuple(members)),),
            (Roll(1, tuple(sorted(authorities, key=lambda each: each.id))),),
            (ParameterTable(1, genesis.parameters),),
        )

    def roster(self, height: int) -> Roster:
        """The validators of a height."""
        return _at(self.rosters, height)

    def roll(self, height: int) -> Roll:
        """The authorities of a height."""
        return _at(self.rolls, height)

    def table(self, height: int) -> ParameterTable:
        """The parameters of a height."""
        return _at(self.tables, height)

    def is_changing(self, height: int) -> bool:
        """Whether something is decided that does not hold at this height yet."""
        newest = (self.rosters[-1], self.rolls[-1], self.tables[-1])
        return any(era.first > height for era in newest)

    def validators(self, height: int) -> ValidatorSet:
        """The set that seals a height; of heights that are not decided yet, the newest."""
        return self.roster(height).validators

    def holders(self, height: int) -> dict[str, tuple[Member, ...]]:
        """Who may be talked to at a height: its validators and the next two's, and observers.

        By id; two entries while a key is being rotated.
        """
        found: dict[str, list[Member]] = {}
        newest = self.roster(height + DELAY)
        rosters = [self.roster(each).members for each in range(height, height + DELAY + 1)]
        for member in (*(each for members in rosters for each in members), *newest.observers):
            known = found.setdefault(member.id, [])
            if all(each.key != member.key for each in known):
                known.append(member)
        return {name: tuple(members) for name, members in found.items()}

    @cached_property
    def validator_keys_ever(self) -> frozenset[bytes]:
        """Raw keys that a validator has, had or will have."""
        return frozenset(each.key.raw for roster in self.rosters for each in roster.members)

    @cached_property
    def authority_keys_ever(self) -> frozenset[bytes]:
        """Raw keys that an authority has, had or will have."""
        return frozenset(each.key.raw for roll in self.rolls for each in roll.authorities)

    def standing(self, authority: str, height: int) -> str:
        """`active`, `pending` or `revoked`; empty of one that was never named."""
        newest = self.rolls[-1]
        if any(each.id == authority for each in self.roll(height).authorities):
            return "active"
        if any(each.id == authority for each in newest.authorities):
            return "pending"
        return "revoked" if authority in newest.revoked else ""

    def with_next(self, following: Next, transaction: bytes, height: int) -> "Ruling":
        """This and what a transaction in a block of that height decides."""
        return self._with([following], {transaction: height})

    def _with(self, eras: Iterable[Next], decided: Mapping[bytes, int]) -> "Ruling":
        rosters, rolls, tables = list(self.rosters), list(self.rolls), list(self.tables)
        for era in eras:
            match era:
                case Roster():
                    rosters.append(era)
                case Roll():
                    rolls.append(era)
                case ParameterTable():
                    tables.append(era)
        return Ruling(tuple(rosters), tuple(rolls), tuple(tables), {**self.decided, **decided})

    def restored(
        self, eras: Iterable[tuple[bytes, bytes]], decided: Iterable[tuple[bytes, bytes]]
    ) -> "Ruling":
        """This and what the state's rows tell (`era_row`, `height_value`), in order of key."""
        transactions = {name: int.from_bytes(value, "big") for name, value in decided}
        return self._with([_stored_era(row, value) for row, value in eras], transactions)


_KINDS: dict[bytes, type[Roster] | type[Roll] | type[ParameterTable]] = {
    b"validators": Roster,
    b"authorities": Roll,
    b"parameters": ParameterTable,
}


def era_row(era: Next) -> bytes:
    """Where the state keeps it: its kind and first height."""
    kind = next(name for name, each in _KINDS.items() if isinstance(era, each))
    return kind + b"\0" + era.first.to_bytes(8, "big")


def _stored_era(row: bytes, value: bytes) -> Next:
    kind = _KINDS.get(row[:-9])
    if kind is None:
        raise Malformed(f"the state has a ruling of an unknown kind {row[:-9]!r}")
    return kind.of(int.from_bytes(row[-8:], "big"), value)
