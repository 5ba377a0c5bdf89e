"""What the API answers about zones and what is registered, as types."""

from typing import Any

from pydantic import BaseModel, Field

from validator.api.models import Seal


class Branch(BaseModel):
    """A line or a transformer."""

    id: str
    from_: str = Field(alias="from", description="node")
    to: str = Field(description="node")
    ampacity_w: int = Field(description="0 when not stated")


class Member(BaseModel):
    """A meter in a zone's drawing."""

    id: str
    node: str
    role: str = Field(description="boundary, customer or source; of a child zone: child")
    zone: str
    reader: str = Field(description="gateway that reads it")
    signs: bool = Field(description="whether it signs its readings itself")


class Load(BaseModel):
    """An unmetered load in a zone's drawing: reckoned by its schedule."""

    id: str
    node: str


class Zone(BaseModel):
    """A zone in short."""

    id: str
    parent: str
    operator: str
    meters: int
    seal: Seal | None = Field(description="the newest seal of its newest window")


class ZoneDrawing(Zone):
    """A zone with all that a drawing of it needs."""

    root: str
    branches: list[Branch]
    members: list[Member]
    unmetered: list[Load]


class Flow(BaseModel):
    """Energy through a branch in one interval."""

    branch: str
    flow_wh: int = Field(description="away from the zone's root; negative: towards it")
    meters: int = Field(description="meters and unmetered loads behind it")
    missing: int = Field(description="of these, those without a reading of the interval")


class Flows(BaseModel):
    """What flowed in a zone in one interval, by the meters."""

    zone: str
    interval_start_s: int
    import_wh: int | None = Field(description="into the zone by its boundary meters")
    export_wh: int | None = Field(description="out of it")
    branches: list[Flow]


class Step(BaseModel):
    """What was registered of a thing for a while."""

    from_s: int | None = Field(description="null: since the genesis file")
    until_s: int | None = Field(description="null: it still is")
    entry: dict[str, Any] | None = Field(description="null: nothing was")
    transaction: str | None = Field(description="what made it so; null: the genesis file")
    height: int | None


class ComingChange(BaseModel):
    """A registry transaction that was accepted for later."""

    transaction: str
    kind: str
    from_s: int = Field(description="its first interval")
    height: int
    tables: list[str] = Field(description="what it changes")
    ids: list[str] = Field(description="whose entries")
    withdrawn: bool = Field(description="it was taken back and never holds")


class MeterEntry(BaseModel):
    """A meter as last registered, and for which intervals it is."""

    meter: dict[str, Any]
    from_s: int | None = Field(description="null: since the genesis file")
    until_s: int | None = Field(description="null: nobody has retired it")
    transaction: str | None = Field(description="what enrolled it; null: the genesis file")
    height: int | None
    history: list[Step]


class MeterRow(BaseModel):
    """A meter in a list."""

    id: str
    from_s: int | None = Field(description="its first interval; null of the genesis file's")
    zone: str
    node: str
    role: str
    reader: str
    signs: bool
    kid: str = Field(description="its key's id, hexadecimal; empty when its reader signs for it")
    has_holder: bool = Field(description="whether somebody has a link to its readings")


class Entry(BaseModel):
    """What is registered under an id now, and what was."""

    id: str
    entry: dict[str, Any] | None = Field(description="null: nothing is, any more or as yet")
    history: list[Step]
