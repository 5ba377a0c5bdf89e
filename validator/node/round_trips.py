"""How long each peer takes to answer: a question with a random token, and the token back.

Decides when a peer is asked. What follows from the answers is decided in `consensus.timeouts`: a
local matter, so that a peer that answers late or not at all changes nothing but when this validator
gives a round up.
"""

import secrets

from validator.consensus.timeouts import Pace
from validator.node.fetching import Links

TOKEN = 8
"""Bytes that nobody can answer before they were asked."""

GIVEN_UP_S = 30.0
"""A question that is unanswered for so long is asked anew; until then there is one a peer."""


class RoundTrips:
    """The questions that wait for an answer, one a peer."""

    def __init__(self, links: Links, pace: Pace) -> None:
        """Take how peers are reached and who learns what it took."""
        self._links = links
        self._pace = pace
        self._asked: dict[str, tuple[bytes, float]] = {}

    def ask(self, now_s: float) -> None:
        """Ask every connected peer that owes no answer; forget those that are gone."""
        connected = self._links.connected
        self._pace.keep_only(connected)
        for peer in self._asked.keys() - set(connected):
            del self._asked[peer]
        for peer in connected:
            known = self._asked.get(peer)
            if known is None or now_s - known[1] > GIVEN_UP_S:
                token = secrets.token_bytes(TOKEN)
                self._asked[peer] = token, now_s
                self._links.send(peer, ["ping", token])

    def answered(self, peer: str, token: bytes, now_s: float) -> None:
        """A peer has sent a token back; another than the one that it was asked is passed over."""
        known = self._asked.get(peer)
        if known is not None and known[0] == token:
            del self._asked[peer]
            self._pace.measured(peer, round((now_s - known[1]) * 1000))
