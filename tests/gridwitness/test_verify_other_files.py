"""Files that are no receipt and no records are told for what they are; counts have grammar."""

import json
from pathlib import Path

import pytest

from gridwitness.cli import main
from tests.app.enrolments import enrolling_village
from tests.app.village import signer
from tests.device.paper_enrolment import enrolment_of
from tests.gridwitness.forger import METER, chained, day, reader_day
from wire.governance import ChangeParameters
from wire.transaction import Body, Transaction, payload_of
from wire.transaction_bodies import Withdraw

GENESIS = Path(__file__).parents[2] / "wire" / "vectors" / "genesis.json"
KEY = METER.public.text


def transaction(body: Body) -> bytes:
    made = Transaction.of(payload_of(bytes(32), bytes(16), 9, body))
    return made.with_signature(signer("PEA")).encoded


REGISTRY = transaction(Withdraw(bytes(32)))
NETWORK = transaction(ChangeParameters(bytes(32), (("reach_m", 900),)))


@pytest.mark.parametrize("options", [["--genesis", str(GENESIS)], ["--key", KEY], []])
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (REGISTRY, "this is a registry transaction: gridwitness registry show {path}"),
        (
            Transaction.open(REGISTRY).sign.payload,
            "this is a registry transaction: gridwitness registry show {path}",
        ),
        (NETWORK, "this is a change of the network: gridwitness network show {path}"),
        (
            enrolment_of(enrolling_village().genesis).encoded,
            "this is a meter's enrolment: gridwitness meter enrol {path} --check",
        ),
    ],
)
def test_a_transaction_given_to_verify_is_sent_to_the_command_that_tells_it(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    data: bytes,
    words: str,
) -> None:
    path = tmp_path / "m4.gwt"
    path.write_bytes(data)
    assert main(["verify", str(path), *options]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"gridwitness verify: {path}: {words.format(path=path)}")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["verify", "EMPTY", "--genesis", str(GENESIS)], "it is empty"),
        (["verify", "EMPTY", "--key", KEY], "an empty file"),
        (["meter", "export", "EMPTY", "--json", "--key", KEY], "EMPTY is empty"),
        (["meter", "enrol", "EMPTY", "--check"], "EMPTY is no enrolment: it is empty"),
    ],
)
def test_an_empty_file_is_said_to_be_empty(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("EMPTY").write_bytes(b"")
    assert main(arguments) == 1
    told = capsys.readouterr()
    assert words in told.out + told.err
    assert "premature" not in told.out + told.err


def test_boots_and_events_are_told_only_of_a_meters_own_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "day.gwr"
    for records, is_told in (
        (chained(day()), True),
        (chained(day())[:1], False),
        (chained(reader_day()), False),
    ):
        path.write_bytes(b"".join(records))
        assert main(["verify", str(path), "--key", KEY]) == 0
        said = capsys.readouterr().out
        assert ("booted " in said) == is_told
        assert "status bits seen: " in said


def test_one_receipt_is_told_in_the_singular(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    receipt = GENESIS.with_name("receipt.cbor").read_bytes()
    verify = ["verify", str(tmp_path), "--genesis", str(GENESIS)]
    (tmp_path / "a.receipt").write_bytes(receipt)
    assert main(verify) == 0
    assert capsys.readouterr().out.startswith("VERIFIED: 1 receipt of 1 meter, from the genesis")
    (tmp_path / "b.receipt").write_bytes(receipt)
    assert main(verify) == 0
    assert "\n  1 file repeats a reading that another file has\n" in capsys.readouterr().out
    (tmp_path / "b.receipt").write_bytes(b"")
    assert main(verify) == 1
    said = capsys.readouterr().out
    assert said.startswith("NOT VERIFIED: 1 of 2 receipts holds, of 1 meter\n")
    assert "\n  b.receipt: it is empty.\n" in said
    (tmp_path / "a.receipt").unlink()
    assert main([*verify, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["receipts"] == 0
