"""What the API answers about cases and credits, as types."""

from pydantic import BaseModel, Field


class Case(BaseModel):
    """A window that authorities have to look at."""

    zone: str
    start_s: int
    end_s: int
    status: str = Field(description="OPEN, SETTLED, DISMISSED, CLEARED")
    cause: str = Field(description="DOES_NOT_ADD_UP, WORSE_THAN_SETTLED, WINDOW_ENDED")
    verdict: str = Field(description="of the newest seal that it is about")
    revision: int = Field(description="of that seal: a resolution names it")
    opened: int = Field(description="height of the block that opened it")
    closed: int | None = Field(description="height of the block that resolved or cleared it")
    resolution: str | None = Field(description="the transaction that resolved it")


class CaseReport(Case):
    """A case with what is known of its window."""

    missing: list[str] = Field(description="meters without a reading that counts")
    late: list[str] = Field(description="meters whose reading came after the acceptance window")
    marked: dict[str, int] = Field(description="status bits of meters that report something")
    inside: dict[str, str | None] = Field(description="zones inside and their newest verdicts")


class Credit(BaseModel):
    """What was settled for a meter and window."""

    start_s: int
    intervals: int
    import_wh: int
    export_wh: int
    firm: bool = Field(description="every zone around is settled too; else it is provisional")
