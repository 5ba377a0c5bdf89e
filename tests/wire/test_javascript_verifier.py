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
from wire.record_rules import STATUS_BITS

ROOT = Path(__file__).parents[2]
VERIFIER = ROOT / "validator/explorer/verify-file.mjs"
GENESIS = ROOT / "wire/vectors/genesis.json"
RECEIPT = ROOT / "wire/vectors/receipt.cbor"
NODE = shutil.which("node")
UNREADABLE = "unreadable"

pytestmark = pytest.mark.skipif(NODE is None, reason="Node is not installed: apt install nodejs")


def javascript(folder: Path, receipts: list[bytes], genesis: Path = GENESIS) -> list[str | None]:
    """Broken link of each receipt by the verifier in JavaScript, None where it holds.

    UNREADABLE for what is no receipt at all.
    """
    files = []
    for place, receipt in enumerate(receipts):
        files.append(folder / f"{place}.receipt")
        files[-1].write_bytes(receipt)
    assert NODE is not None
    done = subprocess.run(
        [NODE, VERIFIER, "--json", genesis, *files], capture_output=True, text=True, timeout=120
    )
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(said) == len(receipts), done.stderr
    return [None if each["verified"] else each["failed_link"] or UNREADABLE for each in said]


def in_words(*arguments: Path) -> tuple[int, str]:
    """Exit status and what it says."""
    assert NODE is not None
    done = subprocess.run([NODE, VERIFIER, *arguments], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


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


def test_javascript_tells_in_words_what_a_receipt_proves() -> None:
    status, said = in_words(GENESIS, RECEIPT)
    assert status == 0
    assert "VERIFIED: meter GW-2 at bus-7\n  measured  10 Wh in, 0 Wh out" in said
    assert "signed by the meter's own key" in said
    assert "it says   key in plain flash" in said
    assert "zone      z1: BALANCED, what went in came out" in said


def test_what_is_no_receipt_breaks_no_link_in_javascript(tmp_path: Path) -> None:
    whole = RECEIPT.read_bytes()
    shapeless = cbor.encode(cbor.decode(whole) | {6: [0, b""]})
    rubbish = [b"", b"no receipt", whole[:500], GENESIS.read_bytes(), shapeless]
    assert javascript(tmp_path, rubbish) == [UNREADABLE] * len(rubbish)
    assert {python(each) for each in rubbish} == {UNREADABLE}


def test_an_unreadable_file_is_an_error_and_no_forgery_in_javascript(tmp_path: Path) -> None:
    missing, forged = tmp_path / "missing", tmp_path / "forged"
    content = cbor.decode(RECEIPT.read_bytes())
    forged.write_bytes(cbor.encode(content | {6: [*content[6][:2], content[6][2][:2]]}))
    status, said = in_words(missing, RECEIPT)
    assert (status, "is no genesis file" in said, "VERIFIED" in said) == (2, True, False)
    status, said = in_words(GENESIS, missing)
    assert (status, "UNREADABLE: cannot be read" in said) == (2, True)
    status, said = in_words(GENESIS, forged, missing)
    assert (status, 'NOT VERIFIED: the link "seals" does not hold' in said) == (1, True)


def test_status_bits_have_the_same_words_in_javascript() -> None:
    assert NODE is not None
    words = ROOT / "validator/explorer/words.mjs"
    script = f"import {{ STATUS_BITS }} from '{words}'; console.log(JSON.stringify(STATUS_BITS))"
    asked = [NODE, "--input-type=module", "-e", script]
    said = subprocess.run(asked, capture_output=True, text=True, timeout=60).stdout
    assert {int(bit): words for bit, words in json.loads(said).items()} == STATUS_BITS
