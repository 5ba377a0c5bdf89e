"""What the API answers, as types: OpenAPI is made of them, and every answer is checked by them.

Decides names and units. Energy is in watt-hours, times are Unix seconds or milliseconds of network
time, as the suffix says; hashes and keys are hexadecimal.
"""

from typing import Generic, TypeVar

from pydantic import BaseModel, Field

_Item = TypeVar("_Item")


class Page(BaseModel, Generic[_Item]):
    """A part of a list."""

    items: list[_Item]
    next: int | str | None = Field(
        description="give it as the parameter that the route names to get what follows; null at"
        " the end, as of now"
    )


class Health(BaseModel):
    """Whether a validator goes on."""

    healthy: bool


class Cut(BaseModel):
    """A peer that is not listened to for a while."""

    peer: str
    from_: str = Field(alias="from", description="everything, or all but votes")
    for_s: float
    why: str


class Attendant(BaseModel):
    """What one validator has said at the present height."""

    validator: str
    connected: bool
    height: int | None = Field(None, description="of its newest block, as it told")
    round: int | None
    said: list[str]
    ago_s: float | None


class Agreement(BaseModel):
    """How far the next block is."""

    height: int
    since_s: float
    due_s: float = Field(description="seconds until it is due; 0 while it is being agreed on")
    validators: list[Attendant]
    hindrance: str = Field(description="why there may be no block; empty when nothing speaks so")


class Status(BaseModel):
    """How one validator is."""

    validator: str
    network: str = Field(description="name and the first 8 digits of the id")
    network_id: str = Field(description="64 hexadecimal digits")
    height: int
    round: int
    time_ms: int = Field(description="network time of the newest block")
    digest: str
    state_root: str
    leader: str
    peers: list[str]
    cut: list[Cut]
    target: int = Field(description="the height that peers speak of")
    broker: str = Field(description="connected or away")
    readings: int
    mempool: int
    halted: str = Field(description="why it has stopped speaking; empty while it goes on")
    votes: bool = Field(
        True, description="false: the ledger names no key of its for this height, and it follows"
    )
    open_readings: bool = Field(description="whether readings are public on this network")
    agreement: Agreement


class Block(BaseModel):
    """A final block in short."""

    height: int
    digest: str
    time_ms: int
    proposer: str
    round: int = Field(description="in which it was committed")
    transactions: int
    batches: int = Field(description="of the transactions, those that are batches of readings")
    readings: int = Field(description="that its batches bring, accepted or not")
    evidence: int
    seals: int = Field(description="of validators in the commit that this validator has")
    sealers: list[str]


class WholeBlock(Block):
    """A final block, whole; `block` and `commit` are CBOR as hexadecimal."""

    header: str
    block: str
    commit: str
    batch_ids: list[str]


class Seal(BaseModel):
    """The verdict on one zone and window."""

    height: int
    zone: str
    start_s: int
    end_s: int
    revision: int
    verdict: str = Field(description="BALANCED, SUSPECT, IMPOSSIBLE, INCONCLUSIVE, UNREFERENCED")
    residual_wh: int
    loss_low_wh: int
    loss_high_wh: int
    band_wh: int
    coverage_ppm: int
    inputs: int = Field(description="readings that it used")
    overloaded: list[str] = Field(description="branches that carried more than they are built for")
    marked: int = Field(description="meters that say themselves that something was done to them")


class Reading(BaseModel):
    """An accepted reading of a meter."""

    sequence: int
    interval_start_s: int
    zone: str
    batch_id: str
    status: int
    import_wh: int = Field(description="register at the interval's end")
    export_wh: int = Field(description="register at the interval's end")
    import_advance_wh: int = Field(description="within the interval")
    export_advance_wh: int = Field(description="within the interval")


class Taken(BaseModel):
    """A transaction that waits for a block."""

    id: str
    status: str


class TransactionStatus(BaseModel):
    """What has become of a transaction."""

    id: str
    kind: str = Field(description="batch, or the registry transaction's kind; empty: not known")
    status: str = Field(description="waiting, final or refused")
    height: int | None = None
    position: int | None = None
    code: int | None = None
    reason: str | None = None
    words: str | None = None
    transaction: str | None = Field(None, description="as it stands in its block, hexadecimal")
    result: str | None = Field(None, description="its result's leaf, hexadecimal")


class Gateway(BaseModel):
    """A gateway and how far behind it is."""

    id: str
    operator: str
    zones: list[str]
    batch_sequence: int | None = Field(description="of its newest batch on the ledger")
    height: int | None
    witnessed_at_s: int | None
    readings: int | None = Field(description="in that batch")
    final_after_ms: int | None = Field(description="from witness to block, network time")
    silent_ms: int | None = Field(description="from that batch's block to the newest block")


class Authority(BaseModel):
    """A registered organisation."""

    id: str
    name: str
    kind: str
    key: str
    kid: str
    validators: list[str]


class Validator(BaseModel):
    """A validator of a height."""

    id: str
    authority: str
    address: str = Field(description="first 20 bytes of the key's thumbprint")
    key: str
    index: int


class Performance(BaseModel):
    """What a span of blocks says of one validator."""

    validator: str
    authority: str
    address: str
    blocks: int = Field(description="blocks of the span at whose height it was a validator")
    proposed: int
    sealed: int
    missed_rounds: int = Field(description="rounds that it led and that brought no block")
    last_proposed: int | None
    last_sealed: int | None


class Performances(BaseModel):
    """What a span of blocks says of validators."""

    first: int
    last: int
    validators: list[Performance]


class Offence(BaseModel):
    """A proved contradiction of a validator."""

    validator: str
    height: int
    kind: str
    block: int = Field(description="the block that carries the proof")


class RosterEra(BaseModel):
    """A validator set and the heights that it seals."""

    from_height: int
    effective: bool = Field(description="false: it is decided, and holds from that height on")
    hash: str = Field(description="the header's validators_hash")
    validators: list[Validator]
    observers: list[str] = Field(description="who has left and may still follow")


class RollEra(BaseModel):
    """A list of authorities and since when their keys count."""

    from_height: int
    effective: bool
    authorities: list[Authority]
    revoked: list[str]


class ParameterEra(BaseModel):
    """Parameters and since when they hold."""

    from_height: int
    effective: bool
    parameters: dict[str, int | bool | str]


class Waiting(BaseModel):
    """A transaction that waits for a block."""

    id: str
    kind: str


class Pending(BaseModel):
    """What is decided and does not hold yet: heights from which something else does."""

    validators: list[int]
    authorities: list[int]
    parameters: list[int]
    waiting: list[Waiting] = Field(description="transactions of authorities without a block yet")
