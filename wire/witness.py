"""The witness statement and the batch: a gateway's signed word that it saw these readings.

The statement is a COSE receipt (RFC 9942, RFC9162_SHA256) over the batch: its payload is the RFC
9162 root over the signed readings, its claims say who, when, where and in which order. Decides
shape, size and root; whether the gateway is known and its time and place are credible is for the
validators' rules.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from wire import cbor, fields, merkle
from wire.cose import HEADER_ALG, HEADER_KID, Sign1, open_sign1, sig_structure
from wire.errors import Malformed
from wire.keys import PublicKey, Signer

HEADER_CLAIMS = 15
HEADER_VDS = 395
"""Verifiable data structure (RFC 9942 §2); 1 is RFC9162_SHA256."""

VDS_RFC9162_SHA256 = 1
HEADER_VDP = 396
"""Verifiable data proofs: carries the inclusion proof of a receipt for one reading."""

CLAIM_ISSUER, CLAIM_SUBJECT, CLAIM_ISSUED_AT = 1, 2, 6
CLAIM_SEQUENCE, CLAIM_TREE_SIZE, CLAIM_PREVIOUS = -65537, -65538, -65539
CLAIM_POSITION, CLAIM_CLOCK = -65540, -65541
_CLAIMS = frozenset({1, 2, 6, -65537, -65538, -65539, -65540, -65541})

BATCH_FORMAT = 1
MAX_READINGS = 1000
MAX_BATCH = 512 * 1024


@dataclass(frozen=True, slots=True)
class WitnessPosition:
    """Where the gateway says it is."""

    lat_e7: int
    """Latitude, 1e-7 degrees."""

    lon_e7: int
    """Longitude, 1e-7 degrees."""

    accuracy_dm: int
    """Radius of the error, decimetres."""

    age_s: int
    """Seconds since the fix."""

    source: int
    """0 fixed by hand, 1 GPS receiver."""

    def items(self) -> list[int]:
        """As encoded."""
        return [self.lat_e7, self.lon_e7, self.accuracy_dm, self.age_s, self.source]


@dataclass(frozen=True, slots=True)
class WitnessStatement:
    """A gateway's signed word that it saw these readings: when, where, in which order."""

    gateway: str
    """Registered gateway id (CWT claim iss)."""

    network: str
    """Network name with the first 8 hex digits of its id (CWT claim sub)."""

    witnessed_at_s: int
    """Unix seconds by the gateway's clock.

    Evidence, not truth: rules compare it with block time.
    """

    sequence: int
    """Batch sequence of this gateway, never reused."""

    tree_size: int
    """Readings in the batch."""

    previous: bytes
    """Batch id of this gateway's previous statement, 32 bytes; zeros at sequence 0."""

    position: WitnessPosition | None
    """Where the gateway says it is; None when it does not know."""

    clock_quality: int
    """0 unknown, 1 set, 2 synchronised, 3 disciplined."""

    clock_error_ms: int
    """Bound of its clock's error, milliseconds."""

    root: bytes
    """RFC 9162 tree hash over the signed readings, 32 bytes."""


def to_be_signed(statement: WitnessStatement, public: PublicKey) -> tuple[bytes, bytes]:
    """Return the protected header and the Sig_structure that the witness key has to sign."""
    position = statement.position
    claims = {
        CLAIM_ISSUER: statement.gateway,
        CLAIM_SUBJECT: statement.network,
        CLAIM_ISSUED_AT: statement.witnessed_at_s,
        CLAIM_SEQUENCE: statement.sequence,
        CLAIM_TREE_SIZE: statement.tree_size,
        CLAIM_PREVIOUS: statement.previous,
        CLAIM_POSITION: None if position is None else position.items(),
        CLAIM_CLOCK: [statement.clock_quality, statement.clock_error_ms],
    }
    protected = cbor.encode(
        {
            HEADER_ALG: public.alg,
            HEADER_KID: public.kid,
            HEADER_CLAIMS: claims,
            HEADER_VDS: VDS_RFC9162_SHA256,
        }
    )
    return protected, sig_structure(protected, statement.root)


def assemble(protected: bytes, root: bytes, signature: bytes) -> bytes:
    """Put the signed parts together: the witness statement as it travels."""
    return Sign1(protected, root, signature).encoded


def sign_statement(statement: WitnessStatement, signer: Signer) -> bytes:
    """Sign in one step, with a signer that needs no memory of its own (tests, simulations)."""
    protected, message = to_be_signed(statement, signer.public)
    return assemble(protected, statement.root, signer.sign(message))


def _position(value: Any) -> WitnessPosition | None:
    if value is None:
        return None
    lat_e7, lon_e7, accuracy_dm, age_s, source = fields.items(value, "position", 5)
    return WitnessPosition(
        fields.integer(lat_e7, "latitude"),
        fields.integer(lon_e7, "longitude"),
        fields.uint(accuracy_dm, "accuracy"),
        fields.uint(age_s, "age"),
        fields.uint(source, "position source", most=1),
    )


