"""The page for a person says what doctor says; the metrics hold every class of errors."""

import re
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from gateway.config import Address
from gateway.operation.metrics import metrics
from gateway.operation.page import page
from gateway.operation.status import ask
from gateway.operation.status_words import status_words
from gateway.operation.symptoms import symptoms
from wire.errors import Unavailable

SAMPLE = re.compile(r'^[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? -?[0-9.]+$')


def report(**changes: Any) -> dict[str, Any]:
    counts = dict.fromkeys(("closed", "queued", "witnessed", "published"), 0)
    return {
        "gateway": "gw-1",
        "network": "test-0",
        "configuration": "as in its file",
        **counts,
        "final": 12_345,
        "refused": 0,
        "apart": 0,
        "duplicates": 0,
        "gaps": 0,
        "oldest_age_s": -1,
        "newest_final_s": 1_750_000_500,
        "last_interval_start_s": 1_750_000_500,
        "disk": {
            "used_percent": 40,
            "free_mb": 900,
            "alarm_percent": 0,
            "full": False,
            "reserve": True,
        },
        "meters": {"m<1>": {"state": "live", "last_sequence": 7, "kind": "modbus"}},
        "meter_errors": {"m<1>": {"no-answer": 3, "exception-2": 1}},
        "broker": "connected",
        "broker_refusal": "",
        "token": "ready",
        "token_reason": "",
        "time": "known",
        "clock": {"quality": 2, "error_ms": 3, "skew_missing_s": 10, "meters": {}},
        "place": {"receiver": "none", "moved": False, "source": "survey", "accuracy_m": 1.0},
        "answers": {"settled": 4, "worthless": 1},
        "buses": {
            "b": {
                "state": "up",
                "reason": "",
                "babbling_units": [],
                "echoes": False,
                "answers": 900,
                "errors": {"no-answer": 3, "garbled": 2},
                "meters": ["m<1>"],
            }
        },
        **changes,
    }


class Tags(HTMLParser):
    """Checks that what is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_without_scripts_and_escapes_names() -> None:
    tags = Tags()
    text = page(report())
    tags.feed(text)
    assert tags.open == []
    assert "script" not in tags.seen
    assert "m&lt;1&gt;" in text
    assert "m<1>" not in text
    assert "12,345" in text
    assert "Everything is as it should be." in text
    assert "3 no-answer" in text


def test_what_is_wrong_stands_first_in_the_words_of_doctor() -> None:
    spoilt = report(token="away", token_reason="unplugged", oldest_age_s=9 * 86_400, closed=5)
    bad = [each for each in symptoms(spoilt) if not each.good]
    text = page(spoilt)
    assert f"{len(bad)} things need a look." in text
    assert all(each.words in text for each in bad)
    assert text.index("unplugged; readings wait") < text.index("connected to the broker")


def test_metrics_have_error_classes_by_bus_and_meter() -> None:
    text = metrics(report())
    for line in text.splitlines():
        assert line.startswith("# TYPE gridwitness_gateway_") or SAMPLE.match(line), line
    for line in (
        'readings{state="final"} 12345',
        "oldest_reading_age_seconds -1",
        'bus_errors_total{bus="b",kind="garbled"} 2',
        'meter_errors_total{meter="m<1>",kind="exception-2"} 1',
        'answers_total{kind="worthless"} 1',
        'up{part="token"} 1',
        "clock_error_ms 3",
        "disk_alarm_percent 0",
        'bus_answers_total{bus="b"} 900',
    ):
        assert f"gridwitness_gateway_{line}\n" in text


def test_a_meter_without_a_reading_has_no_last_one() -> None:
    meter = {"state": "live", "last_sequence": -1, "kind": "modbus"}
    assert '<td class="n">none yet</td>' in page(report(meters={"m<1>": meter}))


def test_the_text_says_what_is_out_of_order() -> None:
    well = "\n".join(status_words(report()))
    assert "configuration" not in well
    assert "time" not in well
    assert "bus b: up\n  m<1>: live, modbus, last sequence 7" in well
    bus = {**report()["buses"]["b"], "state": "down", "reason": "no /dev/ttyUSB0"}
    meter = {"state": "dead", "last_sequence": -1, "kind": "modbus"}
    ill = "\n".join(
        status_words(
            report(
                configuration="refused: m3",
                time="waiting for the first synchronisation",
                buses={"b": bus},
                meters={"m<1>": meter},
            )
        )
    )
    assert "configuration: refused: m3" in ill
    assert "time: waiting for the first synchronisation" in ill
    assert "bus b: down, no /dev/ttyUSB0\n  m<1>: dead, modbus, no reading yet" in ill


class Validator(BaseHTTPRequestHandler):
    """What a validator's API says to who takes it for a gateway."""

    def do_GET(self) -> None:
        self.send_response(404)
        self.end_headers()
        self.wfile.write(b'{"detail": "no such page"}')

    def log_message(self, *_: Any) -> None:
        pass


def test_another_program_is_no_gateway_and_nobody_is_nobody() -> None:
    with HTTPServer(("127.0.0.1", 0), Validator) as server:
        address = Address("127.0.0.1", server.server_port)
        asked = Thread(target=server.handle_request)
        asked.start()
        with pytest.raises(Unavailable, match="but another program: is that a gateway's"):
            ask(address)
        asked.join(10)
    with pytest.raises(Unavailable, match="nobody listens there; `gridwitness gateway run` should"):
        ask(address)
