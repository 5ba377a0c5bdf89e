"""Deeds that befall a gateway, for the matrix of disasters."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway import config
from gateway.delivery.intervals import Sample
from gateway.meters.decode import Registers
from gateway.operation import doctor
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
    """SQLITE_FULL itself: the file may not grow by one page more, until a person makes room."""
    house.broker = False
    await house.live(4)

    def limit(database: sqlite3.Connection, room: int) -> None:
        ((pages,),) = database.execute("PRAGMA page_count").fetchall()
        database.execute(f"PRAGMA max_page_count = {pages + room}")

    await house.spool._database.call(limit, 0)
    kept = asyncio.ensure_future(house.live(40, rest=False))
    async with asyncio.timeout(20):
        while not house.spool.room.is_full:
            await asyncio.sleep(0.01)
    await house.look()
    assert not kept.done()
    house.broker = True
    before = (await house.spool.counts())["final"]
    await house.delivered()
    assert (await house.spool.counts())["final"] > before
    await house.spool._database.call(limit, 10_000)
    async with asyncio.timeout(20):
        await kept


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
