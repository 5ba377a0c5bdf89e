"""One real validator, and everything that strangers and liars can send to its doors."""

import json
import socket
import ssl
import subprocess

import pytest

from gridwitness.cli import main
from tests.node.town import COMMAND, WAIT_S, GatewayClient, Town, wait_for
from validator.consensus.messages import Prepare, encode_message
from wire import cbor

PARAMETERS = {"open_readings": False}
STARTED = ("val-2", "val-3", "val-4")

HASH = bytes(32)


def say(town: Town, *frames: bytes) -> None:
    """Speak to val-2 as val-1 until it has read everything or cut the connection."""
    home = town.home("val-1")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    tls.load_cert_chain(home / "tls.pem", home / "tls.key")
    with (
        socket.create_connection(("127.0.0.1", town.peer_ports["val-2"]), timeout=10) as plain,
        tls.wrap_socket(plain) as connection,
    ):
        try:
            for each in frames:
                connection.sendall(len(each).to_bytes(4, "big") + each)
            while connection.recv(65_536):
                pass
        except OSError:
            return


def cuts(town: Town) -> int:
    return town.log("val-2").count("peer cut off")


def test_nonsense_ends_a_connection_and_again_and_again_for_longer(town: Town) -> None:
    unsigned = encode_message(Prepare(town.status("val-2")["height"] + 1, 0, "val-3", HASH))
    for number, nonsense in enumerate([b"\x80", cbor.encode(["consensus", unsigned])], 1):
        say(town, nonsense)
        wait_for("the nonsense is heard", lambda count=number: cuts(town) == count)  # type: ignore[misc]
    assert "forwards what nobody signed" in town.log("val-2")
    [cut] = town.status("val-2")["cut"]
    assert (cut["peer"], cut["from"]) == ("val-1", "everything")
    say(town, cbor.encode(["status", 1]))  # Nobody listens.
    assert cuts(town) == 2
    assert town.status("val-2")["halted"] == ""
    assert "Traceback" not in town.log("val-2")


def test_garbage_on_each_port_changes_nothing(town: Town) -> None:
    for port in (town.peer_ports["val-2"], town.api_ports["val-2"]):
        for garbage in (b"\x00" * 10_000, b"GET /\x00 HTTP/9\r\n\r\n", b"\x16\x03\x01\xff\xff"):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                connection.sendall(garbage)
    assert town.status("val-2")["halted"] == ""


def test_readings_are_private_unless_the_genesis_opens_them(town: Town) -> None:
    assert town.get("val-2", "/api/v1/readings/c1")[0] == 401
    assert town.get("val-2", "/api/v1/receipts/c1/0")[0] == 401
    assert town.get("val-2", "/api/v1/zones/z1/seals")[0] == 200


def test_the_command_line_asks_and_checks(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(town.config_path("val-2"))
    assert main(["validator", "status", path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["validator"] == "val-2"
    assert main(["validator", "status", path]) == 0
    assert "val-2 of town-" in capsys.readouterr().out
    assert main(["validator", "check", path]) == 0
    assert "4 address records; good" in capsys.readouterr().out
    # One that is down is no error of the file.
    assert main(["validator", "status", str(town.config_path("val-1"))]) == 75


def test_a_second_validator_on_the_same_ledger_is_refused_in_words(town: Town) -> None:
    ended = subprocess.run(
        [*COMMAND, "run", str(town.config_path("val-2"))],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert ended.returncode == 75
    assert "another validator runs in" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_broker_that_was_away_delivers_again(town: Town) -> None:
    town.broker.stop()
    wait_for("the broker is missed", lambda: town.status("val-2")["broker"] == "away")
    town.broker.start()
    wait_for("it is back", lambda: town.status("val-2")["broker"] == "connected")
    gateway = GatewayClient(town)
    try:
        assert gateway.settle(gateway.interval()) == ["accepted"] * 5
    finally:
        gateway.leave()


def test_all_validators_killed_at_once_go_on_where_they_were(town: Town) -> None:
    gateway = GatewayClient(town)
    try:
        batch = gateway.interval()
        gateway.send(batch.encoded)
        for name in ("val-2", "val-3", "val-4"):
            town.kill(name)
        town.start()
        assert gateway.settle(batch) == ["accepted"] * 5
        wait_for("all at one height", lambda: len(set(town.heights())) == 1)
        assert len(town.ledgers(min(town.heights()))) == 1
    finally:
        gateway.leave()
