"""Looks at a meter over its console: its key, and its last records, verified here.

Decides what is shown, not what is true: a record is verified with the key that the board proves.
Whoever doubts the board compares the key with the label.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from device.provision import asked, faults
from device.provision.console import Console
from device.provision.steps import PROOF
from wire import cbor
from wire.errors import BadKey, BadSignature, Refused
from wire.event import Event, SignedEvent, verify_chain
from wire.keys import ES256, PublicKey
from wire.reading import SignedReading

_HEADS = """
from meter.storage import Storage
kept = Storage("")
print((kept.records.tail, kept.records.head, kept.events.tail, kept.events.head))
"""
_READ = """
from meter.storage import Storage
print(Storage("").%s.read(%d))
"""


@dataclass(frozen=True, slots=True)
class Looked:
    """A record as it was found."""

    sequence: int
    """Its number in the log."""

    signed: SignedReading | None
    """The record; None when it cannot be believed."""

    why: str
    """Why not; empty when it can."""


def key(console: Console) -> PublicKey:
    """The key that the board proves to have; raises a Fault."""
    found = asked.identity(console)
    kind = str(found.config.get("key", "flash"))
    if kind == "flash" and not found.has_key:
        raise faults.NO_KEY.fault()
    challenge = cbor.encode([PROOF, os.urandom(16)])
    try:
        raw, signature = asked.proof(console, kind, challenge)
        public = PublicKey(ES256, raw)
        public.verify(challenge, signature)
    except (BadKey, BadSignature) as reason:
        raise faults.BAD_KEY.fault(why=reason) from None
    return public


def records(console: Console, public: PublicKey, count: int) -> Iterator[Looked]:
    """The newest records, oldest first, each verified."""
    tail, head, _, _ = console.ask(_HEADS)
    for sequence in range(max(tail, head - count), head):
        data = console.ask(_READ % ("records", sequence))
        try:
            if data is None:
                raise BadSignature("damaged in the flash")
            signed = SignedReading.open(data)
            signed.verify(public)
        except Refused as reason:
            yield Looked(sequence, None, str(reason))
            continue
        yield Looked(sequence, signed, "")


def events(console: Console, public: PublicKey, count: int) -> list[Event]:
    """The newest signed events in order, verified as a chain; raises Refused."""
    _, _, tail, head = console.ask(_HEADS)
    numbers = range(max(tail, head - count), head)
    found = [console.ask(_READ % ("events", number)) for number in numbers]
    signed = [SignedEvent.open(data) for data in found if data is not None]
    verify_chain(signed, public)
    return [each.event for each in signed]
