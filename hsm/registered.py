"""Which key the registry has of a holder in a role: the one that may announce its successor.

Decides where the genesis file keeps each role's key. That a genesis file is the network's own, who
keeps it decides.
"""

from wire.errors import Malformed, Refused
from wire.genesis import Genesis
from wire.keys import PublicKey

ROLES = ("witness", "reader", "validator", "operator")
_FIELDS = {
    "witness": ("gateways", "witness_key"),
    "reader": ("gateways", "reader_key"),
    "operator": ("authorities", "key"),
}


class NotRegistered(Refused):
    """The registry has no key of this holder in this role, or another one than is given."""

    code = "not-registered"


def registered_key(genesis: Genesis, holder: str, role: str) -> PublicKey:
    """The holder's key in this role.

    Raises:
        NotRegistered: the genesis file names no such holder, or the role is unknown.
        Malformed: the genesis registry is damaged.
    """
    if role == "validator":
        keys = dict(genesis.validators.members)
    elif role in _FIELDS:
        keys = _keys(genesis, *_FIELDS[role])
    else:
        raise NotRegistered(f"the role {role} has no registered keys: {', '.join(ROLES)} have")
    if holder not in keys:
        known = ", ".join(sorted(keys)) or "none"
        raise NotRegistered(
            f"{holder} has no registered {role} key in {genesis.topic_name}; who has one: {known}"
        )
    return keys[holder]


def check_registered(genesis: Genesis, holder: str, role: str, key: PublicKey) -> None:
    """Raise NotRegistered when `key` is not the holder's registered one in this role."""
    registered = registered_key(genesis, holder, role)
    if key != registered:
        raise NotRegistered(
            f"{key.kid.hex()} is not {holder}'s registered {role} key, which is"
            f" {registered.kid.hex()}: only that one can announce its successor"
        )


def _keys(genesis: Genesis, where: str, field: str) -> dict[str, PublicKey]:
    try:
        return {
            str(entry["id"]): PublicKey.from_text(entry[field]) for entry in genesis.registry[where]
        }
    except (KeyError, TypeError, ValueError) as reason:
        raise Malformed(f"genesis: {where} cannot be read: {reason!r}") from None
