"""The last word at a commissioning is the meter's: it signs its registers, and who was there."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device.provision import at_prompt, bundle, console, faults, papers
from device.provision.at_prompt import AtPrompt, Proof
from device.provision.report import as_json
from device.provision.report_page import as_html
from device.provision.standing import SET_BY, standing
from tests.device.paper_meter import REPORT
from tests.device.provisioned import MAKE, METER, TECHNICIAN, Desk, check, fault_of
from wire.errors import BadSignature
from wire.event import ACKNOWLEDGED, CONFIGURATION, COVER_OPEN, NO_PREVIOUS, POWER_UP, Event
from wire.record_rules import STICKY


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr("device.provision.console._ANSWER_LIMIT_S", 2.5)
    monkeypatch.setattr(bundle, "make", MAKE)
    monkeypatch.setattr("device.provision.running.START_LIMIT_S", 5.0)
    made = Desk(tmp_path / "desk")
    yield made
    made.close()


def pins(desk: Desk, words: str) -> None:
    (desk.board.folder / "pins").write_text(words)


def proof_of(desk: Desk, **changes: Any) -> Proof:
    walk, _ = desk.walk(**changes)
    assert walk.found.proof is not None
    return walk.found.proof


def test_a_commissioning_ends_with_a_snapshot_that_the_meter_signed(desk: Desk) -> None:
    walk, done = desk.walk()
    proof = walk.found.proof
    assert proof is not None
    assert walk.found.public is not None
    proof.verify(walk.found.public)
    assert proof.snapshot.event.meter == METER
    assert proof.record is None, "no interval of a quarter of an hour has ended"
    assert "snapshot verified, no record yet" in done[6].words
    report = papers.of_walk(walk.found, done, TECHNICIAN.public, simulated=False)
    told = as_json(report)
    assert told["snapshot"]["registers_wh"] == told["registers_wh"] == list(proof.registers_wh)
    assert bytes.fromhex(told["snapshot"]["signed"]) == proof.snapshot.encoded
    assert told["record"] is told["acknowledged"] is None
    assert f"its registers (event {proof.snapshot.event.number}, " in as_html(report)
    assert "no record yet" in as_html(report)
    with pytest.raises(BadSignature):
        replace(REPORT, proof=proof)  # Of another meter.


def test_who_provisions_again_acknowledges_what_stood_and_says_since_when(desk: Desk) -> None:
    desk.walk()
    pins(desk, "cover")
    first = proof_of(desk)
    assert first.stood, "the cover was open when the meter was started"
    assert [each.name for each in first.left] == ["cover open"], "and it is open still"
    pins(desk, "")
    walk, done = desk.walk(visit={"technician": "t-2", "seals": ()})
    proof = walk.found.proof
    assert proof is not None
    assert proof.acknowledged is not None
    assert proof.acknowledged.event.details[0] == "t-2"
    names = {each.name: each.since for each in proof.stood}
    assert names.keys() == {"cover open", "configuration changed"}
    assert names["cover open"] is not None
    assert names["cover open"].kind == COVER_OPEN
    assert not proof.left
    assert not proof.snapshot.event.status & STICKY
    assert any("acknowledged: cover open since event" in each for each in walk.found.warnings)
    told = as_json(papers.of_walk(walk.found, done, TECHNICIAN.public, simulated=False))
    assert told["acknowledged"]["event"] == proof.acknowledged.event.number
    assert not proof_of(desk, visit={"technician": "t-2", "seals": ()}).stood, "nothing new stands"


DISTURBED = {
    "it.snapshot = lambda: None": "takes no snapshot",
    "it.snapshot = lambda: True": "no such event",
    "read = it.map.read\nit.map.read = lambda *a: b'\\0\\0\\0\\7'": "other registers",
    "it.step = lambda: False": "signs nothing",
    "it.events.read = lambda n: None": "its event log",
}


def test_p77_a_meter_that_does_not_prove_its_registers(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(at_prompt, "SIGN_LIMIT_S", 0.2)
    public = desk.walk()[0].found.public
    assert public is not None
    for change, why in DISTURBED.items():
        with console.session(desk.port) as session:
            made = AtPrompt(session, METER, public)
            session.run(change)
            with pytest.raises(faults.RefusedFault, match=why) as caught:
                made.snapshot()
        check(caught.value, faults.NOT_PROVED, 7)
    assert proof_of(desk).snapshot, "the same command again completes"


def test_p74_a_meter_whose_logs_and_state_do_not_belong_together(desk: Desk) -> None:
    desk.walk()
    desk.ask("import os\nos.remove('/state.json')\nprint(0)")
    fault = fault_of(desk)
    check(fault, faults.DOES_NOT_RUN, 7)
    assert "StateLost" in str(fault)


def event(number: int, kind: int, status: int) -> Event:
    return Event(
        meter=METER,
        number=number,
        boots=1,
        operating_s=0,
        status=status,
        previous=NO_PREVIOUS,
        kind=kind,
        time_s=0,
        details=(),
    )


def test_a_bit_stands_since_the_event_before_which_it_did_not() -> None:
    cover, changed = 1 << 8, 1 << 13
    told = [
        event(0, COVER_OPEN, 0),
        event(1, ACKNOWLEDGED, cover),
        event(2, COVER_OPEN, 0),
        event(3, CONFIGURATION, cover),
        event(4, CONFIGURATION, cover | changed),
        event(5, POWER_UP, cover | changed),
    ]
    found = standing(cover | changed, reversed(told))
    assert [(each.bit, each.since and each.since.number) for each in found] == [(8, 2), (13, 3)]
    assert all(each.settled for each in found)
    late = standing(cover, [told[5]])
    assert [(each.since, each.settled) for each in late] == [(None, False)]
    assert standing(1 << 19, told) == ()
    assert sum(1 << bit for bit in SET_BY) == STICKY
