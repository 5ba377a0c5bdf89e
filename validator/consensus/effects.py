"""What the machine is told and what it asks for: events in, an ordered list of effects out.

The driver must

1. execute the effects of one step in order;
2. for `Speak`: have the guarded key sign (`hsm.signstate.VoteSigner`, which makes slot and
   attachment durable first), broadcast the signed message, and feed it back as `Spoken`. A refusal
   by the guard is traced and nothing is said;
3. run timers in real time, and forget those of an older height;
4. verify messages with `messages.open_message` before `Received`;
5. after `Commit` (or a synced block) store block and state, and make a new machine for the next
   height;
6. for `Keep`: make it durable until evidence of that height has expired;
7. after a restart give what the key has signed at this height to `Machine.restore`, first.

No effect reads a clock, and the machine keeps nothing but what these events told it.
"""

from dataclasses import dataclass

from validator.consensus.evidence import Evidence
from validator.consensus.messages import Message, PreparedCertificate, Proposal
from wire.block import Commit as BlockCommit

ROUND_TIMER, RESEND_TIMER = "round", "resend"


@dataclass(frozen=True, slots=True)
class BlockTimer:
    """It is time to agree on this height."""

    height: int
    """Block height."""


@dataclass(frozen=True, slots=True)
class Timeout:
    """A timer that `SetTimer` asked for has run out."""

    kind: str
    """ROUND_TIMER or RESEND_TIMER."""

    height: int
    """Block height it was set for."""

    round: int
    """Round it was set for."""


@dataclass(frozen=True, slots=True)
class Received:
    """A peer's message; its signatures have been checked."""

    message: Message
    """The message."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """One's own message, durable, signed and sent."""

    message: Message
    """The message with its signature."""


@dataclass(frozen=True, slots=True)
class BlockBuilt:
    """The value that `BuildBlock` asked for; executed and its readings durable."""

    round: int
    """Round it was built for."""

    digest: bytes
    """Digest of the block, 32 bytes."""

    block: bytes
    """The encoded block."""


@dataclass(frozen=True, slots=True)
class BlockChecked:
    """The answer to `CheckBlock`."""

    digest: bytes
    """Digest of the block, 32 bytes."""

    valid: bool
    """Whether the application and the header rules accept it, with all its readings durable."""


@dataclass(frozen=True, slots=True)
class BlockFetched:
    """The answer to `FetchBlock`; its digest has been compared."""

    digest: bytes
    """Digest of the block, 32 bytes."""

    block: bytes
    """The encoded block."""


Event = BlockTimer | Timeout | Received | Spoken | BlockBuilt | BlockChecked | BlockFetched


@dataclass(frozen=True, slots=True)
class Speak:
    """Sign and broadcast, once the slot is durable."""

    message: Message
    """The message, unsigned."""

    certificate: PreparedCertificate | None = None
    """With a COMMIT: what must be remembered with it."""


@dataclass(frozen=True, slots=True)
class Resend:
    """Broadcast one's own message again."""

    message: Message
    """The message, signed."""


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Give `Timeout` after a while of real time; replaces the timer of the same kind."""

    kind: str
    """ROUND_TIMER or RESEND_TIMER."""

    height: int
    """Block height."""

    round: int
    """Round."""

    delay_ms: int
    """Real milliseconds."""


@dataclass(frozen=True, slots=True)
class BuildBlock:
    """Make a new value; answer with `BlockBuilt`."""

    height: int
    """Block height."""

    round: int
    """Round it is for."""


@dataclass(frozen=True, slots=True)
class CheckBlock:
    """Check a new value: header, time, all roots, and that its readings are durable here."""

    digest: bytes
    """Digest of the block, 32 bytes."""

    block: bytes
    """The encoded block."""

    proposer: str
    """Who proposed it, and must be the header's proposer."""


@dataclass(frozen=True, slots=True)
class FetchBlock:
    """Get a block by its digest from peers that must have it; answer with `BlockFetched`."""

    digest: bytes
    """Digest of the block, 32 bytes."""

    holders: tuple[str, ...]
    """Validators that have voted for it."""


@dataclass(frozen=True, slots=True)
class Commit:
    """The block is final."""

    digest: bytes
    """Digest of the block, 32 bytes."""

    block: bytes
    """The encoded block."""

    commit: BlockCommit
    """Its seals."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Keep, before anything is said upon it, what justified a value in a later round.

    Should agreement ever break, its ROUND-CHANGEs name who broke it (`forensics`).
    """

    proposal: Proposal
    """The accepted proposal."""


@dataclass(frozen=True, slots=True)
class Report:
    """Someone has signed two things that an honest validator never signs both."""

    evidence: Evidence
    """The two messages."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What happened, for people."""

    rule: str
    """Rule number, R1 to R12."""

    words: str
    """What it did."""


Effect = (
    Speak
    | Resend
    | SetTimer
    | BuildBlock
    | CheckBlock
    | FetchBlock
    | Commit
    | Keep
    | Report
    | Trace
)
