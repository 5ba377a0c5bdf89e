"""The firmware makes the golden bytes of events and of a commissioning record, on both Pythons."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hwsim.board import micropython
from wire import cbor

ROOT = Path(__file__).parents[2]
FIRMWARE = ROOT / "device" / "firmware"
EVENTS = json.loads((ROOT / "wire" / "vectors" / "events.json").read_text())
COMMISSIONING = json.loads((ROOT / "wire" / "vectors" / "commissioning.json").read_text())

Runner = Callable[[str], str]

LIFE = """
from meter import events, record, signing

class Log:
    head = 0
    def append(self, number, encoded):
        print(encoded.hex())
        self.head = number + 1

state = {"events": 0, "unsigned_events": [], "event_hash": ""}
signer = signing.SoftSigner(0x%s)
life = events.Events(%r, record.kid(signer.public), state, Log())
for kind, details, moment in %r:
    print(life.make(kind, details, moment), end=" ")
    signing.finish(life.sign(signer))
"""
RECORD = """
import json
from meter import record, signing
from meter.cbor import encode
signer = signing.SoftSigner(0x%s)
payload = encode(json.loads(%r))
body = encode({3: "application/x-gridwitness-commissioning"})
own = encode({1: -7, 4: record.kid(signer.public)})
message = encode(["Signature", body, own, b"", payload])
print(payload.hex(), message.hex(), signing.finish(signer.sign(message)).hex())
"""


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


def test_a_chain_of_events_has_its_golden_bytes(run: Runner) -> None:
    contents = [cbor.decode(bytes.fromhex(each["payload"])) for each in EVENTS["events"]]
    life = [(each[30], each[32], {key: each[key] for key in (11, 12, 13, 31)}) for each in contents]
    made = run(LIFE % (EVENTS["secret"], contents[0][2], life)).split()
    assert made == [word for each in EVENTS["events"] for word in ("True", each["signed"])]


def test_a_commissioning_record_has_its_golden_bytes(run: Runner) -> None:
    wanted = [COMMISSIONING[name] for name in ("payload", "meter_signs", "meter_signature")]
    content = json.dumps(COMMISSIONING["content"])
    assert run(RECORD % (EVENTS["secret"], content)).split() == wanted
