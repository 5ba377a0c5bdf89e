"""What the pages are made from: one running validator as its readers may see it.

The pages are served in a thread of their own, so that they answer while a large block is executed.
Decides what that thread may touch: the ledger through a connection that cannot write, values that
never change once they are made (registries, headers), and single numbers; everything that changes
something goes through `submit`, which the validator's own loop does.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from validator.app.application import Application
from validator.app.registry import Registry
from validator.app.ruling import Ruling
from validator.node.ledger_view import LedgerView
from validator.node.mempool import Mempool
from validator.node.registrar import Registrar
from validator.node.tally import Tally
from wire.block import ValidatorSet
from wire.genesis import Genesis
from wire.keys import PublicKey
from wire.transaction import Transaction


@dataclass(frozen=True)
class Sources:
    """One validator, for its pages."""

    id: str
    """Validator id."""

    genesis: Genesis
    """The network's beginning."""

    genesis_file: bytes
    """The same as it is written."""

    application: Application
    """Rules and state."""

    ledger: LedgerView
    """Blocks, readings and seals."""

    registrar: Registrar
    """What has become of transactions."""

    mempool: Mempool
    """What waits for a block."""

    tally: Tally
    """What blocks say of validators and gateways."""

    submit: Callable[[bytes], Awaitable[Transaction]]
    """Takes a transaction; raises Refused or Unavailable."""

    live: Callable[[], Mapping[str, Any]]
    """How the validator is, in the words of the status page."""

    halted: Callable[[], str]
    """Why it has stopped speaking; empty while it goes on."""

    @property
    def height(self) -> int:
        """The newest block."""
        return self.ledger.height

    @property
    def time_ms(self) -> int:
        """Network time of the newest block, Unix milliseconds."""
        newest = self.ledger.outline(self.height)
        return self.genesis.time_ms if newest is None else newest.header.time_ms

    @property
    def registry(self) -> Registry:
        """Who and what is registered for the interval that the newest block is in."""
        return self.application.registries.at(self.time_ms // 1000)

    @property
    def open_readings(self) -> bool:
        """Whether this network's readings are public."""
        genesis = self.genesis
        return bool(genesis.parameters.get("open_readings", genesis.paced_time))

    @property
    def ruling(self) -> Ruling:
        """Validators, authorities and parameters, height by height."""
        return self.application.ruling

    def members(self, height: int) -> ValidatorSet:
        """The validators of a height."""
        return self.ruling.validators(height)

    def authority(self, validator: str) -> str:
        """Whose validator it is; empty when nobody knows."""
        for roster in reversed(self.ruling.rosters):
            for member in roster.members:
                if member.id == validator:
                    return member.authority
        return ""


def address(public: PublicKey) -> str:
    """A validator's address: the first 20 bytes of its key's thumbprint, hexadecimal."""
    return public.thumbprint[:20].hex()
