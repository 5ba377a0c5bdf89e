"""From where `gridwitness verify` knows a meter's key: enrolment, label, genesis file, given."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.provision.label import Label
from gridwitness.cli import main
from gridwitness.enrolled_meter import enrolled
from tests.app.enrolments import NEW, TECHNICIAN, Enrolment, retire, with_technician
from tests.app.village import genesis, genesis_content
from tests.gridwitness.forger import METER, OTHER, READER, chained, day, tamper
from wire.cose import Sign, open_sign
from wire.errors import Refused
from wire.receipt import Receipt
from wire.transaction import enrolment_of

GENESIS = genesis(with_technician)
VECTORS = Path(__file__).parents[2] / "wire" / "vectors"
RECEIPT = VECTORS / "receipt.cbor"
NAME = "GW-000117"
ENROLLED: dict[str, Any] = {"meter": NAME, "key": METER}
LABEL = Label.of(NAME, METER.public)


def enrolment(**changes: Any) -> bytes:
    return Enrolment(GENESIS, **ENROLLED | changes).transaction().encoded


def records(signer: Any = METER, **changes: Any) -> list[bytes]:
    """A morning of the enrolled meter."""
    entry = enrolment_of(Enrolment(GENESIS, **ENROLLED).transaction()).entry
    number = bytes.fromhex(entry["configuration_id"])
    known = {"node": "n3", "configuration_id": number, "meter": NAME, "position": None} | changes
    return chained([each._replace(**known) for each in day()[:8]], signer)


@pytest.fixture
def verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Returns (status, outcome for scripts, words); bytes as options are written to a file."""
    content = genesis_content()
    with_technician(content)
    (tmp_path / "genesis.json").write_text(json.dumps(content))

    def run(data: bytes, *options: Any) -> tuple[int, dict[str, Any], str]:
        path = tmp_path / "checked"
        path.write_bytes(data)
        arguments = ["verify", str(path)]
        for option in options:
            if isinstance(option, bytes):
                (tmp_path / "m.gwe").write_bytes(option)
                option = tmp_path / "m.gwe"
            arguments.append(str(tmp_path / "genesis.json" if option == "G" else option))
        status = main(arguments)
        told = capsys.readouterr()
        main([*arguments, "--json"])
        outcome = capsys.readouterr().out
        return status, json.loads(outcome) if outcome else {}, told.out + told.err

    return run


def test_an_enrolment_gives_the_key_and_says_who_signed_it(verify: Callable[..., Any]) -> None:
    data = b"".join(records())
    status, outcome, words = verify(data, "--genesis", "G", "--enrolment", enrolment())
    assert status == 0, words
    assert outcome["key_known_from"].startswith("the enrolment m.gwe, which counts from 20")
    signed = f"which the meter, technician {TECHNICIAN} and operator PEA signed ({NAME}, n3, 900,"
    assert signed in words
    moved = b"".join(records(node="n2"))
    status, outcome, words = verify(moved, "--genesis", "G", "--enrolment", enrolment())
    assert (status, outcome["faults"][0]["field"]) == (1, 3)
    assert "the enrolment m.gwe" in words


def test_a_label_alone_finds_the_key_in_a_signature(
    verify: Callable[..., Any], tmp_path: Path
) -> None:
    data = records()
    status, outcome, words = verify(b"".join(data), "--label", LABEL.text)
    assert status == 0, words
    assert outcome["key"] == METER.public.text
    assert f"the key {METER.public.kid.hex()} (the label of {NAME})" in words
    svg = tmp_path / "label.svg"
    svg.write_text(LABEL.svg("n3"))
    assert verify(b"".join(data), "--label", svg)[0] == 0
    data[0] = tamper(data[0], content={6: 1})
    status, outcome, _ = verify(b"".join(data), "--label", LABEL.text)
    assert (status, outcome["key"]) == (1, METER.public.text), "found in the second record"


def test_a_meter_that_the_network_does_not_know_is_not_said_to_be_registered(
    verify: Callable[..., Any],
) -> None:
    data = b"".join(records())
    unknown = f"; not registered in the genesis file of {GENESIS.topic_name})"
    for options, whence in (
        (["--label", LABEL.text], f"(the label of {NAME}{unknown}"),
        (["--key", METER.public.text], f"(given{unknown}"),
    ):
        status, _, words = verify(data, "--genesis", "G", *options)
        assert (status, whence in words) == (0, True), words


