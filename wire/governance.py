"""Who rules a network, changed by its authorities: validators, parameters, the authorities' keys.

Bodies of transactions that q authorities sign with keys that are not the validators'. Each names
the hash of what it changes, so that two proposals that do not know of each other can never compose.
Decides shape and size only; what may change, and when it holds, is decided by the validators
(`validator.app.governance`).
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from wire import cbor, fields
from wire.errors import Malformed
from wire.keys import PublicKey

CHANGE_VALIDATORS = "change-validators"
CHANGE_AUTHORITIES = "change-authorities"
CHANGE_PARAMETERS = "change-parameters"

ADD, REMOVE, EXPEL, ROTATE, REVOKE = "add", "remove", "expel", "rotate", "revoke"

MOST_STEPS = 16
MOST_PARAMETERS = 64
LONGEST_PLACE = 4 * 1024
LONGEST_NAME = 120


@dataclass(frozen=True, slots=True)
class ValidatorStep:
    """One change of one validator."""

    verb: str
    """ADD; ROTATE, another key for the same id; REMOVE, it goes on as an observer; EXPEL, it is
    not let in any more."""

    id: str
    """Validator id."""

    authority: str = ""
    """Authority that runs it, of an addition."""

    key: PublicKey | None = None
    """Its key from then on, of an addition or a rotation; the key signs the transaction too."""

    place: bytes = b""
    """Its signed address (`wire.peer.Place`), of an addition or a rotation; empty when others
    learn it elsewhere."""

    def items(self) -> list[Any]:
        """As encoded."""
        match self.verb:
            case "add":
                return [self.verb, self.id, self.authority, _cose(self.key), self.place]
            case "rotate":
                return [self.verb, self.id, _cose(self.key), self.place]
        return [self.verb, self.id]

    @classmethod
    def of_items(cls, value: Any) -> Self:
        """Read a decoded step; raises Malformed or BadKey."""
        match value:
            case ["add", name, authority, key, place]:
                authority = fields.identifier(authority, "authority")
                return cls(ADD, _id(name), authority, PublicKey.from_cose(key), _place(place))
            case ["rotate", name, key, place]:
                return cls(ROTATE, _id(name), "", PublicKey.from_cose(key), _place(place))
            case [("remove" | "expel") as verb, name]:
                return cls(verb, _id(name))
        raise Malformed("a validator is added, rotated, removed or expelled")


@dataclass(frozen=True, slots=True)
class AuthorityStep:
    """One change of one authority."""

    verb: str
    """ADD; ROTATE, another key; REVOKE, for ever."""

    id: str
    """Authority id."""

    name: str = ""
    """Name for people, of an addition."""

    kind: str = ""
    """Kind of organisation, of an addition."""

    key: PublicKey | None = None
    """Its key from then on, of an addition or a rotation; the key signs the transaction too."""

    def items(self) -> list[Any]:
        """As encoded."""
        match self.verb:
            case "add":
                return [self.verb, self.id, self.name, self.kind, _cose(self.key)]
            case "rotate":
                return [self.verb, self.id, _cose(self.key)]
        return [self.verb, self.id]

    @classmethod
    def of_items(cls, value: Any) -> Self:
        """Read a decoded step; raises Malformed or BadKey."""
        match value:
            case ["add", name, str(title), str(kind), key]:
                if max(len(title), len(kind)) > LONGEST_NAME:
                    raise Malformed(f"an authority's name has more than {LONGEST_NAME} characters")
                return cls(ADD, _id(name), title, kind, PublicKey.from_cose(key))
            case ["rotate", name, key]:
                return cls(ROTATE, _id(name), key=PublicKey.from_cose(key))
            case ["revoke", name]:
                return cls(REVOKE, _id(name))
        raise Malformed("an authority is added, rotated or revoked")


@dataclass(frozen=True, slots=True)
class ChangeValidators:
    """Another validator set, two blocks after the one that has this."""

    kind: ClassVar[str] = CHANGE_VALIDATORS

    base: bytes
    """Hash of the set that it changes, 32 bytes: the newest that is decided."""

    steps: tuple[ValidatorStep, ...]
    """What changes, each validator once."""

    def items(self) -> list[Any]:
        """As encoded."""
        return [self.kind, self.base, [step.items() for step in self.steps]]

    @classmethod
    def of_items(cls, value: Any) -> Self:
        """Read a decoded body; raises Malformed or BadKey."""
        base, steps = _head(value, cls.kind)
        found = tuple(map(ValidatorStep.of_items, fields.items(steps, "steps")))
        _check_steps(found)
        return cls(base, found)


@dataclass(frozen=True, slots=True)
class ChangeAuthorities:
    """Other authorities or keys of theirs, two blocks after the one that has this."""

    kind: ClassVar[str] = CHANGE_AUTHORITIES

    base: bytes
    """Hash of the authorities that it changes (`authorities_hash`), 32 bytes."""

    steps: tuple[AuthorityStep, ...]
    """What changes, each authority once."""

    def items(self) -> list[Any]:
        """As encoded."""
        return [self.kind, self.base, [step.items() for step in self.steps]]

    @classmethod
    def of_items(cls, value: Any) -> Self:
        """Read a decoded body; raises Malformed or BadKey."""
        base, steps = _head(value, cls.kind)
        found = tuple(map(AuthorityStep.of_items, fields.items(steps, "steps")))
        _check_steps(found)
        return cls(base, found)


@dataclass(frozen=True, slots=True)
class ChangeParameters:
    """Other parameters, two blocks after the one that has this."""

    kind: ClassVar[str] = CHANGE_PARAMETERS

    base: bytes
    """Hash of the parameters that it changes: a header's `params_hash`, 32 bytes."""

    values: tuple[tuple[str, int], ...]
    """(name, value) of those that change, in order of name."""

    def items(self) -> list[Any]:
        """As encoded."""
        return [self.kind, self.base, dict(self.values)]

    @classmethod
    def of_items(cls, value: Any) -> Self:
        """Read a decoded body; raises Malformed."""
        base, values = _head(value, cls.kind)
        if not isinstance(values, dict) or not 1 <= len(values) <= MOST_PARAMETERS:
            raise Malformed(f"parameters are a map of 1 to {MOST_PARAMETERS} entries")
        if not all(isinstance(name, str) for name in values):
            raise Malformed("a parameter's name is text")
        found = {name: fields.uint(values[name], f"parameter {name[:40]}") for name in values}
        return cls(base, tuple(sorted(found.items())))


