"""A village for the rules' tests: five meters behind one transformer, two gateways, fixed keys.

bus --- n1 --- n2 --- n3
 b0     c1     c2,pv  c3          b0 boundary, c1 and c2 sign, c3 is read by gw-a, pv exports
"""

import copy
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from validator.app.application import Application
from validator.app.execution import Execution
from wire.block import MAX_READINGS
from wire.errors import BadSignature
from wire.genesis import Genesis
from wire.keys import EDDSA, PublicKey, SoftSigner
from wire.reading import (
    ClockEvidence,
    Reading,
    ReadSource,
    SignedReading,
    sign_reading,
)
from wire.results import REASONS, ReadingResult, ZoneSeal
from wire.transaction import Transaction
from wire.witness import (
    Batch,
    SignedWitness,
    WitnessPosition,
    WitnessStatement,
    readings_root,
    sign_statement,
)

START_S = 1_750_000_500
INTERVAL_S = 900
SITE = (137_563_000, 1_005_018_000)
COS_PPM = 971_300
CONFIGURATION = "0123456789abcdef"

# What each meter counts in an ordinary interval: import, export. The lines lose 4 Wh.
ORDINARY = {
    "b0": (604, 0),
    "c1": (500, 0),
    "c2": (300, 0),
    "c3": (200, 0),
    "pv": (0, 400),
}


def block_ms(slot: int) -> int:
    """Time of the block ten seconds after the end of interval `slot`, network milliseconds."""
    return (START_S + (slot + 1) * INTERVAL_S + 10) * 1000


def signer(name: str) -> SoftSigner:
    return SoftSigner.from_private(EDDSA, hashlib.sha256(name.encode()).digest())


def meter_entry(name: str, node: str, role: str, **changes: Any) -> dict[str, Any]:
    entry = {
        "id": name,
        "node": node,
        "zone": "z1",
        "role": role,
        "key": signer(name).public.text,
        "reader": "gw-a",
        "configuration_id": CONFIGURATION,
        "software": "",
        "class_ppm": [[0, 15_000], [50, 10_000]],
        "register_wh": 1,
        "rating_w": 15_000,
        "installed_w": 0,
        "phases": 3,
        "site": SITE,
        "radius_m": 100,
        "dead_wh": 0,
        "ct_ppm": 0,
    }
    return entry | changes


def gateway_entry(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "operator": "PEA",
        "witness_key": signer(name).public.text,
        "reader_key": signer(f"{name} reader").public.text,
        "site": SITE,
        "site_cos_ppm": COS_PPM,
        "radius_m": 200,
        "zones": ["z1"],
    }


def branch(start: str, end: str) -> dict[str, Any]:
    ends = {"id": f"{start}-{end}", "from": start, "to": end}
    return ends | {"rho": 2_500_000, "kappa": 2, "ampacity_w": 60_000}


def genesis_content() -> dict[str, Any]:
    return {
        "format": 1,
        "name": "village",
        "time_ms": START_S * 1000,
        "paced_time": True,
        "parameters": {"class_k_num": 4, "class_k_den": 1, "deadline_intervals": 4},
        "authorities": [
            {"id": "PEA", "name": "Provincial", "type": "PEA", "key": signer("PEA").public.text}
        ],
        "validators": [{"id": "val-pea", "authority": "PEA", "key": signer("val").public.text}],
        "gateways": [gateway_entry("gw-a"), gateway_entry("gw-b")],
        "meters": [
            meter_entry("b0", "bus", "boundary", rating_w=100_000, class_ppm=[[0, 5_000]]),
            meter_entry("c1", "n1", "customer"),
            meter_entry("c2", "n2", "customer"),
            meter_entry("c3", "n3", "customer", key=""),
            meter_entry("pv", "n2", "source", installed_w=5_000),
        ],
        "zones": [
            {
                "id": "z1",
                "parent": "",
                "operator": "PEA",
                "p0_mw": 0,
                "branches": [branch("bus", "n1"), branch("n1", "n2"), branch("n2", "n3")],
                "root": "bus",
            }
        ],
        "unmetered": [],
    }


def genesis(edit: Callable[[dict[str, Any]], object] = lambda _: None) -> Genesis:
    content = copy.deepcopy(genesis_content())
    edit(content)
    return Genesis.from_json(json.dumps(content))


class StrictBook:
    """Checks every signature when asked."""

    def stands(self, public: PublicKey, message: bytes, signature: bytes) -> bool:
        try:
            public.verify(message, signature)
        except BadSignature:
            return False
        return True


BOOK = StrictBook()


