"""The meter's arithmetic and its bytes, on both Pythons, against the host's."""

import hashlib
import hmac
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.board import micropython
from meter import keys, p256, record, signing
from meter.cbor import encode
from meter.p256_table import POINTS
from wire import cbor
from wire.keys import ES256, PublicKey
from wire.reading import Reading, SignedReading

ROOT = Path(__file__).parents[2]
FIRMWARE = ROOT / "device" / "firmware"
VECTORS = json.loads((ROOT / "wire" / "vectors" / "readings.json").read_text())
GOLDEN = {case["name"]: case for case in VECTORS["readings"]}

# RFC 6979 A.2.5, with SHA-256; s as printed there, before it is made low.
RFC6979_SECRET = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
RFC6979 = {
    "sample": (
        "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716",
        "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
    ),
    "test": (
        "F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367",
        "019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083",
    ),
}

Runner = Callable[[str], str]


def on_micropython(code: str) -> str:
    done = subprocess.run(
        [micropython(), "-X", "heapsize=256k", "-c", code],
        env={"MICROPYPATH": f"{FIRMWARE}:.frozen"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def on_cpython(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=FIRMWARE, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture(params=[on_micropython, on_cpython], ids=["micropython", "cpython"])
def run(request: pytest.FixtureRequest) -> Runner:
    runner: Runner = request.param
    return runner


def fields(reading: Reading) -> dict[int, Any]:
    """The numbers 2 to 19 as the firmware takes them."""
    content = cbor.decode(reading.payload())
    return {key: content[key] for key in range(2, 20)}


@pytest.mark.parametrize("name", ["plain", "large numbers"])
def test_the_firmware_makes_the_golden_bytes_of_a_signed_reading(run: Runner, name: str) -> None:
    case = GOLDEN[name]
    reading = SignedReading.open(bytes.fromhex(case["signed"])).reading
    made = run(
        "from meter import keys, record, signing\n"
        f"secret = 0x{VECTORS['secret']}\n"
        "kid = record.kid(keys.public_key(secret))\n"
        f"content = record.payload({fields(reading)!r})\n"
        "message = record.signed_bytes(kid, content)\n"
        "signature = signing.finish(signing.sign(secret, message))\n"
        "print(content.hex(), message.hex(), record.envelope(kid, content, signature).hex())\n"
    ).split()
    assert made == [case["payload"], case["sig_structure"], case["signed"]]


@pytest.mark.parametrize("message", RFC6979)
def test_nonces_are_those_of_rfc_6979_and_s_is_the_low_one(run: Runner, message: str) -> None:
    made = run(
        "from meter import keys, signing\n"
        f"steps = signing.sign({RFC6979_SECRET}, {message.encode()!r})\n"
        "print(signing.finish(steps).hex())\n"
    )
    r, s = (int(digits, 16) for digits in RFC6979[message])
    assert made.strip() == f"{r:064x}{min(s, p256.N - s):064x}"


@pytest.mark.parametrize("passed_over", [0, 1, 5])
def test_a_nonce_that_does_not_fit_is_followed_by_the_next_one(passed_over: int) -> None:
    digest = hashlib.sha256(b"sample").digest()
    k, v = bytes(32), b"\x01" * 32
    for separator in (b"\x00", b"\x01"):
        seed = v + separator + RFC6979_SECRET.to_bytes(32, "big")
        k = hmac.digest(
            k, seed + (int.from_bytes(digest, "big") % p256.N).to_bytes(32, "big"), "sha256"
        )
        v = hmac.digest(k, v, "sha256")
    for _ in range(passed_over + 1):
        expected = v = hmac.digest(k, v, "sha256")
        k = hmac.digest(k, v + b"\x00", "sha256")
        v = hmac.digest(k, v, "sha256")
    made = signing.nonce(RFC6979_SECRET, digest, passed_over)
    assert made == int.from_bytes(expected, "big")


def test_the_host_verifies_what_micropython_signs_with_a_key_of_its_own(tmp_path: Path) -> None:
    made = on_micropython(
        "from meter import keys, signing\n"
        f"public = keys.make_key({str(tmp_path / 'key')!r})\n"
        f"secret = keys.load_key({str(tmp_path / 'key')!r})\n"
        "print(public.hex())\n"
        "for i in range(20):\n"
        "    print(signing.finish(signing.sign(secret, bytes([i]))).hex())\n"
    ).split()
    public = PublicKey(ES256, bytes.fromhex(made[0]))
    for i, signature in enumerate(made[1:]):
        public.verify(bytes([i]), bytes.fromhex(signature))
    assert on_micropython(
        f"from meter import record\nprint(record.kid(bytes.fromhex('{made[0]}')).hex())"
    ).strip() == (public.kid.hex())


def test_a_board_keeps_its_key(tmp_path: Path) -> None:
    path = str(tmp_path / "key")
    keys.make_key(path)
    before = Path(path).read_bytes()
    with pytest.raises(keys.KeyExists):
        keys.make_key(path)
    assert Path(path).read_bytes() == before


def point(scalar: int) -> tuple[int, int]:
    numbers = ec.derive_private_key(scalar, ec.SECP256R1()).public_key().public_numbers()
    return numbers.x, numbers.y


@pytest.mark.parametrize("comb", [0, 1])
def test_the_comb_table_holds_the_multiples_that_it_says(comb: int) -> None:
    assert len(POINTS) == 2 * 16 * 64
    for j in range(16):
        scalar = 1 << 208
        for tooth in range(4):
            scalar += (1 if j >> tooth & 1 else -1) << 52 * tooth
        x, y = point((scalar << 26 * comb) % p256.N)
        at = 64 * (j + 16 * comb)
        assert POINTS[at : at + 64] == x.to_bytes(32, "big") + y.to_bytes(32, "big")


@settings(deadline=None)  # Two busy cores stretch anything.
@given(st.integers(1, p256.N - 1) | st.integers(1, 40) | st.integers(p256.N - 40, p256.N - 1))
def test_multiples_of_the_base_point_are_right(scalar: int) -> None:
    assert signing.finish(p256.multiply(scalar)) == point(scalar)


def test_signing_pauses_often_enough_to_answer_a_bus() -> None:
    steps = list(signing.sign(1234567, b"a reading"))
    assert len(steps) >= p256.COLUMNS - 1


VALUES = st.recursive(
    st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=300) | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.integers(-40, 300) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(VALUES)
def test_the_firmware_encodes_as_the_wire_does(value: Any) -> None:
    assert encode(value) == cbor.encode(value)


def test_a_wrong_known_answer_stops_the_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    keys.self_test()
    monkeypatch.setattr(p256, "N", p256.N - 2)
    with pytest.raises(keys.SelfTestFailed):
        keys.self_test()


def test_signing_fits_a_small_heap() -> None:
    code = (
        "from meter import keys, signing\n"
        f"print(len(signing.finish(signing.sign({RFC6979_SECRET}, b'sample'))))\n"
    )
    done = subprocess.run(
        [micropython(), "-X", "heapsize=36k", "-c", code],
        env={"MICROPYPATH": f"{FIRMWARE}:.frozen"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "64", done.stderr


def test_the_status_bits_are_those_of_the_format() -> None:
    assert (record.POWER_DOWN, record.KEY_IN_FLASH) == (0x80, 0x80000)
    assert bytes(hashlib.sha256().digest_size) == record.NO_PREVIOUS
