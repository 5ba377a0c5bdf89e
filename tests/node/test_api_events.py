"""Events: in the order of the ledger, without gaps for who comes back, bounded for who does not."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.node.office import Bureau, ask, served
from tests.node.town import wait_for
from validator.api import events
from validator.api.events import Events
from validator.listening import Event, events_of
from wire.errors import Unavailable


@pytest.fixture
def bureau(tmp_path: Path) -> Iterator[Bureau]:
    bureau = Bureau(tmp_path)
    bureau.grow(2)
    yield bureau
    bureau.close()


def told(data: bytes) -> list[Event]:
    return list(events_of(data.decode().split("\n")))


async def some(stream: AsyncIterator[bytes], count: int) -> list[Event]:
    found: list[Event] = []
    async for part in stream:
        found += told(part)
        if len(found) >= count:
            break
    return found


def test_a_block_is_told_before_what_it_derived(bureau: Bureau) -> None:
    found = told(b"".join(bureau.pages.events.of_block(1)))
    assert [(each.id, each.kind) for each in found] == [("1.0", "block"), ("1.1", "seal")]
    assert (found[0].data["height"], found[1].data["verdict"]) == (1, "BALANCED")


def test_who_comes_back_misses_nothing_and_hears_nothing_twice(bureau: Bureau) -> None:
    all_of_them = told(bureau.pages.events.after((0, 0))[0])
    assert [each.id for each in all_of_them] == ["1.0", "1.1", "2.0", "2.1"]
    for place, last in enumerate(all_of_them):
        height, number = map(int, last.id.split("."))
        assert told(bureau.pages.events.after((height, number))[0]) == all_of_them[place + 1 :]


def test_new_blocks_come_as_they_become_final(bureau: Bureau) -> None:
    async def listening() -> list[Event]:
        pages = Events(bureau.sources)
        task = asyncio.create_task(some(pages.stream((2, 10**6)), 2))
        await asyncio.sleep(0)
        bureau.grow()
        pages.wake()
        found = await asyncio.wait_for(task, 10)
        return found

    assert [each.id for each in asyncio.run(listening())] == ["3.0", "3.1"]


def test_others_are_served_while_one_reads_back_many_blocks(bureau: Bureau) -> None:
    bureau.grow(20)

    async def reading() -> bool:
        served = asyncio.Event()
        asyncio.get_running_loop().call_soon(served.set)
        await some(bureau.pages.events.stream((0, 0)), 25)
        return served.is_set()

    assert asyncio.run(reading())


def test_a_quiet_line_has_heartbeats(bureau: Bureau, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.01)

    async def first_two() -> list[bytes]:
        stream = bureau.pages.events.stream((2, 10**6))
        return [await anext(stream) for _ in range(2)]

    assert asyncio.run(first_two()) == [b"retry: 2000\n\n", b": here\n\n"]


def test_so_many_listen_and_the_next_is_told_to_come_later(
    bureau: Bureau, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_LISTENERS", 0)
    answer = ask(bureau, "/api/v1/events")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")


def test_one_address_takes_its_share_of_places_and_others_still_listen(
    bureau: Bureau, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_OF_A_CLIENT", 2)
    pages = bureau.pages.events
    with pages.seat("192.0.2.1"):
        with pages.seat("192.0.2.1"):
            answer = ask(bureau, "/api/v1/events")
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "10")
            assert "from this address" in answer.json()["detail"]
            with pages.seat("192.0.2.2"):
                assert pages.listeners == 3
        with pages.seat("192.0.2.1"):
            assert pages.listeners == 2
    assert pages.listeners == 0


def test_who_goes_while_it_listens_leaves_its_place(bureau: Bureau) -> None:
    with served(bureau) as door:
        url, pages = f"http://{door}/api/v1/events", bureau.pages.events
        for _ in range(2):
            with httpx.stream("GET", url, params={"after": "0"}, trust_env=False) as answer:
                assert next(answer.iter_lines()) == "retry: 2000"
                wait_for("it has its place", lambda: pages.listeners == 1)
            wait_for("it has left", lambda: pages.listeners == 0)


@pytest.mark.parametrize("place", ["-1", "x", "1.2.3", "1" * 30, "1.-2", "", "\x00"])
def test_a_place_is_a_height_and_a_number(bureau: Bureau, place: str) -> None:
    assert ask(bureau, "/api/v1/events", params={"after": place}).status_code == 422


def test_who_was_away_for_too_long_is_told_what_was_missed(
    bureau: Bureau, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_BACK", 1)
    found = told(bureau.pages.events.after((0, 0))[0])
    assert [each.kind for each in found] == ["missed", "block", "seal", "block", "seal"]
    bureau.grow(2)
    found = told(bureau.pages.events.after((1, 1))[0])
    assert (found[0].kind, found[0].data) == ("missed", {"from": 1, "until": 3})
    assert found[1].id == "3.0"


def test_what_is_no_stream_of_events_is_no_validators() -> None:
    with pytest.raises(Unavailable):
        list(events_of(["data: {", ""]))
    with pytest.raises(Unavailable):
        list(events_of(['data: {"height": NaN}', ""]))
    with pytest.raises(Unavailable):
        list(events_of(["data: 1e999", ""]))
    with pytest.raises(Unavailable):
        list(events_of(["data: " + "1" * 70_000, ""]))
    assert list(events_of([": here", "", "event: block", ""])) == []
