"""A key announcement: the old key signs that a new one takes its place, and the new one agrees.

A COSE_Sign (RFC 9052 §4.1): the old key signs first, the new one second, which proves that whoever
announces it has it. Both stand from `from_s` to `until_s`; nothing here takes a key away. Decides
the announcement's shape and whose signatures it carries; whether the old key may speak for its
holder is decided by who keeps the registry.
"""

from dataclasses import dataclass
from typing import Any, Self

from wire import cbor, fields
from wire.cose import HEADER_CONTENT_TYPE, Sign, open_sign
from wire.errors import BadSignature, Malformed
from wire.keys import PublicKey, Signer

CONTENT_TYPE = "application/x-gridwitness-key-announcement"
PROTECTED = cbor.encode({HEADER_CONTENT_TYPE: CONTENT_TYPE})
"""The body's protected header, which both signatures cover."""

FORMAT = 1
MOST_BYTES = 1024


@dataclass(frozen=True, slots=True)
class KeyAnnouncement:
    """What the two keys sign."""

    network: bytes
    """The network's id, 32 bytes: an announcement is for one network."""

    holder: str
    """Whose keys they are: a gateway's or validator's id."""

    role: str
    """What they are for: `witness`, `reader`, `validator`, `operator`."""

    old: bytes
    """COSE key thumbprint of the key in force, 32 bytes."""

    new: PublicKey
    """The key that takes its place."""

    from_s: int
    """Unix seconds from which on the new key signs."""

    until_s: int
    """Unix seconds until which the old key still stands; not before `from_s`."""

    def __post_init__(self) -> None:
        fields.octets(self.network, "network", 32)
        fields.identifier(self.holder, "holder")
        fields.identifier(self.role, "role")
        fields.octets(self.old, "old key", 32)
        fields.uint(self.from_s, "from")
        if fields.uint(self.until_s, "until") < self.from_s:
            raise Malformed("until: before from, so that no key would stand between")
        if self.old == self.new.thumbprint:
            raise Malformed("the new key is the old one")

    @property
    def payload(self) -> bytes:
        """The signed content."""
        return cbor.encode(
            {
                1: FORMAT,
                2: self.network,
                3: self.holder,
                4: self.role,
                5: self.old,
                6: self.new.to_cose(),
                7: self.from_s,
                8: self.until_s,
            }
        )

    @classmethod
    def of_payload(cls, payload: bytes) -> Self:
        """Read the signed content; raises Malformed or BadKey."""
        match cbor.decode(payload):
            case {1: 1, 2: network, 3: holder, 4: role, 5: old, 6: new, 7: start, 8: end, **more}:
                if more:
                    raise Malformed("a key announcement with more fields than 1 to 8")
                return cls(network, holder, role, old, PublicKey.from_cose(new), start, end)
        raise Malformed("a key announcement has the fields 1 to 8, of format 1")


def announce(statement: KeyAnnouncement, old: Signer, new: Signer) -> bytes:
    """Sign with both keys; raises Malformed when they are not the ones that are spoken of."""
    if old.public.thumbprint != statement.old or new.public != statement.new:
        raise Malformed("an announcement is signed by the two keys that it names")
    return Sign(PROTECTED, statement.payload).signed_by(old).signed_by(new).encoded


@dataclass(frozen=True, slots=True)
class SignedAnnouncement:
    """A key announcement as it stood on the wire, its shape checked."""

    encoded: bytes
    """The COSE_Sign as it travels."""

    sign: Sign
    """The envelope."""

    statement: KeyAnnouncement
    """What is announced."""

    @classmethod
    def open(cls, data: bytes) -> Self:
        """Decode and check the shape; raises Malformed. Signatures are checked by `verify`."""
        if len(data) > MOST_BYTES:
            raise Malformed(f"a key announcement of {len(data)} bytes; at most {MOST_BYTES}")
        sign = open_sign(data)
        if sign.protected != PROTECTED:
            raise Malformed(f"a key announcement's content type is {CONTENT_TYPE}")
        statement = KeyAnnouncement.of_payload(sign.payload)
        kids = [kid for _, kid in sign.signers]
        if kids != [statement.old[:8], statement.new.kid]:
            raise Malformed("a key announcement has two signatures: the old key's, the new key's")
        return cls(data, sign, statement)

    def verify(self, old: PublicKey) -> None:
        """Check both signatures; `old` is the key in force, from the registry.

        Raises:
            BadSignature: it was not the key in force that announced, or one has not signed this.
        """
        if old.thumbprint != self.statement.old:
            raise BadSignature(f"announced by another key than the one in force {old.kid.hex()}")
        self.sign.verify(old)
        self.sign.verify(self.statement.new)


def stands(statement: KeyAnnouncement, at_s: int) -> tuple[bool, bool]:
    """Whether (the old, the new) key stands at a time, Unix seconds."""
    return at_s <= statement.until_s, at_s >= statement.from_s


def described(statement: KeyAnnouncement) -> dict[str, Any]:
    """The statement for people and scripts."""
    return {
        "network": statement.network.hex(),
        "holder": statement.holder,
        "role": statement.role,
        "old_thumbprint": statement.old.hex(),
        "new_key": statement.new.text,
        "new_kid": statement.new.kid.hex(),
        "from_s": statement.from_s,
        "until_s": statement.until_s,
    }
