"""A block's worth of signed readings, for measuring: made once, with keys in memory."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from gridwitness.paper_meters import COS_PPM, INTERVAL_S, SITE, PaperMeter, Witnessing
from wire.genesis import Genesis
from wire.keys import EDDSA, ES256, PublicKey, SoftSigner
from wire.reading import SignedReading
from wire.witness import Batch

START_S = 1_751_328_000
METERS = 100
GATEWAY = "gw-bench"
_ADVANCE_WH = 100


@dataclass(frozen=True)
class BenchBlock:
    """Batches of readings that a validator accepts."""

    genesis: Genesis
    """A network with one gateway and a hundred meters that sign."""

    batches: tuple[bytes, ...]
    """Encoded, as they come from the broker."""

    time_ms: int
    """Block time at which they are welcome."""

    @classmethod
    def make(
        cls,
        readings: int,
        batch: int,
        validators: Mapping[str, SoftSigner] | None = None,
        parameters: Mapping[str, int] | None = None,
    ) -> Self:
        """Make that many readings in batches of that size.

        Args:
            readings: how many in all.
            batch: how many in a batch.
            validators: their keys by id; one that nobody knows when None.
            parameters: of the network, where they are not the usual ones.
        """
        meters = [
            PaperMeter(f"meter-{number:03}", "bus-1", SoftSigner.generate(ES256), START_S)
            for number in range(METERS)
        ]
        gateway = SoftSigner.generate(ES256)
        genesis = Genesis.from_json(json.dumps(_genesis(meters, gateway, validators, parameters)))
        signed = [
            meters[number % METERS].read(number // METERS, _ADVANCE_WH)
            for number in range(readings)
        ]
        end_s = START_S + (readings // METERS + 1) * INTERVAL_S
        batches = []
        for first in range(0, readings, batch):
            witnessing = Witnessing(GATEWAY, genesis.topic_name, first // batch, end_s)
            batches.append(witnessing.of(tuple(signed[first : first + batch]), gateway).encoded)
        return cls(genesis, tuple(batches), (end_s + 1) * 1000)

    def one_signature(self) -> tuple[PublicKey, bytes, bytes]:
        """A key, a message and its signature."""
        signed = SignedReading.open(Batch.open(self.batches[0]).readings[0])
        meter = next(
            each for each in self.genesis.registry["meters"] if each["id"] == signed.reading.meter
        )
        public = PublicKey.from_text(meter["key"])
        return public, signed.cose.sig_structure, signed.cose.signature


def _genesis(
    meters: list[PaperMeter],
    gateway: SoftSigner,
    validators: Mapping[str, SoftSigner] | None,
    parameters: Mapping[str, int] | None,
) -> dict[str, object]:
    validators = validators or {"val-pea": SoftSigner.generate(EDDSA)}
    authority = SoftSigner.generate(EDDSA).public.text
    entries = [meter.entry("z1", GATEWAY) for meter in meters]
    zone = {
        "id": "z1",
        "parent": "",
        "operator": "PEA",
        "p0_mw": 0,
        "branches": [],
        "root": "bus-1",
    }
    site = {"site": list(SITE), "site_cos_ppm": COS_PPM, "radius_m": 200, "zones": ["z1"]}
    keys = {
        "witness_key": gateway.public.text,
        "reader_key": SoftSigner.generate(ES256).public.text,
    }
    return {
        "format": 1,
        "name": "bench",
        "time_ms": START_S * 1000,
        "paced_time": True,
        "parameters": dict(parameters or {}),
        "authorities": [{"id": "PEA", "name": "PEA", "type": "PEA", "key": authority}],
        "validators": [
            {"id": name, "authority": "PEA", "key": key.public.text}
            for name, key in validators.items()
        ],
        "gateways": [{"id": GATEWAY, "operator": "PEA", **site, **keys}],
        "meters": entries,
        "zones": [zone],
        "unmetered": [],
    }