def test_sources_that_agree_are_all_told(verify: Callable[..., Any]) -> None:
    data = b"".join(records())
    options = ["--genesis", "G", "--enrolment", enrolment(), "--label", LABEL.text]
    status, _, words = verify(data, *options, "--key", METER.public.text)
    assert status == 0
    assert f" and the label of {NAME})" in words


AGAINST_RECORDS: dict[str, tuple[list[Any], int, str]] = {
    "another network's": (
        ["--enrolment", enrolment(network=bytes(32))],
        2,
        "m.gwe: this enrolment is for another network than village-",
    ),
    "not signed by the operator": (
        ["--enrolment", enrolment(signers=(METER, TECHNICIAN))],
        2,
        "m.gwe: this enrolment does not stand: the grid operator has not signed it (PEA)",
    ),
    "not signed by a technician": (
        ["--enrolment", enrolment(signers=(METER, "PEA"))],
        2,
        "this enrolment does not stand: no technician",
    ),
    "not signed by the meter": (
        ["--enrolment", enrolment(signers=(TECHNICIAN, "PEA"))],
        2,
        "this enrolment does not stand: the meter's key",
    ),
    "another operator's": (
        ["--enrolment", enrolment(signers=(METER, "tech-mea", "MEA"))],
        2,
        "this enrolment does not stand: ",
    ),
    "a record of another meter": (
        ["--enrolment", enrolment(record={"meter": "c8"})],
        2,
        "speaks of another meter",
    ),
    "a meter of the genesis file": (
        ["--enrolment", enrolment(meter="c1")],
        2,
        "this enrolment does not stand: ",
    ),
    "another meter's": (
        ["--enrolment", enrolment(meter=NEW, key=OTHER)],
        1,
        f"m.gwe enrols meter {NEW}, and the records are of {NAME}",
    ),
    "a retirement": (
        ["--enrolment", retire(GENESIS, NAME, 2).encoded],
        2,
        "this is no enrolment, or it was damaged: it enrols no meter",
    ),
    "cut off": (["--enrolment", enrolment()[:-9]], 2, "this is no enrolment, or it was damaged"),
    "too long": (["--enrolment", bytes(70_000)], 2, "no enrolment, or it was damaged: a trans"),
    "one byte off": (
        ["--enrolment", enrolment().replace(b"Bus", b"Bas").replace(b"customer", b"customes")],
        2,
        "this enrolment does not stand",
    ),
    "missing": (["--enrolment", "/nowhere/m.gwe"], 2, "/nowhere/m.gwe: No such file"),
    "a label's other meter": (
        ["--label", Label.of("GW-000118", METER.public).text],
        1,
        f"the label is of meter GW-000118, and this is of {NAME}",
    ),
    "a label's other key": (
        ["--label", Label.of(NAME, OTHER.public).text],
        1,
        "none of the first 16 records is signed by the key",
    ),
    "a label mistyped": (
        ["--label", LABEL.text.replace("0117", "0171")],
        2,
        "the check digits do not fit",
    ),
    "a label that is a picture": (["--label", b"\x89PNG\r\n\x1a\n"], 2, "no label's text is in it"),
    "two labels": (
        ["--label", f"{LABEL.text}\n{Label.of(NAME, OTHER.public).text}\n".encode()],
        2,
        "more than one label is in it",
    ),
    "a file mistyped": (["--label", LABEL.text[:-1].encode() + b"x"], 2, "no label's text"),
    "no label and no file": (["--label", "117"], 2, "117: neither a label's text (GW1:…) nor"),
    "a label and another key": (
        ["--label", LABEL.text, "--key", OTHER.public.text],
        2,
        f"is not the one on the label of {NAME}",
    ),
    "an enrolment and another key": (
        ["--enrolment", enrolment(), "--key", OTHER.public.text],
        2,
        f"the key given, {OTHER.public.kid.hex()}, is not the one that the enrolment m.gwe",
    ),
    "an enrolment and another label": (
        ["--enrolment", enrolment(), "--label", Label.of(NAME, READER.public).text],
        2,
        "is not the one on the label",
    ),
    "genesis alone": ([], 2, f"no meter of these records ({NAME}); give --enrolment, --label or"),
}


