"""A new key for an old one's work: announced by the old one, both standing for a while.

Nothing is deleted here, in no token and no file. Which of two keys is the registered one is seen by
the signatures: only those of the pinned key leave.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from hsm.audit import AuditFile, Deed
from hsm.durable import write_new
from hsm.registered import check_registered
from hsm.signer import TokenSigner, open_signer
from hsm.token_process import KeyRefused
from hsm.uri import KeyUri
from wire.announcement import KeyAnnouncement, SignedAnnouncement, announce
from wire.errors import Unavailable
from wire.genesis import Genesis
from wire.keys import PublicKey


@dataclass(frozen=True, slots=True)
class Succession:
    """What is to be announced about two keys."""

    genesis: Genesis
    """The network, whose registry says which key is in force."""

    holder: str
    """Whose keys they are."""

    role: str
    """What they are for."""

    from_s: int
    """Unix seconds from which on the new key signs."""

    until_s: int
    """Unix seconds until which the old key still stands."""

    before: tuple[SignedAnnouncement, ...] = ()
    """Announcements since the genesis file, by which the old key is the one in force."""


def rotate(
    old: KeyUri,
    new: KeyUri,
    succession: Succession,
    out: Path,
    softhsm2_conf: Path | None = None,
    audit: AuditFile | None = None,
) -> KeyAnnouncement:
    """Let both keys sign the announcement, and write it to a new file.

    Raises:
        FileExistsError: the file is there already.
        NotRegistered: the old key is not the holder's registered one; nothing was signed.
        Malformed: the two keys are one, or the times do not fit.
        PinRefused, PinLocked, KeyRefused, Unavailable: one of the keys cannot sign.
    """
    if out.exists():
        raise FileExistsError(17, "exists; choose another name", str(out))
    with ExitStack() as cleanup:
        signers = []
        for uri in (old, new):
            signer = open_signer(uri, softhsm2_conf)
            cleanup.callback(signer.close)
            signers.append(signer)
        before, after = signers
        holder, role = succession.holder, succession.role
        check_registered(succession.genesis, holder, role, before.public, succession.before)
        statement = KeyAnnouncement(
            succession.genesis.network,
            succession.holder,
            succession.role,
            before.public.thumbprint,
            after.public,
            succession.from_s,
            succession.until_s,
        )
        signed = announce(statement, before, after)
    if audit is not None:
        kids = (before.public.kid.hex(), after.public.kid.hex())
        audit.record(
            [Deed("announce-key", kid, "done", (after.public.thumbprint.hex(),)) for kid in kids]
        )
    write_new(out, signed)
    return statement


class StandingSigner:
    """Signs with whichever of a holder's keys is the registered one."""

    def __init__(self, signers: Sequence[TokenSigner]) -> None:
        """Take at least one, all pinned to the registered key; the first is tried first."""
        self._signers = list(signers)
        self.public: PublicKey = signers[0].public

    @property
    def state(self) -> str:
        """Of the signer that signed last."""
        return self._signers[0].state

    def sign(self, message: bytes) -> bytes:
        """Return the raw 64-byte signature over `message`; see `sign_all`."""
        return self.sign_all([message])[0]

    def sign_all(self, messages: Sequence[bytes]) -> list[bytes]:
        """As `TokenSigner.sign_all`; what another key signs does not leave.

        Raises Unavailable when one cannot be asked and the others are not the registered key:
        which one is, is then not known.
        """
        refused: KeyRefused | Unavailable | None = None
        for signer in list(self._signers):
            try:
                signatures = signer.sign_all(messages)
            except (KeyRefused, Unavailable) as reason:
                if not isinstance(refused, Unavailable):
                    refused = reason
                continue
            self._signers.remove(signer)
            self._signers.insert(0, signer)
            return signatures
        assert refused is not None
        raise refused

    def confirm(self) -> None:
        """See that one of the keys is the registered one, without signing.

        Raises KeyRefused when none is, Unavailable when that cannot be seen now.
        """
        instead = []
        for signer in self._signers:
            try:
                found = signer.found()
            except KeyRefused as reason:
                instead.append(str(reason))
                continue
            if found == self.public:
                return
            instead.append(f"there is {found.kid.hex()}")
        raise KeyRefused(f"{self.public.kid.hex()} is registered; {'; '.join(instead)}")

    def close(self) -> None:
        """End the token processes."""
        for signer in self._signers:
            signer.close()


def open_standing(
    uris: Sequence[KeyUri],
    softhsm2_conf: Path | None,
    pinned: PublicKey,
    audit: AuditFile | None = None,
) -> StandingSigner:
    """The signer of the registered key `pinned`, whichever of these names is its."""
    return StandingSigner([open_signer(uri, softhsm2_conf, pinned, audit) for uri in uris])
