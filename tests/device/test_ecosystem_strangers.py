"""Other people's programs on a whole meter's line: mbpoll, pysunspec2, and pycose for its word."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sunspec2.modbus.client import SunSpecModbusClientDeviceRTU

from tests.device.test_board import UNIT, WINDOW, Meter, T
from wire.keys import ES256, SoftSigner

ROOT = Path(__file__).parent.parent.parent
PYCOSE = ROOT / ".venv/strangers/pycose/bin/python"
VERIFIER = ROOT / "tests/strangers/verify_with_pycose.py"
SET_UP = "run `make setup`"


@pytest.fixture(scope="module")
def meter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meter]:
    made = Meter(tmp_path_factory.mktemp("strangers") / "desk")
    made.pace.run(T - 10, T + 3 * 900 + 2, 4_000)
    made.wait_head(3)
    yield made
    made.close()


def mbpoll(meter: Meter, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run mbpoll once on the meter's line, with addresses as they are on the wire."""
    program = shutil.which("mbpoll")
    assert program, SET_UP
    before = ["-m", "rtu", "-b", "9600", "-P", "none", "-a", str(UNIT), "-0", "-1"]
    line = str(meter.board.line)
    split = arguments.index("--") if "--" in arguments else len(arguments)
    command = [program, *before, *arguments[:split], line, *arguments[split + 1 :]]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def polled(meter: Meter, table: str, address: int, count: int) -> list[int]:
    """Registers as mbpoll prints them."""
    result = mbpoll(meter, "-t", f"{table}:hex", "-r", str(address), "-c", str(count))
    found = re.findall(r"^\[(\d+)\]:\s+0x([0-9A-F]{4})$", result.stdout, re.MULTILINE)
    assert [int(number) for number, _ in found] == list(range(address, address + count)), result
    return [int(word, 16) for _, word in found]


@pytest.mark.parametrize("table", ["4", "3"], ids=["holding", "input"])
@pytest.mark.parametrize(
    ("first", "count"),
    [(40000, 72), (40108, 71), (WINDOW, 90), (WINDOW + 92, 4), (WINDOW + 100, 156)],
    ids=["identity", "energies", "window", "times set, boots", "record"],
)
def test_mbpoll_reads_every_register_that_stands_still(
    meter: Meter, table: str, first: int, count: int
) -> None:
    meter.record(1)
    for address in range(first, first + count, 120):
        size = min(120, first + count - address)
        assert polled(meter, table, address, size) == meter.words(address, size)


def test_pysunspec2_reads_the_meter_and_its_registers(meter: Meter) -> None:
    device = SunSpecModbusClientDeviceRTU(UNIT, str(meter.board.line), baudrate=9600, timeout=5.0)
    try:
        device.scan()
    finally:
        device.close()
    [common], [energies] = device.models[1], device.models[203]
    assert common.SN.cvalue == "GW-000001"
    assert (energies.TotWhImp.cvalue, energies.TotWhExp.cvalue) == (751, 21)


def test_mbpoll_fetches_a_record(meter: Meter) -> None:
    result = mbpoll(meter, "-t", "4", "-r", str(WINDOW + 6), "--", "0", "2")
    assert "Written 2 references" in result.stdout, result
    *now, size = polled(meter, "4", WINDOW + 8, 3)
    assert now == [0, 2]
    words = polled(meter, "4", WINDOW + 128, 120)
    record = b"".join(word.to_bytes(2, "big") for word in words)[:size]
    assert record == meter.record(2)[:240]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("-t", "4", "-r", "0", "-c", "1"), "Illegal data address"),
        (("-t", "4", "-r", str(WINDOW), "--", "1"), "Illegal data address"),
        (("-t", "0", "-r", "0", "-c", "1"), "Illegal function"),
    ],
    ids=["no such register", "a register that is only read", "coils"],
)
def test_mbpoll_shows_what_is_refused(meter: Meter, arguments: tuple[str, ...], says: str) -> None:
    result = mbpoll(meter, *arguments)
    assert says in result.stderr, result


def pycose(cose: bytes, public: bytes) -> dict[str, Any]:
    """What pycose makes of a message and a key."""
    assert PYCOSE.exists(), SET_UP
    asked = json.dumps({"cose": cose.hex(), "public": public.hex()})
    command = [str(PYCOSE), "-I", str(VERIFIER)]
    result = subprocess.run(
        command, input=asked, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    verdict: dict[str, Any] = json.loads(result.stdout)
    return verdict


@pytest.mark.parametrize("sequence", [0, 2])
def test_pycose_verifies_a_record_from_the_window(meter: Meter, sequence: int) -> None:
    assert pycose(meter.record(sequence), meter.made.public.raw) == {
        "kind": "Sign1Message",
        "headers": ["ALG", "CONTENT_TYPE", "KID"],
        "verified": True,
        "meter": "GW-000001",
        "sequence": sequence,
    }


@pytest.mark.parametrize("at", [-1, -64, 100])
def test_pycose_finds_a_forged_record_out(meter: Meter, at: int) -> None:
    forged = bytearray(meter.record(1))
    forged[at] ^= 1
    assert not pycose(bytes(forged), meter.made.public.raw)["verified"]


def test_pycose_finds_another_key_out(meter: Meter) -> None:
    public = SoftSigner.generate(ES256).public.raw
    assert not pycose(meter.record(1), public)["verified"]
