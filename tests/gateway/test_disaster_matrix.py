"""The matrix of disasters: what happens, what then holds, what doctor says meanwhile.

Each row ends with everything well again; then every reading is on the ledger, none is there twice,
and no batch sequence was used for two batches. The bugs named are other gateways' and brokers':
repository and number of the report.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gateway import config, doctor, spool
from gateway.decode import Registers
from gateway.intervals import Sample
from gridwitness import certificates
from gridwitness.agreeing import Authorities
from hsm.refusals import PinRefused
from tests.gateway.house import POLLED, UNKNOWN_METER, House, away
from tests.gateway.quick_folder import quick_path as quick_path
from tests.gateway.street import START_S, SigningMeter
from tests.gateway.test_answers import changed
from tests.gateway.world import GOOD, METER, make_genesis
from wire.errors import Unavailable
from wire.keys import EDDSA, SoftSigner

DAY, YEAR_S = 96, 365 * 86_400


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


async def broker_away_for_a_month(house: House) -> None:
    house.broker = False
    for _ in range(30):
        await house.live(DAY, rest=False)
        await house.work()
    await house.look()


async def broker_comes_and_goes(house: House) -> None:
    for number in range(40):
        house.broker = number % 2 == 1
        await house.live(1)


async def broker_loses_what_it_took(house: House) -> None:
    house.hold = lambda answers: []
    await house.live(4 * 4)
    await house.look()


async def receipts_get_lost(house: House) -> None:
    house.hold = lambda answers: answers[:: house.chance.choice((2, 3))]
    await house.live(12)


async def receipts_come_several_times_and_shuffled(house: House) -> None:
    old: list[bytes] = []

    def shuffle(answers: list[bytes]) -> list[bytes]:
        old.extend(answers)
        mixed = answers * 3 + old
        house.chance.shuffle(mixed)
        return mixed[1:]

    house.hold = shuffle
    await house.live(8)


async def wrong_receipts(house: House) -> None:
    """Of another network, of too few seals, with a broken proof, of another batch, of none."""
    house.hold = lambda answers: []
    await house.live(3)
    genesis = house.world.genesis
    strangers = {name: SoftSigner.generate(EDDSA) for name in house.world.authorities.keys}
    foreign = Authorities(make_genesis().genesis, strangers)
    batch, other = house.batches[-1], house.batches[0]
    good = house.world.authorities.receipt(batch)
    wrong = [
        foreign.receipt(batch),
        house.world.authorities.receipt(batch, seals=genesis.validators.quorum - 1),
        changed(house.world.authorities.receipt(other), batch_id=batch.batch_id),
        changed(good, reading_results=()),
        *(good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :] for at in range(9, len(good), 40)),
    ]
    before = await house.spool.counts()
    for answer in wrong:
        await house.receipts.take(answer)
    assert await house.spool.counts() == before
    await house.look()


async def refusals_of_what_was_never_sent(house: House) -> None:
    never = SigningMeter("m9", "n", METER)
    never.close(START_S)
    house.hold = lambda answers: []
    await house.live(1)
    real = house.batches[-1]
    statement = replace(real.witness, cose=real.witness.cose)
    forged = replace(real, witness=statement, readings=(never.records[0],))
    for name in house.world.authorities.keys:
        refusal = house.world.authorities.refusal(forged, name, UNKNOWN_METER)
        await house.receipts.take(refusal.replace(real.batch_id, bytes(32)))
    assert (await house.spool.counts())["refused"] == 0


async def refused_for_a_while(house: House) -> None:
    """Validators that do not know a meter yet say so; the reading is tried again later."""
    house.hold = lambda answers: []
    await house.live(2)
    await house.refuse_for_now()
    house.clock.move_to(house.clock.now_ms() / 1000 + 12 * 3_600)
    await house.look()
    await house.boundary()
    house.unkept += 1  # Nobody was read in those twelve hours: one interval has one end only.


async def clock_runs_a_year_ahead_and_back(house: House) -> None:
    now_s = house.clock.now_ms() // 1000
    house.clock.move_to(now_s + YEAR_S)
    await house.boundary()
    house.unkept += 2  # A year's gap there, and one back.
    house.hold = lambda answers: []
    await house.work()
    await house.refuse_for_now()
    house.hold = lambda answers: answers
    house.clock.move_to(now_s)


async def clock_goes_back_an_hour(house: House) -> None:
    """The same boundaries come again: none is closed a second time."""
    now_s = house.clock.now_ms() // 1000
    for number in range(4, -1, -1):
        boundary_s = now_s // 900 * 900 - 900 * number
        registers = Registers(house.import_wh + 7, 0)
        await house.reader.keep_sample(POLLED, Sample(boundary_s, registers, bytes(8), 20))
    house.clock.move_to(now_s - 3_600)
    await house.work()
    house.clock.move_to(now_s)


async def meters_clock_is_a_year_wrong(house: House) -> None:
    """Its readings are evidence of that, and are never thrown away here."""
    house.meter.close(START_S - YEAR_S, house.import_wh)
    house.meter.close(START_S + YEAR_S, house.import_wh)
    await house.fetch()
    await house.work()
    house.unkept += 2


async def token_away_for_a_day(house: House) -> None:
    await house.unplug(away())
    await house.live(DAY - 1, rest=False)
    await house.look()


async def token_refuses_the_pin(house: House) -> None:
    await house.unplug(PinRefused("the token refused the PIN (wrong PIN); it is not tried again"))
    asked = house.token.asked
    await house.live(5, rest=False)
    await house.look()
    assert house.token.asked <= asked + 1


def expired(end: str) -> Callable[[House], Awaitable[None]]:
    """A certificate has ended: the broker lets nobody in until there is a new one."""

    async def deed(house: House) -> None:
        house.broker = False
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(certificates, end, 0)
            ca = certificates.make_ca("test")
            issued = certificates.issue(ca, "gw-1", certificates.CLIENT)
        for made, name in ((ca, "ca"), (issued, "mqtt")):
            made.write(house.folder / f"{name}.pem", house.folder / f"{name}.key")
        (house.folder / "gateway.toml").write_text(GOOD.replace('paced_time_file = ""\n', ""))
        settings = config.load(house.folder / "gateway.toml")
        await house.live(12)
        await house.look()
        for check in (doctor._certificate, doctor._authority):
            try:
                check(settings)
            except Unavailable as reason:
                house.said.append(str(reason))

    return deed


async def disk_is_full(house: House) -> None:
    """SQLITE_FULL itself: the file may not grow by one page more."""
    house.broker = False
    await house.live(4)

    def limit(database: sqlite3.Connection) -> None:
        ((pages,),) = database.execute("PRAGMA page_count").fetchall()
        database.execute(f"PRAGMA max_page_count = {pages}")

    await house.spool._database.call(limit)
    kept = asyncio.ensure_future(house.live(40, rest=False))
    async with asyncio.timeout(10):
        while not house.spool.room.is_full:
            await asyncio.sleep(0.01)
    await house.look()
    assert not kept.done()
    house.broker = True

    async def over_and_over(part: Callable[[], Awaitable[None]]) -> None:
        while True:
            await part()
            await asyncio.sleep(0.01)

    parts = [
        asyncio.ensure_future(over_and_over(each)) for each in (house.witnessed, house.delivered)
    ]
    async with asyncio.timeout(20):
        await kept
    for part in parts:
        part.cancel()
    await asyncio.gather(*parts, return_exceptions=True)


async def file_is_moved_aside(house: House, damage: Callable[[Path], None]) -> None:
    house.broker = False
    await house.live(6)
    await house.close()
    damage(house.folder / "spool.sqlite")
    await house.open()
    await house.fetch()


def page_of(name: str) -> Callable[[House], Awaitable[None]]:
    """Overwrite the root page of a table or index."""

    def damage(path: Path) -> None:
        with sqlite3.connect(path) as database:
            ((page,),) = database.execute(
                "SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)
            ).fetchall()
            ((size,),) = database.execute("PRAGMA page_size").fetchall()
        database.close()
        content = bytearray(path.read_bytes())
        content[(page - 1) * size : page * size] = b"\x5a" * size
        path.write_bytes(content)

    async def deed(house: House) -> None:
        await file_is_moved_aside(house, damage)

    return deed


async def pages_are_overwritten_at_random(house: House) -> None:
    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        for _ in range(3):
            page = house.chance.randrange(len(content) // 4096)
            content[page * 4096 : page * 4096 + 900] = house.chance.randbytes(900)
        path.write_bytes(content)

    await file_is_moved_aside(house, damage)


async def file_is_gone(house: House) -> None:
    def damage(path: Path) -> None:
        for each in path.parent.glob("spool.sqlite*"):
            each.unlink()

    await file_is_moved_aside(house, damage)


async def log_is_garbage(house: House) -> None:
    """The write-ahead file of another program, or of a disk that lies."""
    await house.live(2)
    await house.close()
    (house.folder / "spool.sqlite-wal").write_bytes(house.chance.randbytes(40_000))
    await house.open()


async def started_again_and_again(house: House) -> None:
    await house.work()
    sent = len(house.batches)
    for _ in range(5):
        await house.start_again()
        await house.work()
    assert len(house.batches) == sent


async def two_looks_at_once(house: House) -> None:
    """Closing, publishing and settling run into each other."""
    for _ in range(6):
        await house.boundary()
        await house.signed()
        await asyncio.gather(house.witness.step(), house.publish(), house.boundary())
        await asyncio.gather(house.work(), house.publish())


async def a_meter_leaves_the_configuration(house: House) -> None:
    """What it has given stays on its way, whoever is polled later."""
    house.broker = False
    await house.live(5)
    await house.start_again()
    house.broker = True
    await house.work()


MATRIX = [
    Row(
        "the broker is away for 30 days",
        broker_away_for_a_month,
        "they wait for the broker",
        "thingsboard-gateway #2132 #2157 #1507, OpenEMS #3798, EdgeX app-service-configurable #318,"
        " emonHub #125",
    ),
    Row(
        "the broker comes and goes",
        broker_comes_and_goes,
        bugs="thingsboard-gateway #2124 (store made anew on each connection), mosquitto #3394",
    ),
    Row(
        "the broker acknowledges batches and loses them",
        broker_loses_what_it_took,
        "no receipt comes: are the validators up?",
        "mosquitto #1593 #1855 #2415 #3695, thin-edge.io #3083",
    ),
    Row("receipts get lost", receipts_get_lost),
    Row("receipts come several times and shuffled", receipts_come_several_times_and_shuffled),
    Row("wrong receipts", wrong_receipts, "answers prove nothing"),
    Row("refusals of what was never sent", refusals_of_what_was_never_sent),
    Row(
        "readings are refused for a while",
        refused_for_a_while,
        "refused for a reason that can be cured",
        "emonHub #125 (never tries to send again)",
    ),
    Row(
        "the clock runs a year ahead, and back",
        clock_runs_a_year_ahead_and_back,
        bugs="raspberrypi/linux #1751, oem_gateway #12",
    ),
    Row("the clock goes back an hour", clock_goes_back_an_hour, bugs="vzlogger #488"),
    Row(
        "a meter's clock is a year wrong",
        meters_clock_is_a_year_wrong,
        bugs="vzlogger #615 (readings discarded on timestamp checks)",
    ),
    Row(
        "the token is away for a day",
        token_away_for_a_day,
        "the token is away: it was pulled out; readings wait and none is lost",
        "thin-edge.io #4352 (7.5 hours offline until a restart), SoftHSMv2 #464",
    ),
    Row("the PIN is wrong", token_refuses_the_pin, "it is not tried again"),
    Row(
        "the gateway's certificate has expired",
        expired("CERTIFICATE_DAYS"),
        "ask the network's operator for a new one; readings wait meanwhile",
    ),
    Row(
        "the authority of all certificates has expired",
        expired("CA_DAYS"),
        "the network's operator must make a new one, and then everyone's certificates",
    ),
    Row(
        "the disk is full",
        disk_is_full,
        "FULL. New readings wait and nothing is dropped",
        "thingsboard-gateway #1483 (fills and never recovers), telegraf #15868",
    ),
    Row("a damaged index", page_of("reading_waiting"), lost=0),
    Row("a damaged table of batches", page_of("batch")),
    Row("a damaged table of meters", page_of("meter"), lost=1),
    Row("a damaged table of readings", page_of("reading"), lost=99),
    Row("pages overwritten at random", pages_are_overwritten_at_random, lost=99),
    Row("the spool's file is gone", file_is_gone, lost=99),
    Row(
        "the write-ahead file is garbage",
        log_is_garbage,
        bugs="telegraf #18528 (panic: log corrupt, at every start)",
    ),
    Row(
        "started again when all is final",
        started_again_and_again,
        bugs="telegraf #16500 #17247 (the last metric is sent again after each restart)",
    ),
    Row(
        "two looks at the same readings at once",
        two_looks_at_once,
        bugs="thingsboard-gateway #2098 (prefetch race of its SQLite store: every reading twice)",
    ),
    Row(
        "a meter leaves the configuration",
        a_meter_leaves_the_configuration,
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
