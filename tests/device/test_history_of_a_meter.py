"""What the firmware records, whatever befalls the meter, is never called forged."""

import tempfile
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.device import meter_bench
from tests.device.meter_bench import Bench
from tests.device.meter_parts import T
from wire.history import History
from wire.keys import ES256, SoftSigner
from wire.record_rules import Registered
from wire.series import Findings, examine

KEY = SoftSigner.from_private(ES256, bytes(30) + b"\x0a\x01")


class BoardSigner:
    """The key of a board, signing as the firmware asks for it."""

    public = KEY.public.raw
    in_flash = True

    def __init__(self, _: object) -> None:
        pass

    def sign(self, message: bytes) -> Generator[None, None, bytes]:
        yield
        return KEY.sign(bytes(message))


@pytest.fixture(autouse=True)
def real_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter_bench, "FakeSigner", BoardSigner)


def findings(bench: Any) -> Findings:
    records = [bench._log.read(sequence) for sequence in range(bench._log.head)]
    return examine(History.of(records), Registered(KEY.public, {}))


def lived(deeds: list[tuple[str, int]]) -> Findings:
    with tempfile.TemporaryDirectory() as folder:
        bench: Any = Bench(folder)
        bench.give()
        bench.run(2000)
        for deed, amount in deeds:
            if deed == "run":
                bench.run(amount)
            elif deed == "give":
                bench.give(amount - 2000)
            elif deed == "discipline":
                bench.give()
            else:
                bench.power_cycle(amount)
                bench.give()
        bench.run(3000)
        return findings(bench)


deeds = st.lists(
    st.tuples(st.sampled_from(["run", "run", "give", "discipline", "power"]), st.integers(1, 4000)),
    max_size=8,
)


@settings(max_examples=15, deadline=None)
@given(deeds)
def test_an_honest_board_is_never_accused(done: list[tuple[str, int]]) -> None:
    found = lived(done)
    assert [fault.words for fault in found.faults] == []
    assert found.records > 0
    assert found.missing == []


def test_reboots_and_outages_are_told() -> None:
    found = lived([("run", 3600), ("power", 30), ("run", 3600), ("power", 4000), ("run", 3600)])
    assert found.faults == []
    assert found.boots == 2
    assert len(found.outages) == 1
    assert found.first is not None
    assert found.first.interval_start_s > T
