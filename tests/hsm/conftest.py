"""Real tokens, one of its own for each test."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hsm.signer import LOCKED_PAUSE_S
from tests.hsm.tokens import Token, token_of


@pytest.fixture
def token(tmp_path: Path) -> Iterator[Token]:
    """A fresh SoftHSM2 token with a random PIN."""
    with token_of("softhsm", tmp_path) as made:
        yield made


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets the pause between two tries pass, without waiting for it."""
    passed_s = 0.0
    real = time.monotonic
    monkeypatch.setattr("hsm.signer.time.monotonic", lambda: real() + passed_s)

    def pass_time() -> None:
        nonlocal passed_s
        passed_s += LOCKED_PAUSE_S

    return pass_time
