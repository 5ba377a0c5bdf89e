"""What a validator remembers of its own votes over a restart.

Decides what the sign-state keeps beside a vote: the whole message and its prepared certificate, so
that the machine of the same height can go on where it was (rule R12).
"""

from dataclasses import replace

from hsm.signstate import DoubleSign, VoteSigner
from validator.consensus.messages import (
    Message,
    PreparedCertificate,
    decode_message,
    encode_message,
)
from wire import cbor, fields
from wire.errors import Unavailable


def attachment(message: Message, certificate: PreparedCertificate | None) -> bytes:
    """What the sign-state keeps beside a vote."""
    kept = certificate.encoded if certificate is not None else b""
    return cbor.encode([encode_message(message), kept])


def said_before(
    signer: VoteSigner, height: int
) -> list[tuple[Message, PreparedCertificate | None]]:
    """What one's key has signed at a height before a restart, in order.

    A vote whose slot was durable but not signed yet is signed now: it is the same bytes. Where the
    key cannot sign now, the vote was never said, and is passed over.
    """
    said = []
    for slot in signer.slots(height):
        encoded, certificate = fields.items(cbor.decode(slot.attachment), "slot", 2)
        try:
            signature = slot.signature or signer.sign(
                slot.height, slot.round, slot.kind, slot.message, slot.attachment
            )
        except (DoubleSign, Unavailable):
            continue
        message = replace(decode_message(encoded), signature=signature)
        said.append((message, PreparedCertificate.decode(certificate) if certificate else None))
    return said
