"""Consensus messages that arrive: each distinct one is checked once.

Decides what is worth a signature check: a message of a height that can still matter, that was not
checked before. What was checked is delivered again when it comes again, since whoever dropped it
for want of room needs the repetition; the memory for it is bounded.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable

from validator.consensus.messages import Message, decode_message, open_message
from validator.node.frames import check_size
from wire.block import ValidatorSet

MOST_ITEMS = 4_000
"""CBOR items of a message: a proposal of 100 validators carries 134 attached ones."""

MOST_KEPT = 2_000
MOST_KEPT_BYTES = 16 * 1024 * 1024

AHEAD = 2
"""Heights above the newest block whose messages are kept: the present one and the next."""


class Hearing:
    """Opens messages, remembers which stood."""

    def __init__(self, network: bytes, validators: Callable[[int], ValidatorSet]) -> None:
        """Take who may speak.

        Args:
            network: network id, 32 bytes.
            validators: tells the set of a height.
        """
        self._network = network
        self._validators = validators
        self._known: OrderedDict[bytes, tuple[Message, int]] = OrderedDict()
        self._bytes = 0
        self.opened = 0
        """Messages whose signatures were checked."""

    def open(self, data: bytes, tip: int) -> Message | None:
        """The message; None when its height no longer matters, or does not yet.

        Raises:
            Malformed: no message.
            BadSignature: a signature does not stand.

        Args:
            data: the encoded message.
            tip: height of the newest block.
        """
        name = hashlib.sha256(data).digest()
        known = self._known.get(name)
        if known is not None:
            return known[0] if tip <= known[0].height <= tip + AHEAD else None
        check_size(data, MOST_ITEMS)
        height = decode_message(data).height
        if not tip <= height <= tip + AHEAD:
            return None
        message = open_message(data, self._network, self._validators(height))
        self.opened += 1
        self._keep(name, message, len(data))
        return message

    def _keep(self, name: bytes, message: Message, size: int) -> None:
        self._known[name] = (message, size)
        self._bytes += size
        while len(self._known) > MOST_KEPT or self._bytes > MOST_KEPT_BYTES:
            _, (_, dropped) = self._known.popitem(last=False)
            self._bytes -= dropped
