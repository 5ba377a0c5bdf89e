"""An adversary that forges whatever a Byzantine validator may, and the honest ones it fights.

It has the keys of f validators and everything that honest ones have ever sent. From this it makes
any message: its own votes and claims for anything, at any height and round; proposals that mix real
signatures of honest validators with its own, too few, twice, of other rounds; signatures taken from
one message and put to another, of other networks, of nobody; replays; attachments changed, bodies
changed; bytes. What of it is a message decides `open_message`, with real keys.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from validator.consensus.messages import (
    Commit,
    Message,
    Prepare,
    Proposal,
    RoundChange,
    encode_message,
)
from wire.keys import SoftSigner

OTHER_NETWORK = b"\x77" * 32
MOST_ROUND = 2**32 - 1


class Forger:
    """The adversary's pen."""

    def __init__(
        self,
        chance: random.Random,
        network: bytes,
        height: int,
        keys: dict[str, SoftSigner],
        honest: Sequence[str],
    ) -> None:
        """Take the adversary's keys, by validator id, and who is honest."""
        self._chance = chance
        self._network = network
        self._height = height
        self._keys = keys
        self._honest = tuple(honest)
        self._seen: list[Message] = []
        self.values: list[tuple[bytes, bytes]] = []
        """(digest, block) of all values that anyone has proposed, and of those made up."""

    def see(self, message: Message) -> None:
        """An honest validator has sent this."""
        self._seen.append(message)
        if isinstance(message, Proposal) and message.block:
            self.values.append((message.digest, message.block))

    def forge(self) -> bytes:
        """Make up a message."""
        makers: list[Callable[[], Message | None]] = [
            self._vote,
            self._round_change,
            self._proposal,
            self._proposal,
            self._borrowed,
            self._replay,
            self._tampered,
        ]
        message = self._chance.choice(makers)()
        data = self._chance.randbytes(40) if message is None else encode_message(message)
        if self._chance.random() < 0.02:
            at = self._chance.randrange(len(data))
            data = data[:at] + self._chance.randbytes(1) + data[at + 1 :]
        return data

    # What it takes.

    def _pick(self, kind: type) -> Any:
        found = [each for each in self._seen if type(each) is kind]
        return self._chance.choice(found) if found else None

    def _round(self) -> int:
        known = [each.round for each in self._seen] or [0]
        near = self._chance.choice(known) + self._chance.choice((-1, 0, 0, 0, 1))
        far = self._chance.choice((2**31, MOST_ROUND))
        return max(0, min(MOST_ROUND, near if self._chance.random() < 0.95 else far))

    def _at_height(self) -> int:
        return max(0, self._height + self._chance.choice((0,) * 18 + (-1, 1)))

    def _value(self) -> tuple[bytes, bytes]:
        if self.values and self._chance.random() < 0.9:
            return self._chance.choice(self.values)
        return self._chance.randbytes(32), b""

    def _signed(self, message: Any) -> Any:
        """Sign as oneself; now and then for another network."""
        network = OTHER_NETWORK if self._chance.random() < 0.03 else self._network
        signature = self._keys[message.sender].sign(message.signed_bytes(network))
        return replace(message, signature=signature)

    def _me(self) -> str:
        return self._chance.choice(sorted(self._keys))

    # What it makes.

    def _vote(self) -> Message:
        made = self._chance.choice((Prepare, Commit))
        vote: Message = self._signed(
            made(self._at_height(), self._round(), self._me(), self._value()[0])
        )
        return vote

    def _prepares(self, number: int | None, digest: bytes | None) -> tuple[Prepare, ...]:
        """Real PREPAREs of honest ones for a value, with its own; or a mixture."""
        found = [each for each in self._seen if type(each) is Prepare]
        if number is not None and digest is not None:
            if self._chance.random() < 0.8:
                found = [each for each in found if (each.round, each.digest) == (number, digest)]
            own = [Prepare(self._height, number, name, digest) for name in self._keys]
            found += [self._signed(each) for each in own]
        self._chance.shuffle(found)
        distinct = {each.sender: each for each in found}
        twice = self._chance.choices(found, k=2) if found and self._chance.random() < 0.2 else []
        return (*distinct.values(), *twice)[: self._chance.choice((2, 3, 5, 8))]

    def _round_change(self) -> Message:
        number = self._round()
        claim: tuple[int | None, bytes | None] = (None, None)
        if number and self._chance.random() < 0.7:
            before = self._chance.randrange(max(0, number - 2), number + 1)
            claim = (before, self._value()[0])
        prepares = self._prepares(*claim)
        if claim == (None, None) and self._chance.random() < 0.9:
            prepares = ()
        made = RoundChange(self._at_height(), number, self._me(), *claim)
        change: RoundChange = self._signed(made)
        return replace(change, prepares=prepares)

    def _changes(self, number: int) -> tuple[RoundChange, ...]:
        """Real ROUND-CHANGEs of honest ones, with its own claims, mostly of the right round."""
        real = [each for each in self._seen if isinstance(each, RoundChange)]
        if self._chance.random() < 0.85:
            real = [each for each in real if each.round == number]
        found = {each.sender: each.bare() for each in real}
        for name in self._keys:
            before = number - 1 if number and self._chance.random() < 0.5 else None
            digest = None if before is None else self._value()[0]
            found[name] = self._signed(RoundChange(self._height, number, name, before, digest))
        changes = list(found.values())
        self._chance.shuffle(changes)
        if changes and self._chance.random() < 0.1:
            changes.append(changes[0])
        return tuple(changes[: self._chance.choice((2, 3, 4, 8))])

    def _proposal(self) -> Message:
        number, (digest, block) = self._round(), self._value()
        changes = () if number == 0 else self._changes(number)
        claimed = [each for each in changes if each.prepared_round is not None]
        prepares: tuple[Prepare, ...] = ()
        if claimed and self._chance.random() < 0.8:
            chosen = max(claimed, key=lambda each: each.prepared_round or 0)
            digest = chosen.prepared_digest or digest
            block = dict(self.values).get(digest, block)
            prepares = self._prepares(chosen.prepared_round, digest)
        made = Proposal(self._at_height(), number, self._me(), digest, block)
        signed: Proposal = self._signed(made)
        return replace(signed, round_changes=changes, prepares=prepares)

    def _borrowed(self) -> Message | None:
        """An honest validator's name, with a signature of its own or of another message."""
        template = self._pick(self._chance.choice((Prepare, Commit, RoundChange, Proposal)))
        if template is None:
            return None
        other = self._chance.choice(self._seen)
        own = self._keys[self._me()].sign(template.signed_bytes(self._network))
        changed: dict[str, Any] = {"signature": self._chance.choice((own, other.signature))}
        changed["sender"] = self._chance.choice(self._honest)
        if self._chance.random() < 0.5:
            changed["round"] = self._round()
        if not isinstance(template, RoundChange):
            changed["digest"] = self._value()[0]
        return replace(template, **changed)  # type: ignore[no-any-return]  # as `template`

    def _replay(self) -> Message | None:
        return self._chance.choice(self._seen) if self._seen else None

    def _tampered(self) -> Message | None:
        """An honest validator's message with what it did not sign changed."""
        proposal, change = self._pick(Proposal), self._pick(RoundChange)
        if proposal is not None and self._chance.random() < 0.6:
            parts: list[dict[str, Any]] = [
                {"block": self._value()[1]},
                {"prepares": self._prepares(0, proposal.digest)},
                {"round_changes": self._changes(proposal.round)},
                {"round_changes": (), "prepares": ()},
            ]
            tampered: Message = replace(proposal, **self._chance.choice(parts))
            return tampered
        if change is not None:
            wrong: Message = replace(
                change, prepares=self._prepares(*(change.claim or (None, None)))
            )
            return wrong
        return None
