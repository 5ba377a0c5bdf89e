"""A report says what was done, only of a record that verifies, and nothing in it can act."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from device.provision.commissioning import complete, content_of, with_meter
from device.provision.report import Measured, Step, as_json
from device.provision.report_page import as_html, kilowatt_hours
from tests.device.paper_meter import (
    CONFIG,
    METER,
    RECORD,
    REPORT,
    SITE,
    STEPS,
    TECHNICIAN,
    VISIT,
    report_with,
)
from wire.commissioning import CommissioningRecord, unsigned
from wire.errors import BadSignature, Malformed, Unavailable
from wire.keys import ES256, PublicKey, SoftSigner

HOSTILE = '"><script>alert(1)</script><img src=//x onerror=y>&\u202e\x1b[2J'


class Page(HTMLParser):
    """Tags, attributes and text of a page; complains when a tag is left open."""

    EMPTY = frozenset({"meta", "rect", "path"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


def test_the_page_says_what_was_done() -> None:
    text = Page(as_html(REPORT)).text
    kid = METER.public.kid.hex()
    for words in (
        "GW-000117",
        "LV1.101.Bus-7",
        "LV1.101",
        " ".join(kid[place : place + 4] for place in range(0, 16, 4)),
        "a1b2c3d4",
        RECORD.configuration_id.hex(),
        "1.234 kWh",
        "PEA-448120, PEA-448121",
        "PEA-99-1207: 12\u202f345.678 kWh import, 0.000 kWh export",
        "บ้านเลขที่ 12/3",
        "231.4 V",
        "0.412 A",
        "+93.1 W",
        "49.99 Hz",
        "0.040 s",
        "tech-north-1",
        "2026-11-21 09:00:00 UTC",
        "ESP32-C3, MicroPython 1.28.0",
        "18.0 s",
        *(step.words for step in STEPS),
        *REPORT.statement,
    ):
        assert words in text


def test_the_page_needs_nothing_from_elsewhere_and_cannot_act() -> None:
    page = as_html(REPORT)
    tags = Page(page).tags
    assert not {"script", "link", "img", "iframe", "object", "form", "base"} & {t for t, _ in tags}
    for _, attributes in tags:
        assert not {"src", "href", "srcset", "action"} & attributes.keys()
        assert not [name for name in attributes if name.startswith("on")]
    assert "url(" not in page
    assert "@import" not in page
    assert re.findall(r"https?://[^\"]*", page) == ["http://www.w3.org/2000/svg"]
    assert "default-src 'none'" in page


@pytest.mark.parametrize("key", ["technician", "note", "seals", "old_meter"])
def test_whatever_the_field_wrote_is_only_text(key: str) -> None:
    value: Any = {
        "seals": [HOSTILE],
        "old_meter": {"id": HOSTILE, "import_wh": 1, "export_wh": 0},
    }.get(key, HOSTILE)
    page = as_html(report_with({key: value}))
    plain = Page(as_html(REPORT))
    assert {tag for tag, _ in Page(page).tags} == {tag for tag, _ in plain.tags}
    assert "<script" not in page
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert "\\u202e\\x1b[2J" in page


def test_hostile_words_of_a_step_or_a_board_are_only_text() -> None:
    report = replace(REPORT, board=HOSTILE, steps=(Step(1, HOSTILE, "ok", HOSTILE, 1.0),))
    assert "<script" not in as_html(report)
    assert Page(as_html(report)).text.count("<script>alert(1)") == 3


@pytest.mark.parametrize(
    "visit",
    [
        {"seals": 5},
        {"seals": [{"x": 1}, 7]},
        {"old_meter": []},
        {"old_meter": {"id": "x"}},
        {"commissioned_at_s": "today"},
        {"commissioned_at_s": 2**52},
        {"start_wh": "none"},
        {"technician": 7},
    ],
)
def test_a_record_from_the_field_of_another_shape_still_makes_a_report(
    visit: dict[str, Any],
) -> None:
    report = report_with(visit)
    Page(as_html(report))
    json.dumps(as_json(report))


def test_a_visit_that_says_nothing_still_makes_a_report() -> None:
    content = dict(CONFIG)
    signed = unsigned(content).signed_by(METER).signed_by(TECHNICIAN).encoded
    report = replace(REPORT, record=CommissioningRecord.open(signed), measured=None, steps=())
    text = Page(as_html(report)).text
    assert "not named" in text
    assert "the element was not measured" in text
    assert as_json(report)["measured"] is None


def test_the_json_form_has_its_keys_and_stays_json() -> None:
    made = json.loads(json.dumps(as_json(REPORT)))
    assert {key: made[key] for key in ("format", "meter", "node", "zone", "site")} == {
        "format": 1,
        "meter": "GW-000117",
        "node": "LV1.101.Bus-7",
        "zone": "LV1.101",
        "site": list(SITE),
    }
    assert made["seals"] == list(VISIT.seals)
    assert made["registers_wh"] == made["start_wh"] == [1_234, 0]
    assert made["old_meter"] == {"id": "PEA-99-1207", "import_wh": 12_345_678, "export_wh": 0}
    assert PublicKey.from_text(made["key"]["text"]) == METER.public
    assert made["key"]["kid"] == METER.public.kid.hex()
    assert made["configuration_id"] == RECORD.configuration_id.hex()
    assert made["measured"]["phases"] == [
        {"voltage_mv": 231_400, "current_ma": 412, "power_mw": 93_100}
    ]
    assert [step["number"] for step in made["steps"]] == list(range(1, 9))
    assert made["ms"] == 18_000
    opened = CommissioningRecord.open(bytes.fromhex(made["commissioning_record"]))
    opened.verify(METER.public, PublicKey.from_text(made["technician"]["key"]["text"]))


def test_no_report_is_made_of_what_does_not_verify() -> None:
    stranger = SoftSigner.from_private(ES256, bytes([9]) * 32).public
    with pytest.raises(BadSignature):
        replace(REPORT, meter_key=stranger)
    with pytest.raises(BadSignature):
        replace(REPORT, technician_key=stranger)


def test_a_simulated_board_is_called_one() -> None:
    assert "A simulated board" in as_html(replace(REPORT, simulated=True))
    assert "A simulated board" not in as_html(REPORT)
    assert as_json(replace(REPORT, simulated=True))["simulated"] is True


def test_three_phases_have_three_rows_and_export_a_sign() -> None:
    phases = ((230_000, 1_000, -230_000), (231_000, 0, 0), (229_000, 5_000, 1_100_000))
    text = Page(as_html(replace(REPORT, measured=Measured(50_000, phases)))).text
    assert "-230.0 W" in text
    assert "L3" in text


def test_energies_are_grouped_for_people() -> None:
    assert kilowatt_hours(0) == "0.000 kWh"
    assert kilowatt_hours(12_345_678) == "12\u202f345.678 kWh"
    assert kilowatt_hours(-1_500) == "-1.500 kWh"


@pytest.mark.parametrize(("number", "outcome"), [(0, "ok"), (9, "ok"), (1, "fine")])
def test_a_step_is_one_of_eight_and_ends_in_a_known_way(number: int, outcome: str) -> None:
    with pytest.raises(Malformed):
        Step(number, "x", outcome, "", 0.0)


def test_the_record_is_made_of_what_the_technician_gave() -> None:
    assert RECORD.content["commissioning"] == VISIT.content()
    assert RECORD.content["site"] == list(SITE)
    assert {key: RECORD.content[key] for key in CONFIG} == CONFIG


def test_a_board_that_signs_something_else_is_caught_before_the_technician_signs() -> None:
    content = content_of(CONFIG, VISIT, SITE)
    other = content_of(CONFIG | {"node": "elsewhere"}, VISIT, SITE)
    signature = METER.sign(unsigned(other).to_sign(METER.public))
    with pytest.raises(BadSignature):
        with_meter(content, METER.public, signature)
    with pytest.raises(Malformed, match="ES256"):
        with_meter(content, TECHNICIAN.public, signature)


def test_a_technician_whose_token_is_away_signs_nothing() -> None:
    class Away:
        public = TECHNICIAN.public

        def sign(self, message: bytes) -> bytes:
            raise Unavailable("the token is away")

    content = content_of(CONFIG, VISIT, SITE)
    signature = METER.sign(unsigned(content).to_sign(METER.public))
    with pytest.raises(Unavailable):
        complete(with_meter(content, METER.public, signature), METER.public, Away())


def test_the_meter_is_never_its_own_technician() -> None:
    content = content_of(CONFIG, VISIT, SITE)
    signature = METER.sign(unsigned(content).to_sign(METER.public))
    with pytest.raises(Malformed, match="two signatures by one key"):
        complete(with_meter(content, METER.public, signature), METER.public, METER)
