"""`meter enrol` brings an offline enrolment into a block of four real validators."""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from device.provision import enrolment
from device.provision.enrol_command import add_enrol_command
from device.provision.submission import SubmissionRefused
from tests.device.paper_enrolment import enrolment_of
from tests.node.town import Town
from validator.desk import Desk

PACED = True


def operator_key(folder: Path) -> Path:
    """PEA's key as a file, with what opens it beside it."""
    secret = hashlib.sha256(b"PEA").digest()
    private = ed25519.Ed25519PrivateKey.from_private_bytes(secret)
    encryption = BestAvailableEncryption(b"opens")
    (folder / "passphrase").write_bytes(b"opens")
    key = folder / "key.pem"
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    return key


def enrol(town: Town, file: Path, key: Path, *validators: str) -> int:
    parser = argparse.ArgumentParser()
    parser.set_defaults(desk=lambda url, _: Desk(url))
    add_enrol_command(parser.add_subparsers())
    arguments: list[Any] = ["enrol", file, "--genesis", town.folder / "genesis.json"]
    for url in validators:
        arguments += ["--validator", url]
    arguments += ["--operator-key", key, "--json"]
    args = parser.parse_args([str(each) for each in arguments])
    status: int = args.run(args)
    return status


def test_an_enrolment_from_the_field_is_final_and_a_second_time_changes_nothing(
    town: Town, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, key = tmp_path / "GW-000117.gwe", operator_key(tmp_path)
    enrolment.write(file, enrolment_of(town.genesis))
    away, there = "http://127.0.0.1:1", f"http://127.0.0.1:{town.api_ports['val-2']}"
    assert enrol(town, file, key, away, there) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["meter"], first["operator"], first["signatures"]) == ("GW-000117", "PEA", 3)
    code, body = town.get("val-2", "/api/v1/registry/meters/GW-000117")
    assert code == 200
    assert json.loads(body)["transaction"] == first["transaction"]
    assert json.loads(body)["height"] == first["height"]
    assert enrol(town, file, key, there) == 0
    assert json.loads(capsys.readouterr().out) == first


def test_another_enrolment_of_the_same_meter_is_refused_in_words(
    town: Town, tmp_path: Path
) -> None:
    file, key = tmp_path / "again.gwe", operator_key(tmp_path)
    enrolment.write(file, enrolment_of(town.genesis, slot=3))
    with pytest.raises(SubmissionRefused, match="meter-id-taken"):
        enrol(town, file, key, f"http://127.0.0.1:{town.api_ports['val-1']}")