def _statement(cose: Sign1) -> WitnessStatement:
    headers = cose.headers
    if headers.keys() != {HEADER_ALG, HEADER_KID, HEADER_VDS, HEADER_CLAIMS}:
        raise Malformed(
            "a witness statement's protected header has exactly the keys 1, 4, 15 and 395"
        )
    if headers[HEADER_VDS] != VDS_RFC9162_SHA256:
        raise Malformed("a tree other than RFC9162_SHA256")
    claims = headers[HEADER_CLAIMS]
    if not isinstance(claims, dict) or claims.keys() != _CLAIMS:
        raise Malformed("the claims of a witness statement are not the eight that it has")
    quality, error_ms = fields.items(claims[CLAIM_CLOCK], "clock", 2)
    return WitnessStatement(
        gateway=fields.identifier(claims[CLAIM_ISSUER], "gateway"),
        network=fields.identifier(claims[CLAIM_SUBJECT], "network", most=33),
        witnessed_at_s=fields.uint(claims[CLAIM_ISSUED_AT], "witness time"),
        sequence=fields.uint(claims[CLAIM_SEQUENCE], "batch sequence"),
        tree_size=fields.uint(claims[CLAIM_TREE_SIZE], "tree size", most=MAX_READINGS),
        previous=fields.octets(claims[CLAIM_PREVIOUS], "previous batch id", 32),
        position=_position(claims[CLAIM_POSITION]),
        clock_quality=fields.uint(quality, "clock quality", most=3),
        clock_error_ms=fields.uint(error_ms, "clock error"),
        root=fields.octets(cose.payload, "root", 32),
    )


@dataclass(frozen=True)
class SignedWitness:
    """A witness statement with its envelope, decoded once."""

    encoded: bytes
    """The COSE_Sign1 as it travels."""

    cose: Sign1
    """The envelope."""

    statement: WitnessStatement
    """The content."""

    @classmethod
    def open(cls, encoded: bytes) -> Self:
        """Decode and check the shape; raises Malformed. The signature is checked by `verify`."""
        cose = open_sign1(encoded)
        return cls(encoded, cose, _statement(cose))

    @property
    def batch_id(self) -> bytes:
        """SHA-256 of the Sig_structure, 32 bytes.

        The same whatever the token randomises in the signature.
        """
        return self.cose.sig_hash

    @property
    def kid(self) -> bytes:
        """Hint of the witness key, 8 bytes."""
        return self.cose.kid

    def verify(self, public: PublicKey) -> None:
        """Check the signature; raises BadSignature."""
        self.cose.verify(public)


def readings_root(readings: Sequence[bytes]) -> bytes:
    """The root that a witness statement signs, over signed readings in batch order."""
    return merkle.root([merkle.leaf_hash(reading) for reading in readings])


@dataclass(frozen=True)
class Batch:
    """A witness statement and its readings, in the order of the tree (meter id, then sequence)."""

    witness: SignedWitness
    """The statement."""

    readings: tuple[bytes, ...]
    """Signed readings as the meters or the reader key made them; not decoded here."""

    @classmethod
    def open(cls, encoded: bytes) -> Self:
        """Decode a batch and check its size, count and root.

        Raises Malformed. No signature is checked.
        """
        if len(encoded) > MAX_BATCH:
            raise Malformed(f"a batch of {len(encoded)} bytes; at most {MAX_BATCH}")
        form, witness, readings = fields.items(cbor.decode(encoded), "batch", 3)
        if form != BATCH_FORMAT:
            raise Malformed(f"a batch of format {form!r}")
        signed = SignedWitness.open(fields.blob(witness, "witness"))
        batch = cls.join(
            signed,
            tuple(fields.blob(item, "reading") for item in fields.items(readings, "readings")),
        )
        batch.__dict__["encoded"] = encoded  # Canonical, so that it would be encoded alike.
        return batch

    @classmethod
    def join(cls, witness: SignedWitness, readings: tuple[bytes, ...]) -> Self:
        """Put a statement and readings together.

        Raises Malformed when they do not belong together.
        """
        if not 1 <= len(readings) <= MAX_READINGS or len(readings) != witness.statement.tree_size:
            raise Malformed(
                f"{len(readings)} readings; the witness saw {witness.statement.tree_size}"
            )
        if readings_root(readings) != witness.statement.root:
            raise Malformed("the readings are not those whose root the witness signed")
        return cls(witness, readings)

    @property
    def batch_id(self) -> bytes:
        """The statement's batch id, 32 bytes."""
        return self.witness.batch_id

    @cached_property
    def encoded(self) -> bytes:
        """As published over MQTT and served to peers."""
        return cbor.encode([BATCH_FORMAT, self.witness.encoded, list(self.readings)])
