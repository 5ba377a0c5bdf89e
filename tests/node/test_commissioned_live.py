"""A board on a pty becomes a meter, is enrolled while four validators run, and its word counts.

Nothing is made up but the load: the commands of a technician and an operator, a real MicroPython,
the gateway's own reading of its line, real validators, a real broker, a verdict offline.
"""

import asyncio
import hashlib
import json
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from device.provision import enrolment
from gateway import config
from gateway.config_table import BadConfiguration
from gateway.lines.line import Line
from gateway.lines.transport import transport_for
from gateway.polling import window
from gateway.registered import SigningMeter, registration
from gridwitness.cli import main
from hsm.publickey import read_key
from hwsim.board import Board
from hwsim.scaled_clock import PacedClock, Pacer
from tests.app.enrolments import TECHNICIAN
from tests.app.village import INTERVAL_S, SITE, START_S
from tests.gateway.world import GOOD
from tests.node.town import WAIT_S, GatewayClient, Town, wait_for
from wire.history import History
from wire.reading import SignedReading

PACED = True

METER, NODE, ZONE, UNIT = "TH-BKK-0117", "n3", "z1", 5
PASSPHRASE = b"opens"
MOMENT_S = 60
"""Before and after an interval's end, when the board is surely looked at."""


def key_file(folder: Path, name: str) -> Path:
    """A party's Ed25519 key, as the village knows it, with its passphrase beside it."""
    secret = hashlib.sha256(name.encode()).digest()
    private = ed25519.Ed25519PrivateKey.from_private_bytes(secret)
    encryption = BestAvailableEncryption(PASSPHRASE)
    (folder / "passphrase").write_bytes(PASSPHRASE)
    path = folder / f"{name}.pem"
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    return path


class Site:
    """The place where the meter hangs: its board, its papers, the time there."""

    def __init__(self, town: Town, folder: Path) -> None:
        self.town = town
        self.folder = folder
        self.board = Board(folder / "board" / "board", "simulated")
        self.papers = folder / METER
        self.records: dict[int, SignedReading] = {}

    def provision(self) -> int:
        """What a technician types."""
        lat, lon = (each / 10**7 for each in SITE)
        arguments = ["--simulate", "--folder", self.folder / "board", "--meter", METER]
        arguments += ["--node", NODE, "--zone", ZONE, "--unit", UNIT, "--site", f"{lat},{lon}"]
        arguments += ["--shared-node", "--service-a", 63, "--reader", "gw-a", "--no-lock"]
        arguments += ["--genesis", self.town.folder / "genesis.json", "--out", self.folder]
        arguments += ["--technician", TECHNICIAN, "--technician-key"]
        arguments += [key_file(self.folder, TECHNICIAN)]
        arguments += ["--passphrase-file", self.folder / "passphrase"]
        return main(["meter", "provision", *map(str, arguments)])

    def enrol(self) -> int:
        """What the operator types, later and elsewhere."""
        url = f"http://127.0.0.1:{self.town.api_ports['val-3']}"
        arguments = [self.papers / f"{METER}.gwe", "--genesis", self.town.folder / "genesis.json"]
        arguments += ["--validator", url, "--operator-key", key_file(self.folder, "PEA")]
        arguments += ["--passphrase-file", self.folder / "passphrase"]
        return main(["meter", "enrol", *map(str, arguments)])

    def now_s(self) -> int:
        """Where the board's time stands."""
        clock = PacedClock(self.folder / "board" / "time")
        try:
            return clock.now_ms() // 1000
        finally:
            clock.close()

    def live(self, meter: SigningMeter, first_s: int, intervals: int) -> None:
        """The board is switched on before these intervals; each goes by and its record is read."""
        pacer = Pacer(self.folder / "board" / "time", (first_s - MOMENT_S) * 1000, INTERVAL_S)
        try:
            self.board.start()
            self.board.wait_serving()
            asyncio.run(self._follow(pacer, meter, first_s, intervals))
        finally:
            pacer.close()
            self.board.close()

    async def _follow(
        self, pacer: Pacer, meter: SigningMeter, first_s: int, intervals: int
    ) -> None:
        [bus] = self.gateway_config().buses
        line = Line(bus, transport_for(bus))
        try:
            await window.check_identity(line.ask, meter)
            pacer.let_pass((first_s + MOMENT_S) * 1000)
            for start_s in range(first_s, first_s + intervals * INTERVAL_S, INTERVAL_S):
                pacer.let_pass((start_s + INTERVAL_S + MOMENT_S) * 1000)
                deadline = time.monotonic() + WAIT_S
                while not self.has(start_s):
                    assert time.monotonic() < deadline, "the board records nothing"
                    there = await window.look(line.ask, meter)
                    for sequence in range(max(there.tail, len(self.records)), there.records):
                        self.records[sequence] = await window.fetch(line.ask, meter, sequence)
        finally:
            line.close()

    def gateway_config(self) -> config.GatewayConfig:
        """A gateway that reads this meter as its enrolment says."""
        path = self.folder / "gateway.toml"
        buses = GOOD.index("[[bus]]")
        path.write_text(
            GOOD[:buses].replace('"gw-1"', '"gw-a"')
            + f'[[bus]]\nname = "b"\nkind = "rtu"\nport = "{self.board.line}"\n'
            + f'[[bus.meter]]\nid = "{METER}"\nunit = {UNIT}\ntemplate = "gridwitness"\n'
            + f'enrolment = "{METER}/{METER}.gwe"\n'
        )
        return config.load(path)

    def has(self, start_s: int) -> bool:
        return any(each.reading.interval_start_s == start_s for each in self.records.values())

    def reading(self, start_s: int) -> SignedReading:
        [found] = [
            each for each in self.records.values() if each.reading.interval_start_s == start_s
        ]
        return found


