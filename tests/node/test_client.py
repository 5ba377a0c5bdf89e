"""The client trusts no validator: it asks the next one, and believes a receipt that holds."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gridwitness import certificates
from gridwitness.addresses import free_ports
from gridwitness.cli import main
from gridwitness.configuration import toml
from tests.app.enrolments import Enrolment, starts
from tests.app.village import signer
from tests.node.office import Bureau, served
from tests.node.town import wait_for
from validator.api.server import Certificate
from validator.client import Client, FalseReceipt, NotThere, RequestRefused
from validator.desk import SYSTEM, Reader, Trust
from validator.desk import Answer as Said
from wire.access import HolderSecret
from wire.errors import Malformed, Unavailable
from wire.receipt import Receipt

Answer = tuple[int, str, bytes]
CBOR = "application/cbor"


@contextlib.contextmanager
def liar(tell: Callable[[str], Answer]) -> Iterator[str]:
    """A server that answers what it likes."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, body = tell(self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - Its name there.
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def bureau(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bureau]:
    bureau = Bureau(tmp_path_factory.mktemp("client"))
    bureau.grow(3)
    yield bureau
    bureau.close()


@pytest.fixture(scope="module")
def url(bureau: Bureau) -> Iterator[str]:
    with served(bureau) as address:
        yield f"http://{address}"


def away() -> str:
    return f"http://127.0.0.1:{free_ports(1)[0]}"


def test_who_is_away_is_passed_over_and_asked_last_from_then_on(bureau: Bureau, url: str) -> None:
    with Client([away(), url]) as client:
        assert client.status().height == bureau.chain.tip.height
        assert client.desks()[0].url == url
    with Client([away(), away()]) as client, pytest.raises(Unavailable, match="does not answer"):
        client.status()


