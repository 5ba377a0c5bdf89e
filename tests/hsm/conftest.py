"""Real SoftHSM2 tokens, one of its own for each test."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hsm import ceremony
from hsm.signer import LONGEST_PAUSE_S
from tests.hsm.bench_token import Token


@pytest.fixture
def token(tmp_path: Path) -> Iterator[Token]:
    """A fresh token with a random PIN."""
    ceremony.init_softhsm_token(tmp_path, "tok")
    made = Token(tmp_path, [])
    yield made
    for opened in made.signers:
        opened.close()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets the pause between two tries pass, without waiting for it."""
    passed_s = 0.0
    real = time.monotonic
    monkeypatch.setattr("hsm.signer.time.monotonic", lambda: real() + passed_s)

    def pass_time() -> None:
        nonlocal passed_s
        passed_s += LONGEST_PAUSE_S

    return pass_time
