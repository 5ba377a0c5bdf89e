"""An enrolment of a village's new meter, and validators that say what a test tells them to."""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from device.provision import enrolment
from device.provision.enrolment import Placement
from tests.app.enrolments import TECHNICIAN, starts
from tests.app.village import signer
from tests.device.paper_meter import CONFIG, METER, SITE, VISIT
from wire.commissioning import CommissioningRecord, sign_record
from wire.genesis import Genesis
from wire.keys import Signer
from wire.transaction import Transaction

PLACEMENT = Placement(role="customer", reader="gw-a", rating_w=15_000, phases=3)
SOFTWARE = bytes.fromhex("a1b2c3d4")


def record(technician: Signer, **changes: Any) -> CommissioningRecord:
    """What was commissioned at the village's node n3."""
    content = CONFIG | {"node": "n3", "zone": "z1", "site": list(SITE)}
    content |= {"commissioning": VISIT.content()} | changes
    return CommissioningRecord.open(sign_record(content, METER, technician))


def enrolment_of(
    genesis: Genesis, slot: int = 2, technician: Signer | None = None, **changes: Any
) -> Transaction:
    """As the technician hands it to the operator."""
    by = technician or signer(TECHNICIAN)
    made = record(by, **changes)
    entry = enrolment.entry_of(made, METER.public, SOFTWARE, PLACEMENT)
    begun = enrolment.begin(genesis.network, entry, starts(slot), made)
    return enrolment.on_site(begun, METER.public, METER.sign(begun.to_sign(METER.public)), by)


Answer = tuple[int, Any]


@dataclass
class FakeValidator:
    """Gives the answers of a script, the last one for ever; bytes go out as they are."""

    gets: list[Answer]
    """To questions what became of the enrolment."""

    posts: list[Answer] = field(default_factory=lambda: [(202, {"status": "waiting"})])
    """To enrolments."""

    url: str = ""
    """Its address."""

    seen: list[str] = field(default_factory=list)
    """Methods that were used, in order."""

    bodies: list[bytes] = field(default_factory=list)
    """Enrolments that it got."""

    def next(self, method: str) -> Answer:
        self.seen.append(method)
        script = self.gets if method == "GET" else self.posts
        return script.pop(0) if len(script) > 1 else script[0]


@contextmanager
def running(*validators: FakeValidator) -> Iterator[None]:
    """Serve them on free ports."""
    servers = [_server(each) for each in validators]
    threads = [threading.Thread(target=each.serve_forever, args=(0.01,)) for each in servers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
        for thread in threads:
            thread.join()


def _server(validator: FakeValidator) -> http.server.HTTPServer:
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            return

        def do_GET(self) -> None:
            self._say("GET")

        def do_POST(self) -> None:
            validator.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self._say("POST")

        def _say(self, method: str) -> None:
            status, content = validator.next(method)
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            if status in (301, 302):
                self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    validator.url = f"http://127.0.0.1:{server.server_port}"
    return server
