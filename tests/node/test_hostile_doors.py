"""One real validator, and everything that strangers and liars can send to its doors."""

import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from gridwitness.cli import main
from tests.node.town import COMMAND, WAIT_S, GatewayClient, Town, wait_for
from validator.consensus.messages import (
    Commit,
    Message,
    Prepare,
    Proposal,
    RoundChange,
    encode_message,
)
from wire import cbor

HASH = bytes(32)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Two of four run: val-1, whose certificate the tests borrow, is down."""
    town = Town(tmp_path_factory.mktemp("doors"), 4, open_readings=False)
    try:
        town.broker.start()
        town.start("val-2", "val-3", "val-4")
        yield town
    finally:
        town.close()


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
        for each in frames:
            connection.sendall(len(each).to_bytes(4, "big") + each)
        connection.sendall((2**32 - 1).to_bytes(4, "big"))  # Too long: the end of it.
        try:
            while connection.recv(65_536):
                pass
        except OSError:
            return


NUMBERS: list[Any] = [-1, 0, 1, 2**62, 2**63, 2**64 - 1, "1", b"1", None, True, [1], {1: 2}]
NAMES = ["status", "get-final", "get-batch", "get-block", "batch", "block", "final", "consensus"]


@pytest.mark.parametrize("name", [*NAMES, "unknown", 1, None, [], {}])
def test_no_frame_of_a_peer_brings_a_validator_down(town: Town, name: Any) -> None:
    for arguments in ([], *([each] for each in [*NUMBERS, HASH])):
        say(town, cbor.encode([name, *arguments]))
    for arguments in ([HASH, b""], [b"", [], []], [b"\x80", [0, HASH, []], [b"\x80"]]):
        say(town, cbor.encode([name, *arguments]))
    assert town.status("val-2")["halted"] == ""
    assert "Traceback" not in town.log("val-2")


def test_no_vote_without_its_senders_signature_is_counted(town: Town) -> None:
    height = town.status("val-2")["height"] + 1
    votes: list[Message] = [
        Prepare(height, 0, "val-3", HASH),
        Commit(height, 0, "val-4", HASH),
        Commit(2**64 - 1, 2**32 - 1, "val-1", HASH),
        RoundChange(height, 9, "val-3", None, None),
        Proposal(height, 0, "val-3", HASH, b"\x80"),
    ]
    for vote in votes:
        say(town, cbor.encode(["consensus", encode_message(vote)]))
    assert town.log("val-2").count("forwards what nobody signed") >= len(votes)


def test_garbage_on_each_port_changes_nothing(town: Town) -> None:
    for port in (town.peer_ports["val-2"], town.api_ports["val-2"]):
        for garbage in (b"\x00" * 10_000, b"GET /\x00 HTTP/9\r\n\r\n", b"\x16\x03\x01\xff\xff"):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                connection.sendall(garbage)
    assert town.status("val-2")["halted"] == ""


def test_readings_are_private_unless_the_genesis_opens_them(town: Town) -> None:
    assert town.get("val-2", "/api/v1/readings/c1")[0] == 403
    assert town.get("val-2", "/api/v1/receipts/c1/0")[0] == 403
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
