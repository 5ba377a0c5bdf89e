"""What a witness statement must be before its readings are looked at.

Decides whether the carrier is credible: a registered gateway, its witness key, this network, a
fresh place at its site. A faulty carrier refuses the whole batch, leaves no mark on its readings,
and never stands in a block. Its time is compared with block time by the application; whether its
readings are true is rule S, T, L and C's business (`validator.app.admission`).
"""

from typing import Protocol

from validator.app.entries import Gateway
from validator.app.geometry import Point, within
from validator.app.registry import Registry
from wire.cose import HEADER_ALG, HEADER_KID
from wire.errors import Refused
from wire.keys import PublicKey
from wire.results import REASONS
from wire.witness import SignedWitness

UNKNOWN_GATEWAY = 50
UNKNOWN_WITNESS_KEY = 51
BAD_WITNESS_SIGNATURE = 52
OTHER_NETWORK = 53
NO_POSITION = 54
STALE_POSITION = 55
OUTSIDE_SITE = 56
WITNESS_EQUIVOCATION = 57
WITNESS_AHEAD = 58


class SignatureBook(Protocol):
    """Knows which signatures stand; the node checks them beforehand on all cores."""

    def stands(self, public: PublicKey, message: bytes, signature: bytes) -> bool:
        """Tell whether this is the key's strict signature over the message."""


class RefusedBatch(Refused):
    """A batch whose carrier is at fault."""

    code = "refused-batch"

    def __init__(self, reason: int, detail: str) -> None:
        super().__init__(f"{REASONS[reason].words} ({detail})")
        self.reason = reason
        """A key of `wire.results.REASONS`."""


def check_carrier(registry: Registry, witness: SignedWitness, book: SignatureBook) -> Gateway:
    """Return the gateway that witnessed.

    Raises:
        RefusedBatch: the statement does not stand.
    """
    statement = witness.statement
    if statement.network != registry.network_name:
        raise RefusedBatch(OTHER_NETWORK, statement.network)
    gateway = registry.gateways.get(statement.gateway)
    if gateway is None:
        raise RefusedBatch(UNKNOWN_GATEWAY, statement.gateway)
    key = gateway.witness_key
    headers = witness.cose.headers
    if headers.get(HEADER_KID) != key.kid or headers.get(HEADER_ALG) != key.alg:
        raise RefusedBatch(UNKNOWN_WITNESS_KEY, gateway.id)
    _check_place(registry, gateway, witness)
    if not book.stands(key, witness.cose.sig_structure, witness.cose.signature):
        raise RefusedBatch(BAD_WITNESS_SIGNATURE, gateway.id)
    return gateway


def _check_place(registry: Registry, gateway: Gateway, witness: SignedWitness) -> None:
    position = witness.statement.position
    if position is None:
        raise RefusedBatch(NO_POSITION, gateway.id)
    if position.age_s > registry.parameters.position_max_age_s:
        raise RefusedBatch(STALE_POSITION, f"{position.age_s} s")
    place = Point(position.lat_e7, position.lon_e7)
    if not within(place, gateway.site, gateway.site_cos_ppm, gateway.radius_m):
        raise RefusedBatch(OUTSIDE_SITE, f"{gateway.id}, {gateway.radius_m} m around its site")
