"""A block's worth of signed readings, for measuring: made once, with keys in memory."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from wire.genesis import Genesis
from wire.keys import EDDSA, ES256, PublicKey, SoftSigner
from wire.reading import ClockEvidence, Reading, SignedReading, sign_reading
from wire.witness import (
    Batch,
    SignedWitness,
    WitnessPosition,
    WitnessStatement,
    readings_root,
    sign_statement,
)

START_S = 1_751_328_000
INTERVAL_S = 900
SITE = [187_883_000, 989_853_000]
METERS = 100


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
        meters = {f"meter-{number:03}": SoftSigner.generate(ES256) for number in range(METERS)}
        gateway = SoftSigner.generate(ES256)
        genesis = Genesis.from_json(json.dumps(_genesis(meters, gateway, validators, parameters)))
        signed: list[bytes] = []
        previous = {name: bytes(32) for name in meters}
        for number in range(readings):
            sequence, name = number // METERS, f"meter-{number % METERS:03}"
            encoded = _reading(name, sequence, previous[name], meters[name])
            previous[name] = SignedReading.open(encoded).sig_hash
            signed.append(encoded)
        end_s = START_S + (readings // METERS + 1) * INTERVAL_S
        batches = []
        for first in range(0, readings, batch):
            part = tuple(signed[first : first + batch])
            batches.append(_batch(genesis, gateway, first // batch, part, end_s))
        return cls(genesis, tuple(batches), (end_s + 1) * 1000)

    def one_signature(self) -> tuple[PublicKey, bytes, bytes]:
        """A key, a message and its signature."""
        signed = SignedReading.open(Batch.open(self.batches[0]).readings[0])
        meter = next(
            each for each in self.genesis.registry["meters"] if each["id"] == signed.reading.meter
        )
        public = PublicKey.from_text(meter["key"])
        return public, signed.cose.sig_structure, signed.cose.signature


def _reading(meter: str, sequence: int, previous: bytes, signer: SoftSigner) -> bytes:
    reading = Reading(
        meter=meter,
        node="bus-1",
        interval_start_s=START_S + sequence * INTERVAL_S,
        interval_s=INTERVAL_S,
        import_wh=1_000 + 100 * (sequence + 1),
        export_wh=0,
        import_advance_wh=100,
        export_advance_wh=0,
        sequence=sequence,
        boots=1,
        operating_s=(sequence + 1) * INTERVAL_S,
        status=1 << 19,
        clock=ClockEvidence(2, 1, 0, 1),
        previous=previous,
        software_id=bytes(4),
        configuration_id=bytes(8),
        events=0,
        origin=0,
    )
    return sign_reading(reading, signer)


def _batch(
    genesis: Genesis, gateway: SoftSigner, sequence: int, readings: tuple[bytes, ...], at_s: int
) -> bytes:
    statement = WitnessStatement(
        gateway="gw-bench",
        network=genesis.topic_name,
        witnessed_at_s=at_s,
        sequence=sequence,
        tree_size=len(readings),
        previous=bytes(32),
        position=WitnessPosition(SITE[0], SITE[1], 50, 0, 0),
        clock_quality=2,
        clock_error_ms=10,
        root=readings_root(readings),
    )
    return Batch.join(SignedWitness.open(sign_statement(statement, gateway)), readings).encoded


def _meter(name: str, signer: SoftSigner) -> dict[str, object]:
    return {
        "id": name,
        "node": "bus-1",
        "zone": "z1",
        "role": "customer",
        "key": signer.public.text,
        "reader": "gw-bench",
        "configuration_id": "00" * 8,
        "software": "",
        "class_ppm": [[0, 10_000]],
        "register_wh": 1,
        "rating_w": 15_000,
        "installed_w": 0,
        "phases": 1,
        "site": SITE,
        "radius_m": 500,
        "dead_wh": 0,
        "ct_ppm": 0,
    }


def _genesis(
    meters: dict[str, SoftSigner],
    gateway: SoftSigner,
    validators: Mapping[str, SoftSigner] | None,
    parameters: Mapping[str, int] | None,
) -> dict[str, object]:
    validators = validators or {"val-pea": SoftSigner.generate(EDDSA)}
    authority = SoftSigner.generate(EDDSA).public.text
    entries = [_meter(name, signer) for name, signer in meters.items()]
    zone = {
        "id": "z1",
        "parent": "",
        "operator": "PEA",
        "p0_mw": 0,
        "branches": [],
        "root": "bus-1",
    }
    site = {"site": SITE, "site_cos_ppm": 946_713, "radius_m": 200, "zones": ["z1"]}
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
        "gateways": [{"id": "gw-bench", "operator": "PEA", **site, **keys}],
        "meters": entries,
        "zones": [zone],
        "unmetered": [],
    }