@pytest.fixture(scope="module")
def site(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(town, tmp_path_factory.mktemp("site"))
    assert site.provision() == 0
    return site


def judged(town: Town, gateway: GatewayClient, signed: SignedReading) -> str:
    """What the authorities say of one record, witnessed two seconds after its interval."""
    slot = (signed.reading.interval_start_s - START_S) // INTERVAL_S
    town.stand(slot)
    [name] = gateway.settle(town.village.batch([signed.encoded], slot))
    return name


def test_a_commissioned_meter_is_unknown_until_it_is_enrolled(
    town: Town, gateway: GatewayClient, site: Site
) -> None:
    meter = SigningMeter(METER, UNIT, NODE, read_key(str(site.papers / "key.der")))
    first_s = (site.now_s() // INTERVAL_S + 2) * INTERVAL_S
    site.live(meter, first_s, 1)
    assert judged(town, gateway, site.reading(first_s)) == "unknown-meter"


def test_from_its_first_interval_on_the_boards_word_is_accepted(
    town: Town, gateway: GatewayClient, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BadConfiguration, match="does not stand"):
        registration(site.gateway_config(), town.genesis)
    assert site.enrol() == 0
    assert f"enrolled       {METER}, in block" in capsys.readouterr().out
    [(_, [meter])] = registration(site.gateway_config(), town.genesis).buses
    assert isinstance(meter, SigningMeter)
    from_s = enrolment.read(site.papers / f"{METER}.gwe").from_s
    site.live(meter, from_s - INTERVAL_S, 4)
    assert judged(town, gateway, site.reading(from_s - INTERVAL_S)) == "not-registered-then"
    for number in (0, 1):
        assert judged(town, gateway, site.reading(from_s + number * INTERVAL_S)) == "accepted"


def verify(*arguments: object) -> int:
    return main(["verify", *map(str, arguments)])


def test_its_receipt_and_its_records_verify_offline(
    town: Town, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    genesis = town.folder / "genesis.json"
    enrolled = ["--genesis", genesis, "--enrolment", site.papers / f"{METER}.gwe"]
    label = ["--label", site.papers / "label.svg"]
    from_s = enrolment.read(site.papers / f"{METER}.gwe").from_s
    signed = site.reading(from_s)
    path = f"/api/v1/receipts/{METER}/{signed.reading.sequence}"
    wait_for("the receipt is there", lambda: town.get("val-1", path)[0] == 200)
    receipt = site.folder / "receipt.cbor"
    receipt.write_bytes(town.get("val-1", path)[1])
    assert verify(receipt, *enrolled, *label) == 0
    words = capsys.readouterr().out
    assert f"VERIFIED: meter {METER} at {NODE}" in words
    assert f"technician {TECHNICIAN} and operator PEA signed" in words
    commissioning = (site.papers / "commissioning.cbor").read_bytes()
    history = History.of([each.encoded for each in site.records.values()], commissioning)
    records = site.folder / "records.gwr"
    records.write_bytes(history.encoded)
    for known in (enrolled, label, [*enrolled, *label]):
        assert verify(records, *known, "--json") == 0
        assert json.loads(capsys.readouterr().out)["records"] == len(site.records)
    assert verify(records, "--genesis", genesis) == 2
    assert "registers no meter of these records" in capsys.readouterr().err


def test_what_the_board_did_not_sign_is_refused_by_verify_and_by_the_network(
    town: Town, gateway: GatewayClient, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    from_s = enrolment.read(site.papers / f"{METER}.gwe").from_s
    good = site.reading(from_s + 2 * INTERVAL_S)
    energy = good.reading.import_wh.to_bytes(2, "big")
    forged = good.encoded.replace(energy, (good.reading.import_wh + 1).to_bytes(2, "big"), 1)
    assert forged != good.encoded
    slot = (good.reading.interval_start_s - START_S) // INTERVAL_S
    town.stand(slot)
    assert gateway.settle(town.village.batch([forged], slot)) == ["bad-signature"]
    file = site.folder / "forged.cose"
    file.write_bytes(forged)
    label = ["--label", site.papers / "label.svg"]
    assert verify(file, *label) == 1
    assert "NOT VERIFIED" in capsys.readouterr().out
    assert judged(town, gateway, good) == "accepted", "the honest record still counts"
