"""What a witness statement must be before its readings are looked at.

Decides whether the carrier is credible: a gateway that was registered when it witnessed, by a key
of then that nobody calls compromised, for this network, with a fresh place at its site. A faulty
carrier refuses the whole batch, leaves no mark on its readings, and never stands in a block. Its
time is compared with block time by the application; whether its readings are true is rule S, T, L
and C's business (`validator.app.admission`).
"""

from typing import NamedTuple, Protocol

from validator.app.entries import Gateway
from validator.app.geometry import Point, within
from validator.app.registries import Registries
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
COMPROMISED_WITNESS_KEY = 59


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


class Carrier(NamedTuple):
    """Who witnessed a batch."""

    gateway: Gateway
    """The gateway, as it was registered when it witnessed."""

    key: PublicKey
    """The key that signed."""


def check_carrier(
    registries: Registries, witness: SignedWitness, height: int, book: SignatureBook
) -> Carrier:
    """Return who witnessed.

    Args:
        registries: who is registered when.
        witness: the statement.
        height: the block that is to carry it.
        book: which signatures stand.

    Raises:
        RefusedBatch: the statement does not stand.
    """
    carrier = named_carrier(registries, witness, height)
    _check_place(registries, carrier.gateway, witness)
    if not book.stands(carrier.key, witness.cose.sig_structure, witness.cose.signature):
        raise RefusedBatch(BAD_WITNESS_SIGNATURE, carrier.gateway.id)
    return carrier


def named_carrier(registries: Registries, witness: SignedWitness, height: int) -> Carrier:
    """Whom a statement names, when the registry lets them witness; its signature is not checked.

    Raises:
        RefusedBatch: it does not.
    """
    statement = witness.statement
    if statement.network != registries.base.network_name:
        raise RefusedBatch(OTHER_NETWORK, statement.network)
    gateway = registries.gateway(statement.gateway, statement.witnessed_at_s)
    if gateway is None:
        raise RefusedBatch(UNKNOWN_GATEWAY, statement.gateway)
    headers = witness.cose.headers
    named = (headers.get(HEADER_ALG), headers.get(HEADER_KID))
    standing = registries.standing(gateway.id, "witness", statement.witnessed_at_s)
    key = next((each for each in standing if (each.alg, each.kid) == named), None)
    if key is None:
        raise RefusedBatch(UNKNOWN_WITNESS_KEY, gateway.id)
    if registries.is_ended(key, height):
        raise RefusedBatch(COMPROMISED_WITNESS_KEY, f"{gateway.id}, {key.kid.hex()}")
    return Carrier(gateway, key)


def _check_place(registries: Registries, gateway: Gateway, witness: SignedWitness) -> None:
    position = witness.statement.position
    if position is None:
        raise RefusedBatch(NO_POSITION, gateway.id)
    if position.age_s > registries.base.parameters.position_max_age_s:
        raise RefusedBatch(STALE_POSITION, f"{position.age_s} s")
    place = Point(position.lat_e7, position.lon_e7)
    if not within(place, gateway.site, gateway.site_cos_ppm, gateway.radius_m):
        raise RefusedBatch(OUTSIDE_SITE, f"{gateway.id}, {gateway.radius_m} m around its site")
