"""What was refused stays until a person removes it, and is shown with its reason and its bytes."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway import config
from gateway.delivery.kept import NothingThere, kept, remove
from gateway.delivery.outbox import Outbox, Outcome
from gateway.delivery.spool import Spool
from gridwitness.cli import main
from tests.gateway.disaster import records
from tests.gateway.street import START_S
from tests.gateway.test_spool import in_spool, opened_batch
from tests.gateway.world import GOOD

NOW_MS = START_S * 1000


async def refuse_two(spool: Spool) -> None:
    outbox = Outbox(spool)
    batch = await opened_batch(spool, outbox)
    outcomes = [Outcome(14, "bad-signature: no", "refused")] * 2 + [Outcome(0, "", "final")]
    await outbox.settle(batch, outcomes, 0, NOW_MS)
    await spool.keep_apart("m9", 4, b"\x01\x02", "its signature does not hold", NOW_MS)


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    in_spool(tmp_path, refuse_two)
    file = tmp_path / "gateway.toml"
    file.write_text(GOOD.replace('paced_time_file = ""\n', ""))
    return file


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    status = main(["gateway", "refused", *words])
    return status, capsys.readouterr().out


def test_each_is_shown_with_its_reason(toml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = shown(capsys, str(toml))
    assert status == 0
    assert "m2:0" in text
    assert "bad-signature: no (code 14)" in text
    assert "m9:4" in text
    found = json.loads(shown(capsys, str(toml), "--json")[1])["kept"]
    assert [each["kind"] for each in found] == ["refused", "refused", "apart"]
    assert bytes.fromhex(found[0]["content"]) == records()[0].encoded


def test_one_is_removed_and_the_others_stay(toml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save = toml.with_name("saved.json")
    assert shown(capsys, str(toml), "--save", str(save), "--remove", "m2:0")[0] == 0
    assert len(json.loads(save.read_text())) == 3
    spool = toml.with_name("spool.sqlite")
    assert [each.name for each in kept(spool)] == ["m2:1", "m9:4"]
    assert in_spool(toml.parent, lambda opened: opened.counts())["refused"] == 1


def test_a_name_that_is_not_there_removes_nothing(toml: Path) -> None:
    spool = toml.with_name("spool.sqlite")
    with pytest.raises(NothingThere, match="nothing is kept of m2:99"):
        remove(spool, ["m2:0", "m2:99"])
    assert len(kept(spool)) == 3
    assert len(remove(spool, ["all"])) == 3
    assert kept(spool) == []


def test_a_reading_on_its_way_cannot_be_removed(toml: Path) -> None:
    async def keep(spool: Spool) -> None:
        await spool.keep_records("m8", records()[:1], 1, NOW_MS)

    in_spool(toml.parent, keep)
    with pytest.raises(NothingThere):
        remove(toml.with_name("spool.sqlite"), ["m8:0"])


def test_it_works_beside_a_running_gateway(toml: Path) -> None:
    async def scene() -> dict[str, int]:
        spool = await Spool.open(toml.with_name("spool.sqlite"))
        try:
            await asyncio.to_thread(remove, spool.path, ["all"])
            return await spool.counts()
        finally:
            await spool.close()

    found: Any = asyncio.run(scene())
    assert (found["refused"], found["apart"], found["final"]) == (0, 0, 1)


def test_without_a_spool_that_is_said_in_a_line(toml: Path, tmp_path: Path) -> None:
    settings = replace(config.load(toml), spool=tmp_path / "none" / "spool.sqlite")
    assert not settings.spool.exists()
    toml.write_text(toml.read_text().replace("spool.sqlite", "none.sqlite"))
    assert main(["gateway", "refused", str(toml)]) == 75