@pytest.mark.parametrize(
    ("options", "status", "words"), AGAINST_RECORDS.values(), ids=AGAINST_RECORDS.keys()
)
def test_what_does_not_prove_the_key_is_one_clear_line(
    verify: Callable[..., Any], options: list[Any], status: int, words: str
) -> None:
    found, outcome, told = verify(b"".join(records()), "--genesis", "G", *options)
    assert found == status, told
    assert words in told
    assert len(told.splitlines()) == 1
    assert outcome == {} if status == 2 else outcome["verified"] is False


def test_a_commissioning_record_says_its_technician_when_the_network_knows_him(
    verify: Callable[..., Any],
) -> None:
    made = Enrolment(GENESIS, **ENROLLED)
    data = made.commissioning() + b"".join(records())
    options = ["--genesis", "G", "--enrolment", made.transaction().encoded]
    status, _, words = verify(data, *options)
    assert status == 0
    assert f"the commissioning record, which technician {TECHNICIAN} of PEA signed" in words
    record = open_sign(made.commissioning())
    other = open_sign(Enrolment(GENESIS, **ENROLLED, record={"unit": 8}).commissioning())
    swapped = Sign(
        record.protected, record.payload, (record.signatures[0], other.signatures[1])
    ).encoded
    status, _, words = verify(swapped + b"".join(records()), *options)
    assert status == 1
    assert "the technician's signature is not its key's over this record" in words


def test_the_end_of_time_and_a_file_full_of_beginnings_are_told_at_once(
    verify: Callable[..., Any],
) -> None:
    last = enrolment(from_s=(2**64 - 1) // 900 * 900)
    data = b"".join(records())
    status, _, words = verify(data, "--genesis", "G", "--enrolment", last)
    assert status == 0, words
    status, _, words = verify(data, "--label", b"GW1:" * 16_000)
    assert (status, "no label's text is in it" in words) == (2, True)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_no_damaged_enrolment_gives_a_key(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    good = enrolment()
    place = data.draw(st.integers(0, len(good) - 1))
    bad = good[:place] + bytes([good[place] ^ data.draw(st.integers(1, 255))]) + good[place + 1 :]
    path = tmp_path_factory.mktemp("damaged") / "m.gwe"
    path.write_bytes(bad)
    with pytest.raises(Refused, match=r"m\.gwe: this"):
        enrolled(path, GENESIS)


def test_an_enrolment_without_its_network_is_not_believed(verify: Callable[..., Any]) -> None:
    status, _, words = verify(b"".join(records()), "--enrolment", enrolment())
    assert (status, "is checked with --genesis" in words) == (2, True)


def test_a_forger_with_a_label_of_his_own_is_told_by_the_enrolment(
    verify: Callable[..., Any],
) -> None:
    forged, pasted = b"".join(records(OTHER)), Label.of(NAME, OTHER.public).text
    assert verify(forged, "--label", pasted)[0] == 0, "whoever prints labels makes meters"
    status, _, words = verify(
        forged, "--genesis", "G", "--enrolment", enrolment(), "--label", pasted
    )
    assert status == 2
    assert "is not the one on the label" in words
    status, outcome, _ = verify(forged, "--genesis", "G", "--enrolment", enrolment())
    assert (status, outcome["faults"][0]["name"]) == (1, "header 4 (key id)")


def test_a_receipt_is_of_the_meter_with_this_label_or_says_which(
    verify: Callable[..., Any],
) -> None:
    data = RECEIPT.read_bytes()
    receipt = Receipt.decode(data)
    base = ["--genesis", VECTORS / "genesis.json", "--label"]
    label = Label.of("GW-2", receipt.meter_key)
    status, _, words = verify(data, *base, label.text)
    assert status == 0
    assert f"label     of GW-2 names the key {receipt.meter_key.kid.hex()}" in words
    for other in (Label.of("GW-2", OTHER.public), Label.of("GW-3", receipt.meter_key)):
        status, outcome, words = verify(data, *base, other.text)
        assert (status, outcome["verified"]) == (1, False)
        assert "NOT VERIFIED: the receipt holds, and is not the one that was meant" in words
    status, _, words = verify(data, *base[:2], "--enrolment", enrolment())
    assert status == 2
    assert "for another network than" in words
