"""`gridwitness verify --from`: a receipt of running validators, for who may have it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridwitness.cli import main
from hsm import filekey
from tests.node.office import Bureau, served
from wire.access import HolderSecret
from wire.keys import EDDSA

SECRET = HolderSecret(bytes(range(32)))


@pytest.fixture(scope="module")
def bureau(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bureau]:
    folder = tmp_path_factory.mktemp("from")
    public = filekey.create(folder / "key.pem", EDDSA, b"for the test")
    (folder / "passphrase").write_bytes(b"for the test")

    def edit(content: dict[str, list[dict[str, str]]]) -> None:
        content["meters"][1]["holder"] = SECRET.digest.hex()
        content["authorities"][0]["key"] = public.text

    bureau = Bureau(folder, edit=edit, open_readings=False)
    bureau.grow(2)
    (bureau.folder / "genesis.json").write_bytes(bureau.chain.genesis_file)
    yield bureau
    bureau.close()


@pytest.fixture(scope="module")
def url(bureau: Bureau) -> Iterator[str]:
    with served(bureau) as address:
        yield f"http://{address}"


def verify(bureau: Bureau, *arguments: object) -> int:
    genesis = str(bureau.folder / "genesis.json")
    return main(["verify", "--genesis", genesis, "--json", *map(str, arguments)])


def test_a_holders_link_alone_says_whom_to_ask_and_for_what(
    bureau: Bureau, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link, saved = tmp_path / "link", tmp_path / "receipt.cbor"
    link.write_text(SECRET.link(url, "c1") + "\n")
    assert verify(bureau, "--holder", link, "--sequence", 1, "--save", saved) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["verified"], told["meter"], told["sequence"]) == (True, "c1", 1)
    assert verify(bureau, saved) == 0


def test_without_leave_to_read_it_says_what_to_do(
    bureau: Bureau, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(bureau, "--from", url, "--meter", "c1", "--sequence", 1) == 2
    assert "holder link" in capsys.readouterr().err
    assert verify(bureau, "--from", url, "--meter", "c2", "--holder", SECRET.text) == 2
    assert verify(bureau, "--from", url, "--holder", "no secret", "--sequence", 1) == 2


def test_an_authority_reads_by_its_key(
    bureau: Bureau, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    key = bureau.folder / "key.pem"
    asked = ("--from", url, "--meter", "c2", "--sequence", 1, "--authority-key", key)
    assert verify(bureau, *asked) == 0
    assert json.loads(capsys.readouterr().out)["meter"] == "c2"


def test_an_authority_fetches_a_meters_receipts_by_its_key(
    bureau: Bureau, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    genesis = str(bureau.folder / "genesis.json")
    asked = ["receipts", "c2", "--at", url, "--genesis", genesis, "--dir", str(tmp_path / "kept")]
    assert main(asked) == 1
    assert "an authority" in capsys.readouterr().err
    assert main([*asked, "--authority-key", str(bureau.folder / "key.pem")]) == 0
    assert len(list((tmp_path / "kept").iterdir())) == 2


def test_nobody_there_is_for_another_time(bureau: Bureau) -> None:
    arguments = ("--from", "http://127.0.0.1:1", "--meter", "c1", "--sequence", 1)
    assert verify(bureau, *arguments) == 75
