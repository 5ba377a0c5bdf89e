"""A validator's voice: what the machine wants said is signed, each slot once, before it is sent.

Decides what follows when the key does not sign: what was used for other content, or is guarded, is
left unsaid; a key that is away now is tried again; what only a person can mend ends the speaking.
Says once, not each time, why the validator is silent.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from hsm.signstate import DoubleSign, VoteSigner
from validator.consensus.effects import Speak
from validator.consensus.messages import Message, PreparedCertificate
from validator.node.memory import attachment, said_before
from wire.block import ValidatorSet
from wire.errors import Unavailable

_log = structlog.get_logger()


class Voice:
    """Signs what one validator says."""

    def __init__(
        self,
        me: str,
        signers: Sequence[VoteSigner],
        validators: Callable[[int], ValidatorSet],
        network: bytes,
    ) -> None:
        """Take who speaks.

        Args:
            me: validator id.
            signers: its keys with their sign-state: one, or two while one takes the other's place.
            validators: tells the set of a height.
            network: network id, 32 bytes, which every signature names.
        """
        self.silent = ""
        """Why the last message was not signed; empty while all are."""
        self._me = me
        self._signers = tuple(signers)
        self._validators = validators
        self._network = network

    def signer(self, height: int) -> VoteSigner | None:
        """The key that the set of a height has of this validator; None when it has no vote."""
        wanted = self._validators(height).key(self._me)
        return next((each for each in self._signers if each.public == wanted), None)

    def said_before(self, height: int) -> list[tuple[Message, PreparedCertificate | None]]:
        """What was signed at a height before a restart, in order."""
        signer = self.signer(height)
        return [] if signer is None else said_before(signer, height)

    def signed(self, effect: Speak) -> Message | None:
        """The message under the key's signature; None when it must stay unsaid.

        Raises:
            Unavailable: the key or its sign-state cannot sign now; try again.
            Refused: a person has to act; the validator must stop speaking.
        """
        message = effect.message
        signer = self.signer(message.height)
        if signer is None:
            return None
        try:
            signature = signer.sign(
                message.height,
                message.round,
                message.kind,
                message.signed_bytes(self._network),
                attachment(message, effect.certificate),
            )
        except (DoubleSign, Unavailable) as reason:
            self._fall_silent(message, reason)
            if isinstance(reason, Unavailable):
                raise
            return None
        self.silent = ""
        return replace(message, signature=signature)

    def _fall_silent(self, message: Message, reason: Exception) -> None:
        if str(reason) != self.silent:
            _log.warning("not signed", height=message.height, kind=message.kind, reason=str(reason))
        self.silent = str(reason)
