"""The light client: which validators to believe, from the genesis file or a checkpoint upwards.

Follows changes of the validator set by the headers that announce them: each header is sealed by a
quorum of the set before it and names the hash of the set after it. Knows nothing of transactions or
state.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from wire import cbor, fields
from wire.block import Commit, Header, ValidatorSet, verify_commit
from wire.errors import Malformed
from wire.genesis import Genesis

CHECKPOINT_FORMAT = 1


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


@dataclass(frozen=True)
class Checkpoint:
    """A later place to begin than the genesis file: whoever hands it over is believed."""

    header: bytes
    """The header of a block."""

    validators: ValidatorSet
    """The set that seals the next block; its hash is the header's `next_validators_hash`."""

    @property
    def encoded(self) -> bytes:
        """The checkpoint file."""
        return cbor.encode([CHECKPOINT_FORMAT, self.header, self.validators.items()])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a checkpoint file; raises Malformed or BadKey when it is none."""
        form, header, validators = fields.items(cbor.decode(data), "checkpoint", 3)
        if form != CHECKPOINT_FORMAT:
            raise Malformed("not a checkpoint of format 1")
        found = cls(fields.blob(header, "header"), ValidatorSet.from_items(validators))
        if found.content.next_validators_hash != found.validators.hash:
            raise Malformed("the checkpoint's validators are not those that its header names")
        return found

    @property
    def content(self) -> Header:
        """The decoded header."""
        return Header.decode(self.header)


def encode_changes(changes: Sequence[SetChange]) -> bytes:
    """Changes as a list, as bootnodes are told them."""
    return cbor.encode([change.items() for change in changes])


def decode_changes(data: bytes) -> list[SetChange]:
    """Read such a list; raises Malformed or BadKey."""
    return [
        SetChange.from_items(change) for change in fields.items(cbor.decode(data), "set changes")
    ]


class LightClient:
    """Validator sets by height, each believed because the one before it sealed it."""

    def __init__(self, network: bytes, validators: ValidatorSet, first: int = 1) -> None:
        """Begin with a set that is believed.

        Args:
            network: network id, 32 bytes.
            validators: the set.
            first: the first height that it seals.
        """
        self.network = network
        self._eras = [(first, validators)]

    @classmethod
    def of(cls, genesis: Genesis, checkpoint: Checkpoint | None = None) -> Self:
        """Begin with the genesis file, or later with a checkpoint of its network.

        Raises WrongNetwork when the checkpoint is of another.
        """
        if checkpoint is None:
            return cls(genesis.network, genesis.validators)
        header = checkpoint.content
        if header.network != genesis.network:
            raise WrongNetwork("the checkpoint is of another network than the genesis file")
        return cls(genesis.network, checkpoint.validators, header.height + 1)

    def follow(self, changes: Sequence[SetChange]) -> None:
        """Accept changes in order of height; ones that are known already change nothing.

        Raises:
            Refused: a change that the set before it has not sealed.
        """
        for change in changes:
            header = Header.decode(change.header)
            newest, validators = self._eras[-1]
            if header.height < newest:
                continue
            self._check(header, change.commit)
            if change.validators.hash != header.next_validators_hash:
                raise WrongHeader("the new validator set is not the one that the header names")
            if change.validators.hash != validators.hash:
                self._eras.append((header.height + 1, change.validators))

    @property
    def sets(self) -> tuple[ValidatorSet, ...]:
        """Every set that is known, the newest last."""
        return tuple(validators for _, validators in self._eras)

    @property
    def known(self) -> int:
        """The first height that the newest known set seals: changes up to there are not needed."""
        return self._eras[-1][0]

    @property
    def newest(self) -> ValidatorSet:
        """The newest set that is known."""
        return self._eras[-1][1]

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
        if header.height < self._eras[0][0]:
            raise WrongHeader(
                f"block {header.height} is older than the checkpoint, which proves later ones"
            )
        validators = self.validators(header.height)
        if header.validators_hash != validators.hash:
            raise WrongHeader(
                "a header sealed by a validator set that the known ones do not lead to"
            )
        verify_commit(commit, validators, self.network, header.height)
