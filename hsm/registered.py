"""Which key the registry has of a holder in a role: the one that may announce its successor.

Decides where the genesis file keeps each role's key, and how earlier announcements follow each
other from it. That a genesis file is the network's own, who keeps it decides; whether a block has
an announcement, the network.
"""

from collections.abc import Sequence

from wire.announcement import SignedAnnouncement
from wire.errors import Malformed, Refused
from wire.genesis import Genesis
from wire.keys import PublicKey

ROLES = ("witness", "reader", "meter", "technician", "validator", "operator")
_FIELDS = {
    "witness": ("gateways", "witness_key"),
    "reader": ("gateways", "reader_key"),
    "meter": ("meters", "key"),
    "technician": ("technicians", "key"),
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


def followed_key(
    genesis: Genesis, holder: str, role: str, before: Sequence[SignedAnnouncement]
) -> PublicKey:
    """The holder's key in this role after earlier announcements, in the order of their making.

    Raises:
        NotRegistered: the genesis file names no such holder, or an announcement is another's.
        BadSignature: an announcement is not by the key before it.
        Malformed: the genesis registry is damaged.
    """
    key = registered_key(genesis, holder, role)
    for announcement in before:
        statement = announcement.statement
        if (statement.network, statement.holder, statement.role) != (genesis.network, holder, role):
            raise NotRegistered(f"an announcement of {statement.holder}'s {statement.role} key")
        announcement.verify(key)
        key = statement.new
    return key


def check_registered(
    genesis: Genesis,
    holder: str,
    role: str,
    key: PublicKey,
    before: Sequence[SignedAnnouncement] = (),
) -> None:
    """Raise NotRegistered when `key` is not the holder's one in this role, after these."""
    registered = followed_key(genesis, holder, role, before)
    if key != registered:
        raise NotRegistered(
            f"{key.kid.hex()} is not {holder}'s registered {role} key, which is"
            f" {registered.kid.hex()}: only that one can announce its successor"
        )


def _keys(genesis: Genesis, where: str, field: str) -> dict[str, PublicKey]:
    try:
        return {
            str(entry["id"]): PublicKey.from_text(entry[field])
            for entry in genesis.registry[where]
            if entry[field]
        }
    except (KeyError, TypeError, ValueError) as reason:
        raise Malformed(f"genesis: {where} cannot be read: {reason!r}") from None
