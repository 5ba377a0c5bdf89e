"""The matrix of disasters: what happens, what then holds, what doctor says meanwhile.

Each row ends with everything well again; then every reading is on the ledger, none is there twice,
and no batch sequence was used for two batches. The bugs named are other gateways' and brokers':
repository and number of the report.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.delivery import spool
from tests.gateway import disasters
from tests.gateway.house import House
from tests.gateway.quick_folder import quick_path as quick_path


@dataclass(frozen=True)
class Row:
    """One disaster."""

    disaster: str
    deed: Callable[[House], Awaitable[None]]
    doctor: str = ""
    """A part of what doctor says while it lasts; empty when there is nothing to do."""

    bugs: str = ""
    lost: int = 0
    """Readings of the meter that cannot sign that the disaster may cost."""


MATRIX = [
    Row(
        "the broker is away for 30 days",
        disasters.broker_away_for_a_month,
        "they wait for the broker",
        "thingsboard-gateway #2132 #2157 #1507, OpenEMS #3798, EdgeX app-service-configurable #318,"
        " emonHub #125",
    ),
    Row(
        "the broker comes and goes",
        disasters.broker_comes_and_goes,
        bugs="thingsboard-gateway #2124 (store made anew on each connection), mosquitto #3394",
    ),
    Row(
        "the broker acknowledges batches and loses them",
        disasters.broker_loses_what_it_took,
        "no receipt comes: are the validators up?",
        "mosquitto #1593 #1855 #2415 #3695, thin-edge.io #3083",
    ),
    Row("receipts get lost", disasters.receipts_get_lost),
    Row(
        "receipts come several times and shuffled",
        disasters.receipts_come_several_times_and_shuffled,
    ),
    Row("wrong receipts", disasters.wrong_receipts, "answers prove nothing"),
    Row("refusals of what was never sent", disasters.refusals_of_what_was_never_sent),
    Row(
        "readings are refused for a while",
        disasters.refused_for_a_while,
        "refused for a reason that can be cured",
        "emonHub #125 (never tries to send again)",
    ),
    Row(
        "the clock runs a year ahead, and back",
        disasters.clock_runs_a_year_ahead_and_back,
        bugs="raspberrypi/linux #1751, oem_gateway #12",
    ),
    Row("the clock goes back an hour", disasters.clock_goes_back_an_hour, bugs="vzlogger #488"),
    Row(
        "a meter's clock is a year wrong",
        disasters.meters_clock_is_a_year_wrong,
        bugs="vzlogger #615 (readings discarded on timestamp checks)",
    ),
    Row(
        "the token is away for a day",
        disasters.token_away_for_a_day,
        "the token is away: it was pulled out; readings wait and none is lost",
        "thin-edge.io #4352 (7.5 hours offline until a restart), SoftHSMv2 #464",
    ),
    Row("the PIN is wrong", disasters.token_refuses_the_pin, "it is not tried again"),
    Row(
        "the gateway's certificate has expired",
        disasters.expired("CERTIFICATE_DAYS"),
        "ask the network's operator for a new one; readings wait meanwhile",
    ),
    Row(
        "the authority of all certificates has expired",
        disasters.expired("CA_DAYS"),
        "the network's operator must make a new one, and then everyone's certificates",
    ),
    Row(
        "the disk is full",
        disasters.disk_is_full,
        "FULL. New readings wait and nothing is dropped",
        "thingsboard-gateway #1483 (fills and never recovers), telegraf #15868",
    ),
    Row("a damaged index", disasters.page_of("reading_waiting"), lost=0),
    Row("a damaged table of batches", disasters.page_of("batch")),
    Row("a damaged table of meters", disasters.page_of("meter"), lost=1),
    Row("a damaged table of readings", disasters.page_of("reading"), lost=99),
    Row("pages overwritten at random", disasters.pages_are_overwritten_at_random, lost=99),
    Row("the spool's file is gone", disasters.file_is_gone, lost=99),
    Row(
        "the write-ahead file is garbage",
        disasters.log_is_garbage,
        bugs="telegraf #18528 (panic: log corrupt, at every start)",
    ),
    Row(
        "started again when all is final",
        disasters.started_again_and_again,
        bugs="telegraf #16500 #17247 (the last metric is sent again after each restart)",
    ),
    Row(
        "two looks at the same readings at once",
        disasters.two_looks_at_once,
        bugs="thingsboard-gateway #2098 (prefetch race of its SQLite store: every reading twice)",
    ),
    Row(
        "a meter leaves the configuration",
        disasters.a_meter_leaves_the_configuration,
        bugs="telegraf #18283 (buffers orphaned by a change of configuration)",
    ),
]


@pytest.mark.parametrize("row", MATRIX, ids=lambda row: row.disaster)
def test_nothing_is_lost_and_nothing_is_twice(
    quick_path: Path, row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "AGAIN_S", 0.01)

    async def scene() -> list[str]:
        house = House(quick_path)
        await house.open()
        try:
            await house.live(3)
            await row.deed(house)
            await house.settle()
            await house.live(2)
            await house.settle()
            await house.check(row.lost)
        finally:
            await house.close()
        return house.said

    said = asyncio.run(scene())
    assert not row.doctor or any(row.doctor in words for words in said), said
