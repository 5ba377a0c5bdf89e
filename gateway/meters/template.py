"""What a register template says: values only, for people, decoders and probes.

Decides how energy registers, identity probes, modes and golden frames are described. A template's
file is read by `meters.template_file`; which templates there are, `meters.templates` decides.
"""

from dataclasses import dataclass
from fractions import Fraction

from wire.errors import Refused

HIGH_FIRST, LOW_FIRST = "high-first", "low-first"

SIZES = {
    "u16": 1,
    "s16": 1,
    "u32": 2,
    "s32": 2,
    "float32": 2,
    "u64": 4,
    "s64": 4,
    "float64": 4,
    "obis": 32,
}
"""Number types by their registers. `obis`: text of an IEC 62056-21 readout (`meters.obis`)."""

MOST_EVIDENCE = 64
"""Registers that fit into a reading as its raw words (EMR-1, field 22: 128 bytes)."""

SUNSPEC_BASES = (40_000, 0, 50_000)
"""Where the list of SunSpec models may begin, in the order of looking."""


class UnknownTemplate(Refused):
    """No template of that name, or one that does not say all it must."""

    code = "unknown-template"


@dataclass(frozen=True, slots=True)
class Block:
    """Registers that are read in one request."""

    function: int
    """Modbus function code: 3 holding, 4 input registers."""

    address: int
    """First register, zero-based; for a SunSpec model's energy counted from the model's start."""

    words: int
    """Number of 16-bit registers."""


@dataclass(frozen=True, slots=True)
class Number:
    """How registers spell a number."""

    kind: str
    """A key of SIZES."""

    order: str
    """HIGH_FIRST or LOW_FIRST: which of several registers comes first."""


@dataclass(frozen=True, slots=True)
class Energy:
    """The energy registers and what their numbers mean."""

    blocks: tuple[Block, ...]
    """What is asked, one request after the other; the words are joined."""

    number: Number
    """Type of each energy register."""

    unit_wh: Fraction
    """Wh of one count, before a scale register."""

    import_at: int | None
    """Word at which import begins; None: the meter does not count it, and 0 Wh is said."""

    export_at: int | None
    """Word at which export begins, or None."""

    scale_at: int | None
    """Word of a power of ten that the counts are multiplied with, or None."""

    model: int
    """SunSpec model whose number the first word must be; 0 outside SunSpec."""

    resolution_wh: int
    """Step of the registers, Wh, while the value is small enough for its type."""

    rollover_wh: int
    """Where the registers start again from 0, Wh; 0: nobody says, or at the end of their type."""

    resettable: bool
    """Whether somebody can set the registers to 0 without opening a seal."""

    no_value: tuple[str, ...]
    """What a register holds while it has no value: hexadecimal digits as they come over the wire,
    with a dot for any digit."""

    zero_is_asleep: bool
    """Whether 0 means that the device has not woken up, once it has ever counted."""

    @property
    def used(self) -> list[tuple[int, int]]:
        """Places and sizes of the registers that the values come from, in order, none twice."""
        places = {0: 1} if self.model else {}
        for at, size in (
            (self.import_at, SIZES[self.number.kind]),
            (self.export_at, SIZES[self.number.kind]),
            (self.scale_at, 1),
        ):
            if at is not None:
                places[at] = size
        return sorted(places.items())


@dataclass(frozen=True, slots=True)
class Check:
    """One question to a meter, and which answers are right."""

    what: str
    """What the registers hold, in words."""

    block: Block
    """Where it stands."""

    equals: tuple[bytes, ...] = ()
    """The registers are one of these: sure."""

    text: tuple[str, ...] = ()
    """The registers spell a text that begins with one of these: sure."""

    between: tuple[Fraction, Fraction] | None = None
    """The registers are a number from one to the other: a hint, many meters pass."""

    number: Number = Number("u16", HIGH_FIRST)
    """Type of that number."""

    harm: str = ""
    """For a mode: what is read wrongly when it holds something else."""

    holds: bool = True
    """For a mode: whether a meter that holds something else must not be polled."""

    @property
    def sure(self) -> bool:
        """Whether a right answer shows the make, and a wrong one another make."""
        return self.between is None


@dataclass(frozen=True, slots=True)
class LineDefaults:
    """How the meter leaves the factory; a line's own settings are in the gateway's file."""

    baudrate: int
    """Bits per second; 0: the maker does not say."""

    parity: str
    """`none`, `even` or `odd`."""

    stopbits: int
    """1 or 2."""


@dataclass(frozen=True, slots=True)
class Golden:
    """A request and its reply as they went over a line, and what they mean."""

    request: bytes
    """Whole RTU frame with its check sum; empty where only a reply is known."""

    reply: bytes
    """Whole RTU frame with its check sum."""

    origin: str
    """Who printed it, or that it is arithmetic."""

    import_wh: int | None = None
    """Import that the reply says, Wh."""

    export_wh: int | None = None
    """Export that the reply says, Wh."""

    number: Number | None = None
    """For a frame of another register: its type."""

    value: str = ""
    """And its value, in decimals."""


@dataclass(frozen=True, slots=True)
class Template:
    """How to read one make of meter."""

    name: str
    """As configuration files call it; the file's name too."""

    hash: bytes
    """Prefix of the SHA-256 of the template's file, 8 bytes."""

    source: str
    """Vendor document and place in it."""

    meters: tuple[str, ...]
    """Makes and types, for people."""

    traps: tuple[str, ...]
    """What others got wrong with this meter."""

    doubts: tuple[str, ...]
    """What could not be checked against the maker's document."""

    by_hand: tuple[str, ...]
    """What no register tells, and a person must look at."""

    factory: LineDefaults
    """Line settings ex works."""

    silence_ms: int
    """Silence that the meter wants before each request on a serial line."""

    most_words: int
    """The longest read that the meter answers."""

    energy_registers: Energy
    """Where the energy is."""

    fence: Block
    """A read of another length, whose answer shows that nothing older is still on its way."""

    identity: tuple[Check, ...]
    """All of them must hold."""

    modes: tuple[Check, ...]
    """Settings of the meter on which the meaning of its registers hangs."""

    golden: tuple[Golden, ...]
    """Frames with known values."""

    @property
    def energy(self) -> Block:
        """The first request for energy; most meters need no other."""
        return self.energy_registers.blocks[0]

    @property
    def resolution_wh(self) -> int:
        """Step of the registers, Wh."""
        return self.energy_registers.resolution_wh
