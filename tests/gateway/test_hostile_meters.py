"""A meter that lies, or another device at its address, does nothing lasting."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.polling import window
from gateway.registered import SigningMeter as Registered
from tests.gateway.street import START_S, SigningMeter
from wire.reading import SignedReading, sign_reading


def _street() -> tuple[SigningMeter, Registered]:
    real = SigningMeter("customer-1", "node-1")
    return real, Registered("customer-1", 2, "node-1", real.signer.public)


@pytest.mark.parametrize(
    "lie", [{"interval_start_s": 2**63}, {"interval_start_s": 2**62}, {"interval_s": 901}]
)
def test_a_signed_record_out_of_bounds_is_a_bad_record(lie: dict[str, Any]) -> None:
    real, meter = _street()
    real.close(START_S, import_wh=250)
    reading = SignedReading.open(real.records[0]).reading
    with pytest.raises(window.BadRecord):
        window.verified(sign_reading(replace(reading, **lie), real.signer), meter, 0)
