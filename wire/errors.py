"""Who must act when something is not accepted.

`Refused` is the sender's fault: the bytes were examined and are wrong, and sending them again
changes nothing. `Unavailable` is nobody's fault yet: the check or the deed could not be done now;
try again. Anything else that is raised is a bug of ours. The two are never mixed, because a token
that is unplugged is no forged signature.
"""

from typing import ClassVar


class Refused(Exception):
    """The bytes were examined and are wrong.

    `code` is a stable word for scripts, `str()` says why in words.
    """

    code: ClassVar[str] = "refused"


class WrongUsage(Refused):
    """What a command was told can never do: another file or argument cures it, waiting does not."""

    code = "wrong-usage"


class Malformed(Refused):
    """Not the deterministic CBOR, or not the shape, that the format asks for."""

    code = "malformed"


class BadKey(Refused):
    """A public key that must never be trusted: wrong size, not on the curve, small order."""

    code = "bad-key"


class BadSignature(Refused):
    """A signature not made by the named key over these bytes, or not in the accepted form."""

    code = "bad-signature"


class BadProof(Refused):
    """A Merkle path that does not lead from this leaf to this root."""

    code = "bad-proof"


class TooFewSeals(Refused):
    """A commit without seals of a quorum of distinct validators."""

    code = "too-few-seals"


class Unavailable(Exception):
    """Could not be checked or done now (token, broker, disk, peer); nothing was decided.

    Try again.
    """
