"""A validator's voice: what the machine wants said is signed, each slot once, before it is sent.

Decides what follows when the key does not sign: what was used for other content, or is guarded, is
left unsaid; a key that is away now is tried again; what only a person can mend ends the speaking.
Says once, not each time, why the validator is silent.
"""

from dataclasses import replace

import structlog

from hsm.signstate import DoubleSign, VoteSigner
from validator.consensus.effects import Speak
from validator.consensus.messages import Message
from validator.node.memory import attachment
from wire.errors import Unavailable

_log = structlog.get_logger()


class Voice:
    """Signs what one validator says."""

    def __init__(self, signer: VoteSigner, network: bytes) -> None:
        """Take the key with its sign-state, and the network that every signature names."""
        self.signer = signer
        self.silent = ""
        """Why the last message was not signed; empty while all are."""
        self._network = network

    def signed(self, effect: Speak) -> Message | None:
        """The message under the key's signature; None when it must stay unsaid.

        Raises:
            Unavailable: the key or its sign-state cannot sign now; try again.
            Refused: a person has to act; the validator must stop speaking.
        """
        message = effect.message
        try:
            signature = self.signer.sign(
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