class Register:
    """One meter's life: each `close` continues registers, sequence and chain."""

    def __init__(self, entry: dict[str, Any]) -> None:
        self.entry = entry
        self.reads_itself = entry["key"] != ""
        name = entry["id"] if self.reads_itself else f"{entry['reader']} reader"
        self.signer = signer(name)
        self.import_wh, self.export_wh = 1_000_000, 0
        self.sequence = 0
        self.previous = bytes(32)

    def reading(self, slot: int, import_wh: int, export_wh: int, /, **changes: Any) -> Reading:
        start_s = START_S + slot * INTERVAL_S
        source = None if self.reads_itself else ReadSource(bytes(8), b"", 300, 400)
        reading = Reading(
            meter=self.entry["id"],
            node=self.entry["node"],
            interval_start_s=start_s,
            interval_s=INTERVAL_S,
            import_wh=self.import_wh + import_wh,
            export_wh=self.export_wh + export_wh,
            import_advance_wh=import_wh,
            export_advance_wh=export_wh,
            sequence=self.sequence if self.reads_itself else start_s // INTERVAL_S,
            boots=1,
            operating_s=5_000 + slot * INTERVAL_S,
            status=0,
            clock=ClockEvidence(3, 1, 100, 1),
            previous=self.previous,
            software_id=bytes(4),
            configuration_id=bytes.fromhex(self.entry["configuration_id"]),
            events=0,
            origin=0 if self.reads_itself else 1,
            source=source,
        )
        return reading._replace(**changes)

    def sign(self, reading: Reading) -> bytes:
        return sign_reading(reading, self.signer)

    def close(self, slot: int, import_wh: int, export_wh: int, /, **changes: Any) -> bytes:
        encoded = self.sign(self.reading(slot, import_wh, export_wh, **changes))
        signed = SignedReading.open(encoded)
        self.import_wh, self.export_wh = signed.reading.import_wh, signed.reading.export_wh
        self.previous = signed.sig_hash
        self.sequence += 1
        return encoded


class Village:
    """The network, its meters and its gateways."""

    def __init__(self, edit: Callable[[dict[str, Any]], object] = lambda _: None) -> None:
        self.genesis = genesis(edit)
        self.app = Application(self.genesis)
        self.meters = {entry["id"]: Register(entry) for entry in self.genesis.registry["meters"]}
        self.batches = 0
        self.seals: list[ZoneSeal] = []

    def close(self, slot: int, **energies: tuple[int, int] | None) -> dict[str, bytes]:
        """Close an interval on every meter; None leaves a meter out for good."""
        counted = {**ORDINARY, **energies}
        return {
            name: self.meters[name].close(slot, *energy)
            for name, energy in counted.items()
            if energy is not None
        }

    def batch(
        self,
        readings: Iterable[bytes],
        slot: int,
        gateway: str = "gw-a",
        key: SoftSigner | None = None,
        **changes: Any,
    ) -> Batch:
        """Witness readings two seconds after the end of interval `slot`."""
        encoded = tuple(readings)
        statement = WitnessStatement(
            gateway=gateway,
            network=self.genesis.topic_name,
            witnessed_at_s=START_S + (slot + 1) * INTERVAL_S + 2,
            sequence=self.batches,
            tree_size=len(encoded),
            previous=bytes(32),
            position=WitnessPosition(*SITE, 20, 5, 1),
            clock_quality=3,
            clock_error_ms=10,
            root=readings_root(encoded),
        )
        self.batches += 1
        witness = sign_statement(replace(statement, **changes), key or signer(gateway))
        return Batch.join(SignedWitness.open(witness), encoded)

    def execute(
        self, batches: Sequence[Batch], slot: int, changes: Sequence[Transaction] = ()
    ) -> Execution:
        """Execute a block ten seconds after the end of interval `slot`."""
        return self.app.finalize_block(
            self.app.state.height + 1,
            block_ms(slot),
            [each.encoded for each in changes] + [batch.witness.encoded for batch in batches],
            {batch.batch_id: batch for batch in batches},
            BOOK,
        )

    def check(self, tx: Batch | Transaction, time_ms: int = 0) -> None:
        """Whether the mempool takes it; raises what it is refused with."""
        self.app.check_tx(tx, BOOK, time_ms)

    def pick(self, time_ms: int, batches: Sequence[Batch], most: int = MAX_READINGS) -> list[Batch]:
        """Batches that a proposer chooses."""
        return self.app.prepare_proposal(time_ms, [], batches, BOOK, most)[1]

    def pick_transactions(
        self, time_ms: int, transactions: Sequence[Transaction]
    ) -> list[Transaction]:
        """Transactions that a proposer chooses."""
        return self.app.prepare_proposal(time_ms, transactions, [], BOOK)[0]

    def commit(
        self, batches: Sequence[Batch], slot: int, changes: Sequence[Transaction] = ()
    ) -> list[list[str]]:
        """Execute and commit a block; returns the names of the readings' reasons."""
        execution = self.execute(batches, slot, changes)
        self.app.commit(execution)
        self.seals += [ZoneSeal.decode(seal) for seal in execution.seals]
        return names(execution)

    def decide(self, reading: bytes, slot: int, **changes: Any) -> str:
        """Commit a block with one reading; returns the name of its reason."""
        return self.commit([self.batch([reading], slot, **changes)], slot)[0][0]


def names(execution: Execution) -> list[list[str]]:
    return [
        [REASONS[ReadingResult.decode(result).code].name for result in results]
        for results in execution.reading_results
    ]
