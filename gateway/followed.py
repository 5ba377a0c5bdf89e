"""What is registered of a gateway itself, by the genesis file and the signed changes since.

Decides which keys are the gateway's at a time: a rotation is believed because the key before it has
signed it, an entry because its operator has. Whether a block has them, the validators know; until
one has, they answer that the key is unknown, and readings wait.
"""

from typing import Any

from gateway.config import GatewayConfig
from gateway.config_table import BadConfiguration
from wire.errors import Malformed, Refused
from wire.genesis import Genesis
from wire.keys import PublicKey
from wire.transaction import Transaction
from wire.transaction_bodies import ROLES, Entry, RotateKey


def own_entry(config: GatewayConfig, genesis: Genesis, at_s: int) -> dict[str, Any]:
    """The gateway's entry at a time; raises BadConfiguration when nothing registers it."""
    named = (each for each in genesis.registry["gateways"] if each["id"] == config.id)
    newest: dict[str, Any] | None = next(named, None)
    entry = newest
    for path in config.token.changes:
        try:
            transaction = Transaction.open(path.read_bytes())
            newest = _followed(config.id, genesis, transaction, newest)
        except OSError as reason:
            raise BadConfiguration(f"the change {path}: {reason.strerror}") from None
        except Refused as reason:
            raise BadConfiguration(f"the change {path} does not stand: {reason}") from None
        if entry is None or transaction.from_s <= at_s:
            entry = newest
    if entry is None:
        cure = "register it, and name the signed file in 'changes'"
        raise BadConfiguration(f"gateway {config.id} is not in the genesis registry: {cure}")
    return entry


def _followed(
    gateway: str, genesis: Genesis, transaction: Transaction, before: dict[str, Any] | None
) -> dict[str, Any]:
    """The entry after a change; raises Refused when it is not about this gateway, or unsigned."""
    if transaction.network != genesis.network:
        raise Malformed(f"it is for another network than {genesis.topic_name}")
    match transaction.body:
        case Entry(table="gateways", entry=entry) if entry["id"] == gateway:
            operator = _key_of(genesis, str(entry.get("operator")))
            transaction.sign.verify(operator)
            return dict(entry)
        case RotateKey(statement=said) if said.holder == gateway and before is not None:
            table, name = ROLES.get(said.role, ("", ""))
            if table == "gateways":
                body = transaction.body
                body.announcement.verify(PublicKey.from_text(before[name]))
                return {**before, name: said.new.text}
    raise Malformed(f"it changes nothing of gateway {gateway}")


def _key_of(genesis: Genesis, authority: str) -> PublicKey:
    for entry in genesis.registry["authorities"]:
        if entry["id"] == authority:
            return PublicKey.from_text(entry["key"])
    raise Malformed(f"its operator {authority!r} is no authority of the genesis file")
