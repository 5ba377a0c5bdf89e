"""The signed event log (WELMEC 7.2, audit trail): what happened to the meter, in order, for ever.

Decides what an event says and that the events form a chain of their own: each names its number and
the hash of the one before. An event is made whole and saved with the state before anything else
follows from it; its signature comes when no record waits for one. Leaves to `app` when there is
something to tell.

The numbers 1 to 15 of an event mean what they mean in a record; 30 is the kind, 31 the time (Unix
s, 0 when unknown), 32 the details.
"""

from meter import signing
from meter.cbor import encode, tagged
from meter.record import FORMAT, NO_PREVIOUS, TAG_SIGN1

_CONTENT_TYPE = "application/x-gridwitness-event"
MOST_UNSIGNED = 8
"""Events that may wait for a signature: more mean trouble, and must not fill the memory."""

POWER_UP, CLOCK_SET, CONFIGURATION, SOFTWARE, KEY = 1, 2, 3, 4, 5
COVER_OPEN, TERMINAL_COVER_OPEN, MAGNET = 6, 7, 8
ACKNOWLEDGED, SERVICE, CRASH, SIGNER_FAILED, ELEMENT_FAILED, SNAPSHOT = 9, 10, 11, 12, 13, 14


class Events:
    """The meter's events: those in the log, and the newest ones, which wait for a signature."""

    def __init__(self, meter, kid, state, log):
        """Go on from a saved state that `log` belongs to."""
        self._meter, self._kid = meter, kid
        self._state = state
        self.log = log

    @property
    def made(self):
        """How many there are, signed or not: field 18 of a record."""
        return self._state["events"]

    @property
    def full(self):
        """True when no other event can be taken until some are signed."""
        return len(self._state["unsigned_events"]) >= MOST_UNSIGNED

    def make(self, kind, details, moment):
        """Add an event; `moment` maps the fields 11, 12, 13 and 31. The caller saves the state.

        Returns False, with nothing changed, when too many wait for their signatures.
        """
        if self.full:
            return False
        content = {1: FORMAT, 2: self._meter, 10: self.made, 30: kind, 32: details}
        content.update(moment)
        before = self._state["event_hash"]
        content[15] = bytes.fromhex(before) if before else NO_PREVIOUS
        payload = encode(content)
        self._state["unsigned_events"].append(payload.hex())
        self._state["event_hash"] = signing.sha256(self._signed_bytes(payload)).hex()
        self._state["events"] += 1
        return True

    def unsigned(self):
        """The payload that is to be signed next, or None."""
        waiting = self._state["unsigned_events"]
        return bytes.fromhex(waiting[0]) if waiting else None

    def sign(self, signer):
        """Generate the signature of the oldest unsigned event, and log it."""
        payload = self.unsigned()
        signature = yield from signer.sign(self._signed_bytes(payload))
        self.log.append(self.log.head, tagged(TAG_SIGN1, [self._head(), {}, payload, signature]))
        self._state["unsigned_events"].pop(0)

    def _head(self):
        return encode({1: signing.ALG_ES256, 3: _CONTENT_TYPE, 4: self._kid})

    def _signed_bytes(self, payload):
        return encode(["Signature1", self._head(), b"", payload])
