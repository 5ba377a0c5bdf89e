"""Who may read a household's readings: whoever has its link, or an authority that signs for it.

Decides by the registry: which intervals a link opens says `validator.app.holders`. Comparisons take
the same time whatever is wrong. A network whose genesis says `open_readings` lets everybody read.
"""

import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request

from validator.api.problems import Fault
from validator.api.sources import Sources
from validator.app.holders import openings
from wire.access import BEARER, SIGNED, VALID_S, HolderSecret, SignedRequest
from wire.errors import Refused

_CHALLENGE = {"WWW-Authenticate": f"{BEARER}, {SIGNED}"}


@dataclass(frozen=True, slots=True)
class Grant:
    """Which intervals of a meter may be read."""

    covers: Callable[[int], bool]
    """Tells by an interval's start."""


EVERYTHING = Grant(lambda _: True)


class Access:
    """Opens readings to who may read them."""

    def __init__(self, sources: Sources, now_s: Callable[[], float] = time.time) -> None:
        """Take one validator and a clock of real time."""
        self._sources = sources
        self._now_s = now_s

    def grant(self, request: Request, meter: str) -> Grant:
        """What this request may read of a meter; raises Fault."""
        if self._sources.open_readings:
            return EVERYTHING
        scheme, credential = _authorization(request)
        if scheme != BEARER:
            return self.everything(request)
        try:
            return self._holder(HolderSecret.from_text(credential), meter)
        except Refused:
            raise _refused("this is no holder's link") from None

    def everything(self, request: Request) -> Grant:
        """Leave to read all meters; raises Fault."""
        if self._sources.open_readings:
            return EVERYTHING
        scheme, credential = _authorization(request)
        if scheme != SIGNED:
            raise _refused("readings are private on this network")
        try:
            return self._authority(SignedRequest.open(credential), request)
        except Refused:
            raise _refused("the signed request cannot be read or does not stand") from None

    def _holder(self, secret: HolderSecret, meter: str) -> Grant:
        digest = secret.digest.hex()
        open_to = [
            each
            for each in openings(self._sources.application.registries, meter)
            # Every entry is compared, whichever fits: how long it takes tells nothing.
            if hmac.compare_digest(each.holder, digest)
        ]
        if not open_to:
            raise _refused("this link is not the meter's, or is no longer")

        def covers(start_s: int) -> bool:
            return any(
                (each.from_s or 0) <= start_s and (each.until_s is None or start_s < each.until_s)
                for each in open_to
            )

        return Grant(covers)

    def _authority(self, signed: SignedRequest, request: Request) -> Grant:
        asked, scope = signed.request, request.scope
        target = scope["raw_path"] + (
            b"?" + scope["query_string"] if scope["query_string"] else b""
        )
        wanted = (self._sources.genesis.network, self._sources.id, request.method)
        if (asked.network, asked.validator, asked.method) != wanted:
            raise _refused("it was signed for another network, validator or method")
        if asked.target != target.decode("ascii"):
            raise _refused("it was signed for another path or query")
        if abs(self._now_s() - asked.time_s) > VALID_S:
            raise _refused(f"it was signed more than {VALID_S} s from this validator's time")
        for authority in self._sources.ruling.roll(self._sources.height + 1).authorities:
            if authority.key.kid == signed.cose.kid:
                signed.verify(authority.key)
                return EVERYTHING
        raise _refused("no registered authority has signed it")


def _authorization(request: Request) -> tuple[str, str]:
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    return scheme, credential


def _refused(why: str) -> Fault:
    return Fault(401, why, headers=_CHALLENGE)
