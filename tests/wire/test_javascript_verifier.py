"""A verifier in another language, written from docs/WIRE.md, says what ours says.

It is the page's own (`validator/explorer/verify.mjs`), run by Node; without Node these tests skip.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from wire import cbor
from wire.errors import Refused
from wire.genesis import Genesis
from wire.keys import P256_ORDER
from wire.links import BrokenLink
from wire.receipt import Receipt

ROOT = Path(__file__).parents[2]
VERIFIER = ROOT / "validator/explorer/verify-file.mjs"
GENESIS = ROOT / "wire/vectors/genesis.json"
RECEIPT = ROOT / "wire/vectors/receipt.cbor"
NODE = shutil.which("node")
UNREADABLE = "unreadable"

pytestmark = pytest.mark.skipif(NODE is None, reason="Node is not installed: apt install nodejs")


def javascript(folder: Path, receipts: list[bytes], genesis: Path = GENESIS) -> list[str | None]:
    """Broken link of each receipt by the verifier in JavaScript, None where it holds."""
    files = []
    for place, receipt in enumerate(receipts):
        files.append(folder / f"{place}.receipt")
        files[-1].write_bytes(receipt)
    assert NODE is not None
    done = subprocess.run(
        [NODE, VERIFIER, genesis, *files], capture_output=True, text=True, timeout=120
    )
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(said) == len(receipts), done.stderr
    return [None if each["verified"] else str(each["failed_link"]) for each in said]


def python(receipt: bytes) -> str | None:
    """The same by ours; UNREADABLE for what is no receipt at all: any link of theirs will do."""
    try:
        Receipt.decode(receipt).verify(Genesis.load(GENESIS))
    except BrokenLink as broken:
        return broken.link
    except Refused:
        return UNREADABLE
    return None


def test_the_golden_receipt_holds_in_javascript(tmp_path: Path) -> None:
    assert javascript(tmp_path, [RECEIPT.read_bytes()]) == [None]


def test_flipped_bits_break_the_same_link_in_both_languages(tmp_path: Path) -> None:
    whole = RECEIPT.read_bytes()
    flipped = []
    for place in range(0, len(whole), 7):
        octets = bytearray(whole)
        octets[place] ^= 1 << place % 8
        flipped.append(bytes(octets))
    theirs, ours = javascript(tmp_path, flipped), [python(each) for each in flipped]
    assert None not in theirs
    different = [
        f"octet {7 * place}: {their}, ours says {our}"
        for place, (their, our) in enumerate(zip(theirs, ours, strict=True))
        if our not in (their, UNREADABLE)
    ]
    assert not different


def test_a_high_s_signature_and_a_missing_seal_do_not_pass_in_javascript(tmp_path: Path) -> None:
    content = cbor.decode(RECEIPT.read_bytes())
    tagged = cbor.decode(content[1])
    protected, unprotected, payload, signature = tagged.value
    high = P256_ORDER - int.from_bytes(signature[32:])
    again = [protected, unprotected, payload, signature[:32] + high.to_bytes(32)]
    reshaped = content | {1: cbor.encode(cbor.Tag(18, again))}
    round_number, digest, seals = content[6]
    unsealed = content | {6: [round_number, digest, seals[:2]]}
    doubled = content | {6: [round_number, digest, [seals[0], seals[0], seals[1]]]}
    receipts = [cbor.encode(each) for each in (reshaped, unsealed, doubled)]
    assert javascript(tmp_path, receipts) == ["reading", "seals", "seals"]


def test_another_networks_genesis_file_breaks_the_link_genesis(tmp_path: Path) -> None:
    other = json.loads(GENESIS.read_text())
    other["name"] = "elsewhere"
    file = tmp_path / "other.json"
    file.write_text(json.dumps(other))
    assert javascript(tmp_path, [RECEIPT.read_bytes()], file) == ["genesis"]
