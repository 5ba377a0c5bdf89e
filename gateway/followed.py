"""The registry as a gateway is told of it: the genesis file's, and signed changes since.

Decides which keys, technicians and zones are registered at a time: an entry is believed because its
operator has signed it, a rotation because the key before it has. What a technician commissioned
stands when he is no more, so that technicians stay known. Whether a block has a change, the
validators know; until one has, they answer that something is unknown, and readings wait.
"""

from dataclasses import replace
from typing import Any

from gateway.config import GatewayConfig
from gateway.config_table import BadConfiguration
from wire.errors import Malformed, Refused
from wire.genesis import Genesis
from wire.keys import PublicKey
from wire.transaction import Transaction
from wire.transaction_bodies import ROLES, Entry, Retirement, RotateKey

_OPERATED = ("gateways", "technicians", "zones")
"""What has an operator of its own, whose signature is enough here."""

_Tables = dict[str, dict[str, dict[str, Any]]]


def followed(config: GatewayConfig, genesis: Genesis, at_s: int) -> Genesis:
    """The genesis file with what the named changes have made of it at a time.

    Raises:
        BadConfiguration: a change cannot be read, is another network's, or is not signed.
    """
    newest, in_force = _tables(genesis), _tables(genesis)
    for path in config.token.changes:
        try:
            transaction = Transaction.open(path.read_bytes())
            if transaction.network != genesis.network:
                raise Malformed(f"it is for another network than {genesis.topic_name}")
            table, name, entry = _change(genesis, transaction, newest)
        except OSError as reason:
            raise BadConfiguration(f"the change {path}: {reason.strerror}") from None
        except Refused as reason:
            raise BadConfiguration(f"the change {path} does not stand: {reason}") from None
        _put(newest, table, name, entry)
        if table == "technicians" and entry is not None:
            in_force[table][str(entry["key"])] = entry
        elif table != "technicians" and (transaction.from_s <= at_s or name not in in_force[table]):
            _put(in_force, table, name, entry)
    changed = {table: list(entries.values()) for table, entries in in_force.items()}
    return replace(genesis, registry={**genesis.registry, **changed})


def _tables(genesis: Genesis) -> _Tables:
    return {
        table: {str(each["id"]): each for each in genesis.registry[table]}
        for table in (*_OPERATED, "meters")
    }


def _put(tables: _Tables, table: str, name: str, entry: dict[str, Any] | None) -> None:
    if entry is None:
        tables[table].pop(name, None)
    else:
        tables[table][name] = entry


def _change(
    genesis: Genesis, transaction: Transaction, known: _Tables
) -> tuple[str, str, dict[str, Any] | None]:
    """Table, id and entry after a change; raises Refused when nobody who may has signed it."""
    match transaction.body:
        case Entry(table=table, entry=entry) if table in _OPERATED:
            transaction.sign.verify(_key_of(genesis, str(entry.get("operator"))))
            return table, str(entry["id"]), dict(entry)
        case Retirement(table=table, id=name) if name in known.get(table, {}):
            transaction.sign.verify(_key_of(genesis, str(known[table][name].get("operator"))))
            return table, name, None
        case RotateKey(statement=said) as body if said.role in ROLES:
            table, field = ROLES[said.role]
            before = known[table].get(said.holder)
            if before is not None and before[field]:
                body.announcement.verify(PublicKey.from_text(before[field]))
                return table, said.holder, {**before, field: said.new.text}
    raise Malformed(f"a {transaction.kind} of what a gateway does not know")


def _key_of(genesis: Genesis, authority: str) -> PublicKey:
    for entry in genesis.registry["authorities"]:
        if entry["id"] == authority:
            return PublicKey.from_text(entry["key"])
    raise Malformed(f"its operator {authority!r} is no authority of the genesis file")
