"""OCMF that another program reads and verifies, of records that were verified; nothing else."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyocmf
import pytest

from device.provision.export_command import add_export_command
from device.provision.label import spki
from device.provision.ocmf import Exporter, ocmf_record, status_of, time_of
from hsm import ceremony, filekey
from hsm.uri import KeyUri
from tests.device.paper_meter import METER, RECORD, TECHNICIAN
from tests.gridwitness.forger import METER as FORGER
from tests.gridwitness.forger import chained, day
from wire.errors import BadSignature, Malformed, Refused
from wire.genesis import Genesis
from wire.history import History
from wire.keys import ES256, PublicKey, SoftSigner
from wire.reading import ClockEvidence, Reading, SignedReading, sign_reading
from wire.receipt import Receipt

VECTORS = Path(__file__).parents[2] / "wire" / "vectors"
GATEWAY = SoftSigner.from_private(ES256, bytes([5]) * 32)
EXPORTER = Exporter("gw-north", GATEWAY)
RECORDS = chained(day())[:6]
FIRST = SignedReading.open(RECORDS[0])


def exported(reading: Reading = FIRST.reading, meter: SoftSigner = FORGER) -> str:
    signed = SignedReading.open(sign_reading(reading, meter))
    return ocmf_record(signed, meter.public, EXPORTER)


def verifies(line: str, public: PublicKey = GATEWAY.public) -> bool:
    """What pyocmf says, in its strict mode."""
    return pyocmf.OCMF.from_string(line, strict=True).verify_signature(spki(public).hex())


def test_another_program_reads_and_verifies_it() -> None:
    line = exported()
    found = pyocmf.OCMF.from_string(line, strict=True)
    assert found.verify_signature(spki(GATEWAY.public).hex())
    reading = FIRST.reading
    assert (f"F{reading.sequence}", reading.meter) == (found.payload.PG, found.payload.MS)
    assert (found.payload.FV, found.payload.GS) == ("1.4", "gw-north")
    imported, exported_energy = found.payload.RD
    assert str(imported.RI) == "01-00:01.08.00*FF"
    assert str(exported_energy.RI) == "01-00:02.08.00*FF"
    energies = [each.RV for each in found.payload.RD]
    assert energies == [reading.import_wh, reading.export_wh]
    assert imported.RU == "Wh"
    assert imported.timestamp.timestamp() == reading.interval_start_s + reading.interval_s


def test_the_meters_own_record_is_carried_and_verifies() -> None:
    payload = json.loads(exported().split("|")[1])
    carried = SignedReading.open(bytes.fromhex(payload["UR"]))
    assert carried.encoded == FIRST.encoded
    assert payload["UK"] == spki(FORGER.public).hex()
    carried.verify(FORGER.public)
    assert "meter's own record" in payload["UN"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"RV":', '"RV":1'),
        ('"PG":"F', '"PG":"F1'),
        (" S", " U"),
        ('"MS":"', '"MS":"X'),
        ('"ST":"G"', '"ST":"M"'),
        ('"UR":"d2', '"UR":"d3'),
    ],
)
def test_what_was_changed_is_refused(old: str, new: str) -> None:
    line = exported()
    assert old in line
    assert not verifies(line.replace(old, new, 1))


def test_another_exporters_key_does_not_verify_it() -> None:
    assert not verifies(exported(), FORGER.public)


@pytest.mark.parametrize(
    ("quality", "status", "letter"),
    [(0, 0, "U"), (1, 0, "I"), (2, 0, "S"), (3, 0, "S"), (3, 2, "U")],
)
def test_the_letter_of_the_time_is_what_the_clock_was_worth(
    quality: int, status: int, letter: str
) -> None:
    clock = ClockEvidence(quality, 1, 0, 1)
    reading = FIRST.reading._replace(clock=clock, status=status)
    assert time_of(reading).endswith(f",000+0000 {letter}")
    assert verifies(exported(reading))


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (0, ("G", "")),
        (1 << 19, ("G", "")),
        (1 << 0, ("E", "E")),
        (1 << 2, ("F", "E")),
        (1 << 16, ("E", "E")),
        (1 << 16 | 1 << 2 | 1 << 5, ("F", "Et")),
        (1 << 5, ("G", "t")),
        (1 << 8, ("M", "")),
        (1 << 10 | 1, ("M", "E")),
        (1 << 18, ("F", "E")),
        (1 << 1, ("G", "t")),
        (1 << 1 | 1, ("E", "Et")),
    ],
)
def test_trouble_of_the_meter_is_told(status: int, shown: tuple[str, str]) -> None:
    clock = ClockEvidence(2, 1, 0, 1)
    reading = FIRST.reading._replace(status=status, clock=clock)
    assert status_of(reading) == shown
    assert verifies(exported(reading))


@pytest.mark.parametrize(("status", "error_s"), [(1 << 5, 1), (0, 61), (0, 65535)])
def test_a_clock_that_was_adjusted_or_is_far_off_is_not_called_synchronised(
    status: int, error_s: int
) -> None:
    clock = ClockEvidence(2, 1, 0, error_s)
    reading = FIRST.reading._replace(status=status, clock=clock)
    assert time_of(reading).endswith(" I")
    assert status_of(reading) == ("G", "t")
    assert verifies(exported(reading))


def test_what_ocmf_has_no_word_for_is_named_beside_the_meters_record() -> None:
    reading = FIRST.reading._replace(status=1 << 0 | 1 << 13 | 1 << 19)
    told = json.loads(exported(reading).split("|")[1])["UN"]
    assert "It says more: status bits 13 configuration changed, 19 key in plain flash." in told
    assert "says more" not in exported(FIRST.reading._replace(status=1))


def test_only_what_the_meter_signed_is_translated() -> None:
    with pytest.raises(BadSignature):
        ocmf_record(FIRST, METER.public, EXPORTER)


def test_what_ocmf_cannot_say_is_refused_in_words() -> None:
    with pytest.raises(Malformed, match="beyond any calendar"):
        exported(FIRST.reading._replace(interval_start_s=2**62))
    with pytest.raises(Malformed, match="no Ed25519"):
        ocmf_record(FIRST, FORGER.public, Exporter("tech-1", TECHNICIAN))
    for name in ("", "a|b", "x" * 34, '"'):
        with pytest.raises(Malformed, match="exporter"):
            ocmf_record(FIRST, FORGER.public, Exporter(name, GATEWAY))


def test_the_largest_numbers_stay_whole() -> None:
    line = exported(FIRST.reading._replace(import_wh=2**63 - 1, sequence=2**63 - 1))
    assert pyocmf.OCMF.from_string(line).payload.RD[0].RV == 2**63 - 1
    assert verifies(line)


Command = Callable[..., tuple[int, bytes]]


@pytest.fixture
def command(capfdbinary: pytest.CaptureFixture[bytes]) -> Command:
    def run(*arguments: Any) -> tuple[int, bytes]:
        parser = argparse.ArgumentParser()
        add_export_command(parser.add_subparsers())
        args = parser.parse_args(["export", *map(str, arguments)])
        status: int = args.run(args)
        return status, capfdbinary.readouterr().out

    return run


@pytest.fixture
def records(tmp_path: Path) -> Path:
    path = tmp_path / "day.gwr"
    path.write_bytes(History.of(RECORDS).encoded)
    return path


@pytest.fixture
def gateway_key(tmp_path: Path) -> Path:
    """A key file of gateway gw-7, with what opens it beside it."""
    folder = tmp_path / "gw-7"
    folder.mkdir()
    (folder / "passphrase").write_bytes(b"opens")
    filekey.create(folder / "key.pem", ES256, b"opens")
    return folder / "key.pem"


def test_a_file_of_records_becomes_a_line_each(
    command: Command, records: Path, gateway_key: Path
) -> None:
    key = ("--key", FORGER.public.text)
    status, out = command(records, "--ocmf", *key, "--exporter-key", gateway_key)
    lines = out.decode().splitlines()
    public = filekey.load(gateway_key, b"opens").public
    assert (status, len(lines)) == (0, len(RECORDS))
    assert all(verifies(line, public) for line in lines)
    assert '"GS":"gw-7"' in lines[0]


def test_whoever_exports_is_told_what_ocmf_has_no_word_for(
    records: Path, gateway_key: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    add_export_command(parser.add_subparsers())
    options = ["--ocmf", "--key", FORGER.public.text, "--exporter-key", str(gateway_key)]
    args = parser.parse_args(["export", str(records), *options])
    assert args.run(args) == 0
    told = capfd.readouterr().err
    assert "OCMF has no word for status bits 19 key in plain flash: the signed record (UR)" in told


def test_a_token_signs_it_too(command: Command, records: Path, tmp_path: Path) -> None:
    folder = tmp_path / "token"
    folder.mkdir()
    ceremony.init_softhsm_token(folder, "export")
    conf = folder / "softhsm2.conf"
    uri = (
        f"pkcs11:token=export;object=gw;type=private?module-path={ceremony.softhsm_module()}"
        f"&pin-source=file:{folder / 'pin'}"
    )
    public = ceremony.make_key(KeyUri.parse(uri), ES256, conf, None)
    signs = ("--exporter-key", uri, "--softhsm2-conf", conf)
    key = ("--key", FORGER.public.text, "--sequence", FIRST.reading.sequence)
    with pytest.raises(Refused, match="--exporter ID"):
        command(records, "--ocmf", *key, *signs)
    _, out = command(records, "--ocmf", *key, *signs, "--exporter", "gw-8")
    assert verifies(out.decode(), public)


def test_the_meters_bytes_come_out_as_they_are(command: Command, records: Path) -> None:
    key = ("--key", FORGER.public.text)
    assert command(records, "--cose", *key)[1] == b"".join(RECORDS)
    _, out = command(records, "--cose", *key, "--sequence", FIRST.reading.sequence + 2)
    assert out == RECORDS[2]
    out_file = records.with_suffix(".cbor")
    assert command(records, "--cose", *key, "--out", out_file) == (0, b"")
    assert out_file.read_bytes() == b"".join(RECORDS)


def test_json_names_every_field(command: Command, records: Path) -> None:
    _, out = command(records, "--json", "--key", FORGER.public.text)
    first = json.loads(out.splitlines()[0])
    assert first["import_wh"] == FIRST.reading.import_wh
    assert first["clock"]["quality"] == FIRST.reading.clock.quality
    assert first["previous"] == FIRST.reading.previous.hex()
    assert first["record"] == FIRST.encoded.hex()
    assert first["key"] == FORGER.public.text


def test_nothing_is_exported_when_one_record_does_not_stand(
    command: Command, records: Path
) -> None:
    data = bytearray(records.read_bytes())
    data[-1] ^= 1
    records.write_bytes(data)
    out = records.with_suffix(".txt")
    with pytest.raises(Refused, match=r"nothing is exported. Try: gridwitness verify"):
        command(records, "--json", "--key", FORGER.public.text, "--out", out)
    assert not out.exists()


@pytest.mark.parametrize("data", [b"", b"\xd2", b"\xd8\x62", b"\xd2\x84" * 30, bytes(1000)])
def test_what_is_no_file_of_records_is_refused(
    command: Command, tmp_path: Path, data: bytes
) -> None:
    path = tmp_path / "x.gwr"
    path.write_bytes(data)
    with pytest.raises(Refused):
        command(path, "--json", "--key", FORGER.public.text)


def test_records_are_held_against_their_commissioning_record(
    command: Command, tmp_path: Path
) -> None:
    content = {"meter": RECORD.content["meter"], "node": RECORD.content["node"]}
    own = FIRST.reading._replace(**content, configuration_id=RECORD.configuration_id)
    path = tmp_path / "own.gwr"
    key = ("--key", METER.public.text)
    path.write_bytes(History.of([sign_reading(own, METER)], RECORD.encoded).encoded)
    assert json.loads(command(path, "--json", *key)[1])["meter"] == RECORD.content["meter"]
    moved = own._replace(node="elsewhere")
    path.write_bytes(History.of([sign_reading(moved, METER)], RECORD.encoded).encoded)
    with pytest.raises(Refused, match="nothing is exported"):
        command(path, "--json", *key)


def test_a_receipts_reading_is_exported_when_the_receipt_holds(
    command: Command, gateway_key: Path, tmp_path: Path
) -> None:
    receipt, genesis = VECTORS / "receipt.cbor", VECTORS / "genesis.json"
    signs = ("--exporter-key", gateway_key)
    _, out = command(receipt, "--ocmf", "--genesis", genesis, *signs)
    reading = Receipt.decode(receipt.read_bytes()).verify(Genesis.load(genesis)).reading
    assert reading.meter == pyocmf.OCMF.from_string(out.decode()).payload.MS
    data = bytearray(receipt.read_bytes())
    data[40] ^= 1
    forged = tmp_path / "forged.cbor"
    forged.write_bytes(data)
    with pytest.raises(Refused):
        command(forged, "--ocmf", "--genesis", genesis, *signs)
    with pytest.raises(Refused, match="--genesis"):
        command(receipt, "--json")


def test_each_missing_option_is_named(command: Command, records: Path) -> None:
    with pytest.raises(Refused, match="--key, or with --genesis"):
        command(records, "--json")
    with pytest.raises(Refused, match="--exporter-key"):
        command(records, "--ocmf", "--key", FORGER.public.text)
    with pytest.raises(Refused, match="no record 99"):
        command(records, "--json", "--key", FORGER.public.text, "--sequence", 99)