def test_pages_are_walked_to_their_end(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("validator.client.PAGE", 1)
    with Client([url]) as client:
        heights = [each.height for each in client.blocks()]
        assert heights == list(range(len(heights), 0, -1))
        found = [each.sequence for each in client.readings("c1", from_s=starts(1))]
        assert found == list(range(1, len(heights)))
        assert {each.verdict for each in client.seals("z1")} == {"BALANCED"}


def test_a_receipt_is_verified_whoever_hands_it_out(bureau: Bureau, url: str) -> None:
    with Client([url], bureau.chain.genesis) as client:
        good = client.receipt("c1", 1).receipt
        other = client.receipt("c2", 1).receipt
        with pytest.raises(NotThere):
            client.receipt("c1", 99)
    forged = bytearray(good.encoded)
    forged[len(forged) // 2] ^= 1
    for told in (bytes(forged), other.encoded, b"", b"\xff" * 100):
        with liar(lambda _, told=told: (200, CBOR, told)) as lies:  # type: ignore[misc]
            with Client([lies, url], bureau.chain.genesis) as client:
                found = client.receipt("c1", 1)
                assert (found.receipt.encoded, found.false) == (good.encoded, (lies,))
            with Client([lies], bureau.chain.genesis) as client, pytest.raises(FalseReceipt):
                client.receipt("c1", 1)


@pytest.mark.parametrize(
    "answer",
    [
        (200, "text/html", b"<html>"),
        (200, "application/json", b"[" * 100_000),
        (200, "application/json", b'{"height": "many"}'),
        (302, "text/plain", b""),
        (500, "application/json", b"{}"),
        (200, "application/json", b" " * (17 * 2**20)),
    ],
)
def test_what_is_no_validators_answer_is_never_believed(answer: Answer) -> None:
    with (
        liar(lambda _: answer) as lies,
        Client([lies]) as client,
        pytest.raises((Unavailable, RequestRefused)),
    ):
        client.status()


@pytest.mark.parametrize("content", [b'{"height": NaN}', b"[-Infinity]", b'{"height": 1e999}'])
def test_what_could_not_be_written_as_json_again_is_not_read_as_json(content: bytes) -> None:
    with pytest.raises(Unavailable, match="no JSON"):
        assert Said("http://127.0.0.1:1", 200, content).json


def test_a_strangers_words_are_one_printable_line() -> None:
    body = json.dumps({"detail": "\x1b[2J" + "x" * 5_000 + "\n\n"}).encode()
    with (
        liar(lambda _: (422, "application/json", body)) as lies,
        Client([lies]) as client,
        pytest.raises(RequestRefused) as refused,
    ):
        client.status()
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 400


def test_a_remedy_that_the_problem_says_already_is_said_once() -> None:
    told = Said("u", 422, json.dumps({"detail": "refused: no", "remedy": "no"}).encode())
    assert told.words == "refused: no"
    told = Said("u", 404, json.dumps({"detail": "no block", "remedy": "look"}).encode())
    assert told.words == "no block: look"
    assert Said("u", 500, b"[]").words == "status 500"
    assert "no validator's API" in Said("u", 404, b"GET /, /status or /metrics").words


def test_who_is_asked_wrongly_is_told_what_to_look_at(url: str) -> None:
    tls = url.replace("http://", "https://")
    for address, words in (
        (tls, r"it speaks no TLS; is it an http:// address\?"),
        (away(), r"nobody listens there; a validator should"),
    ):
        with Client([address]) as client, pytest.raises(Unavailable, match=words):
            client.status()


def test_a_status_is_of_the_validator_that_was_asked_for(
    bureau: Bureau, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("peers", "genesis", "key", "passphrase_file", "tls_certificate", "tls_key", "data")
    mqtt = {"host": "b", "port": 1, "ca": "c", "certificate": "c", "key": "k"}
    where = {"listen": "127.0.0.1:1", "api": url.removeprefix("http://"), "mqtt": mqtt}
    config = tmp_path / "validator.toml"
    found = bureau.chain.genesis_file
    (tmp_path / "own").write_bytes(found)
    (tmp_path / "strange").write_bytes(found.replace(b'"name": "', b'"name": "x', 1))
    me = bureau.chain.me
    for name, genesis, status in ((me, "own", 0), (me, "strange", 1), ("val-other", "own", 1)):
        settings = {**dict.fromkeys(names, "x"), "id": name, "genesis": genesis}
        config.write_text(toml(settings | where))
        assert main(["validator", "status", str(config)]) == status
    said = capsys.readouterr().err.splitlines()
    assert f"another validator answers at {url}: {me} of" in said[0]
    assert ", but this file is of x" in said[0]
    assert said[1].endswith(", not val-other. Each needs an `api` address of its own")


@pytest.mark.parametrize(("halted", "hindrance"), [("", "2 of 4 are connected"), ("disk", "")])
def test_status_ends_with_1_when_the_chain_stands(
    halted: str, hindrance: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {"halted": halted, "agreement": {"hindrance": hindrance}}
    monkeypatch.setattr("validator.config.load", lambda _: None)
    monkeypatch.setattr("validator.cli.ask_status", lambda _: found)
    assert main(["validator", "status", "validator.toml", "--json"]) == 1
    found |= {"halted": "", "agreement": {"hindrance": ""}}
    assert main(["validator", "status", "validator.toml", "--json"]) == 0
    capsys.readouterr()


@pytest.mark.parametrize(
    "address", ["", "ftp://x", "http://", "http://a@b", "http://x/?q", "http://x:99999", "x:1"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(Malformed, match="no validator's address"):
        Client([address])


def test_a_receipt_that_is_to_come_is_waited_for(bureau: Bureau, url: str) -> None:
    sequence = bureau.chain.tip.height
    with Client([away(), url], bureau.chain.genesis) as client:
        with pytest.raises(Unavailable, match=r"no receipt of c1"):
            client.await_receipt("c1", sequence, 0.0)
        with ThreadPoolExecutor(1) as waiting:
            found = waiting.submit(client.await_receipt, "c1", sequence, 20.0)
            wait_for("it listens", lambda: bureau.pages.events.listeners == 1)
            bureau.grow()
            receipt = found.result().receipt
    assert receipt.verify(bureau.chain.genesis).reading.sequence == sequence


def test_events_go_on_where_they_ended(bureau: Bureau, url: str) -> None:
    with Client([away(), url]) as client:
        stream = client.events(5.0, "1.0")
        assert [next(stream).id for _ in range(3)] == ["1.1", "2.0", "2.1"]
        stream.close()  # type: ignore[attr-defined]


def test_private_readings_need_a_reader(tmp_path: Path) -> None:
    secret = HolderSecret.make()

    def edit(content: dict[str, object]) -> None:
        meters = content["meters"]
        assert isinstance(meters, list)
        meters[1]["holder"] = secret.digest.hex()

    bureau = Bureau(tmp_path, edit=edit, open_readings=False)
    bureau.grow(2)
    genesis = bureau.chain.genesis
    readers = {
        "nobody": None,
        "holder": Reader(genesis.network, secret),
        "authority": Reader(genesis.network, authority=signer("PEA")),
    }
    found = {}
    with served(bureau) as address:
        for name, reader in readers.items():
            with Client([f"http://{address}"], genesis, reader=reader) as client:
                for meter in ("c1", "c2"):
                    try:
                        client.receipt(meter, 0)
                        found[name, meter] = len(list(client.readings(meter)))
                    except RequestRefused as refused:
                        found[name, meter] = refused.answer.status
    bureau.close()
    assert found == {
        ("nobody", "c1"): 401,
        ("nobody", "c2"): 401,
        ("holder", "c1"): 2,
        ("holder", "c2"): 401,
        ("authority", "c1"): 2,
        ("authority", "c2"): 2,
    }


def test_over_tls_only_who_is_vouched_for_is_believed(bureau: Bureau, tmp_path: Path) -> None:
    trusts = {"system": SYSTEM}
    for name in ("operators", "strangers"):
        ca = certificates.make_ca(name)
        ca.write(tmp_path / f"{name}.pem", tmp_path / f"{name}.key")
        shown = certificates.issue(ca, "127.0.0.1", certificates.SERVER)
        shown.write(tmp_path / f"of-{name}.pem", tmp_path / f"of-{name}.key")
        trusts[name] = Trust(tmp_path / f"{name}.pem")
        trusts[f"one of {name}"] = Trust(certificate=tmp_path / f"of-{name}.pem")
    found = {}
    shown_here = Certificate(tmp_path / "of-operators.pem", tmp_path / "of-operators.key")
    with served(bureau, shown_here) as address:
        for name, trust in trusts.items():
            with Client([f"https://{address}"], trust=trust) as client:
                try:
                    found[name] = client.status().validator == bureau.chain.me
                except Unavailable:
                    found[name] = False
    assert [name for name, good in found.items() if good] == ["operators", "one of operators"]


def test_a_transaction_is_submitted_and_followed(bureau: Bureau, url: str) -> None:
    genesis = bureau.chain.genesis
    transaction = Enrolment(genesis, bureau.clock.slot + 3).transaction()
    with Client([away(), url], genesis) as client:
        with pytest.raises(NotThere):
            client.transaction(transaction.id)
        assert client.submit(transaction).id == transaction.id.hex()
        assert client.transaction(transaction.id).status == "waiting"
        wrong = Enrolment(genesis, bureau.clock.slot + 3, "c8", signers=("PEA",)).transaction()
        with pytest.raises(RequestRefused, match="meter's key has not signed it"):
            client.submit(wrong)


def test_every_receipt_that_is_decoded_is_one(bureau: Bureau, url: str) -> None:
    with Client([url], bureau.chain.genesis) as client:
        assert isinstance(client.receipt("c3", starts(0) // 900).receipt, Receipt)
