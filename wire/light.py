"""The light client: which validators to believe, from the genesis file or a trusted header upwards.

Follows changes of the validator set by the headers that announce them: each header is sealed by a
quorum of the set before it and names the hash of the set after it. Knows nothing of transactions or
state.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from wire import fields
from wire.block import Commit, Header, ValidatorSet, verify_commit
from wire.errors import Malformed


class WrongNetwork(Malformed):
    """A header of another network than the genesis file's."""

    code = "wrong-network"


class WrongHeader(Malformed):
    """A header that is not the one its seals speak of."""

    code = "wrong-header"


@dataclass(frozen=True)
class SetChange:
    """One change of the validator set."""

    header: bytes
    """The last header sealed by the old set; its `next_validators_hash` names the new one."""

    commit: Commit
    """Its seals."""

    validators: ValidatorSet
    """The new set."""

    def items(self) -> list[Any]:
        """As encoded."""
        return [self.header, self.commit.items(), self.validators.items()]

    @classmethod
    def from_items(cls, value: Any) -> Self:
        """Read a decoded change; raises Malformed."""
        header, commit, validators = fields.items(value, "validator-set change", 3)
        return cls(
            fields.blob(header, "header"),
            Commit.from_items(commit),
            ValidatorSet.from_items(validators),
        )


class LightClient:
    """Validator sets by height, each believed because the one before it sealed it."""

    def __init__(self, network: bytes, validators: ValidatorSet) -> None:
        self.network = network
        self._eras = [(1, validators)]

    def follow(self, changes: Sequence[SetChange]) -> None:
        """Accept changes in order of height; ones that are known already change nothing.

        Raises:
            Refused: a change that the set before it has not sealed.
        """
        for change in changes:
            header = Header.decode(change.header)
            if header.height < self._eras[-1][0]:
                continue
            self._check(header, change.commit)
            if change.validators.hash != header.next_validators_hash:
                raise WrongHeader("the new validator set is not the one that the header names")
            self._eras.append((header.height + 1, change.validators))

    def validators(self, height: int) -> ValidatorSet:
        """The set that seals `height`, as far as changes are known."""
        return next(
            (era for first, era in reversed(self._eras) if first <= height), self._eras[0][1]
        )

    def verify_header(self, encoded: bytes, commit: Commit) -> Header:
        """Return the header when a quorum of a set in force has sealed it.

        Raises:
            WrongHeader: the commit is of another header, or the header of a set not in force.
            WrongNetwork: of another network.
            TooFewSeals, BadSignature: the seals do not make it final.
        """
        header = Header.decode(encoded)
        self._check(header, commit)
        return header

    def _check(self, header: Header, commit: Commit) -> None:
        if commit.digest != header.digest:
            raise WrongHeader("the seals are for another header than this one")
        if header.network != self.network:
            raise WrongNetwork(
                f"a header of network {header.network.hex()[:8]}, not {self.network.hex()[:8]}"
            )
        validators = self.validators(header.height)
        if header.validators_hash != validators.hash:
            raise WrongHeader(
                "a header sealed by a validator set that the genesis file does not lead to"
            )
        verify_commit(commit, validators, self.network, header.height)