Governing = ChangeValidators | ChangeAuthorities | ChangeParameters


def authorities_hash(authorities: Iterable[tuple[str, PublicKey]]) -> bytes:
    """What a change of authorities names: SHA-256 of `[[id, COSE_Key], …]` in order of id.

    Args:
        authorities: (id, key) of those that are not revoked.
    """
    found = sorted(authorities, key=lambda each: each[0])
    return hashlib.sha256(cbor.encode([[name, key.to_cose()] for name, key in found])).digest()


def new_keys(body: Governing) -> tuple[PublicKey, ...]:
    """Keys that a change brings in: each signs it, which shows that somebody holds it."""
    if isinstance(body, ChangeParameters):
        return ()
    return tuple(step.key for step in body.steps if step.key is not None)


def _head(value: Any, kind: str) -> tuple[bytes, Any]:
    found, base, content = fields.items(value, kind, 3)
    if found != kind:
        raise Malformed(f"a body of kind {kind} was expected")
    return fields.octets(base, "base", 32), content


def _check_steps(steps: Sequence[ValidatorStep | AuthorityStep]) -> None:
    if not 1 <= len(steps) <= MOST_STEPS:
        raise Malformed(f"{len(steps)} steps, not 1 to {MOST_STEPS}")
    if len({step.id for step in steps}) != len(steps):
        raise Malformed("one id stands in two steps")


def _id(value: Any) -> str:
    return fields.identifier(value, "id")


def _place(value: Any) -> bytes:
    return fields.blob(value, "place", most=LONGEST_PLACE)


def _cose(key: PublicKey | None) -> dict[int, Any]:
    assert key is not None, "an addition or a rotation has a key"
    return key.to_cose()
