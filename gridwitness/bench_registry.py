"""`gridwitness bench registry`: what many changes of the registry cost a validator.

Decides what is measured: one more change beside those that wait, checked and taken into a block;
all of them again after a restart; a meter looked up among them. Signatures are taken as checked:
`gridwitness bench` measures those.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from validator.app.application import Application
from validator.app.enrolment import check_transaction
from validator.app.refusals import Moment
from validator.app.registries import Registries
from wire.commissioning import CommissioningRecord, sign_record
from wire.genesis import Genesis
from wire.keys import EDDSA, ES256, PublicKey, SoftSigner
from wire.transaction import NONCE_SIZE, Transaction, payload_of
from wire.transaction_bodies import EnrolMeter

START_S = 1_750_000_500
INTERVAL_S = 900
A_ZONE = 100
"""Meters, and lines, of one zone."""

LOOK_UPS = 10_000
AHEAD = 900
"""Intervals over which the enrolments are spread."""


def add_command(parts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `bench registry`."""
    parser = parts.add_parser(
        "registry",
        help="what many pending changes of the registry cost",
        description="Enrols meters one after the other in a network of many, signatures apart.",
    )
    parser.add_argument("--meters", type=int, default=10_000, help="registered (%(default)s)")
    parser.add_argument("--changes", type=int, default=1_000, help="enrolled (%(default)s)")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on stdout")
    parser.set_defaults(run=run)


class _Checked:
    """Signatures that were checked beforehand."""

    def stands(self, _public: PublicKey, _message: bytes, _signature: bytes) -> bool:
        return True


class _Network:
    """A registry of many zones, and enrolments for it."""

    def __init__(self, meters: int) -> None:
        self.zones = max(1, meters // A_ZONE)
        self._operator, self._technician = (SoftSigner.generate(EDDSA) for _ in range(2))
        content = {
            **{"format": 1, "name": "bench", "time_ms": START_S * 1000, "paced_time": True},
            "parameters": {"interval_s": INTERVAL_S},
            "authorities": [{"id": "PEA", "key": self._operator.public.text}],
            "technicians": [{"id": "t", "key": self._technician.public.text, "operator": "PEA"}],
            "validators": [{"id": "v", "authority": "PEA", "key": _text(EDDSA)}],
            "gateways": [self._gateway()],
            "zones": [_zone(number) for number in range(self.zones)],
            "meters": [
                _entry(f"m{zone}-{number}", zone, _text(EDDSA), "00" * 8)
                for zone in range(self.zones)
                for number in range(A_ZONE)
            ],
            "unmetered": [],
        }
        self.genesis = Genesis.from_json(json.dumps(content))

    def _gateway(self) -> dict[str, Any]:
        place = {"site": [137_563_000, 1_005_018_000], "site_cos_ppm": 971_300, "radius_m": 200}
        keys = {"witness_key": _text(ES256), "reader_key": _text(ES256)}
        zones = [f"z{number}" for number in range(self.zones)]
        return {"id": "gw", "operator": "PEA", "zones": zones, **place, **keys}

    def enrolment(self, number: int) -> Transaction:
        """One meter more, from one of the coming intervals on."""
        zone, signer = number % self.zones, SoftSigner.generate(ES256)
        content = {"meter": f"x{number}", "node": "n5", "zone": f"z{zone}", "unit": 1}
        encoded = sign_record(
            content | {"element": {"kind": "simulated"}}, signer, self._technician
        )
        identity = CommissioningRecord.open(encoded).configuration_id.hex()
        entry = _entry(f"x{number}", zone, signer.public.text, identity) | {"node": "n5"}
        from_s = START_S + (10 + number % AHEAD) * INTERVAL_S
        body = EnrolMeter(entry, from_s, encoded)
        transaction = Transaction.of(payload_of(self.genesis.network, bytes(NONCE_SIZE), 10, body))
        for each in (signer, self._technician, self._operator):
            transaction = transaction.with_signature(each)
        return transaction


def _text(alg: int) -> str:
    return SoftSigner.generate(alg).public.text


def _zone(number: int) -> dict[str, Any]:
    lines = [
        {"id": f"b{place}", "from": f"n{place}", "to": f"n{place + 1}", "rho": 10, "kappa": 2}
        for place in range(A_ZONE)
    ]
    return {"id": f"z{number}", "operator": "PEA", "p0_mw": 0, "root": "n0", "branches": lines}


def _entry(name: str, zone: int, key: str, configuration_id: str) -> dict[str, Any]:
    return {
        "id": name,
        "node": f"n{int(name.rpartition('-')[2]) + 1}" if "-" in name else "n5",
        "zone": f"z{zone}",
        "role": "customer",
        "key": key,
        "reader": "gw",
        "configuration_id": configuration_id,
        "class_ppm": [[0, 10_000]],
        "register_wh": 1,
        "rating_w": 15_000,
        "installed_w": 0,
        "site": [137_563_000, 1_005_018_000],
        "radius_m": 100,
    }


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    found = measured(args.meters, args.changes, lambda words: print(words, file=sys.stderr))
    for name, value in found.items():
        print(f"{name:26} {value}")
    if args.json:
        print(json.dumps(found))
    return 0


def measured(meters: int, changes: int, tell: Callable[[str], None]) -> dict[str, float]:
    """Times of one run, in the units that their names say."""
    tell(f"a registry of {meters} meters")
    network = _Network(meters)
    registries = Application(network.genesis).registries
    moment = Moment(network.genesis.network, 1, START_S * 1000)
    tell(f"{changes} enrolments, signed")
    transactions = [network.enrolment(number) for number in range(changes)]
    checks, takes = [], []
    for transaction in transactions:
        begun_s = time.perf_counter()
        accepted = check_transaction(registries, transaction, moment, _Checked())
        checked_s = time.perf_counter()
        registries = registries.with_change(accepted.change)
        checks.append(checked_s - begun_s)
        takes.append(time.perf_counter() - checked_s)
    begun_s = time.perf_counter()
    again = Registries(registries.base, registries.changes)
    restart_s = time.perf_counter() - begun_s
    begun_s = time.perf_counter()
    for number in range(LOOK_UPS):
        again.meter(f"m0-{number % A_ZONE}", START_S + number % AHEAD * INTERVAL_S)
    look_up_s = (time.perf_counter() - begun_s) / LOOK_UPS
    few = max(1, changes // 20)
    return {
        "meters": meters,
        "changes": changes,
        "check_first_us": round(median(checks[:few]) * 1e6),
        "check_last_us": round(median(checks[-few:]) * 1e6),
        "take_first_us": round(median(takes[:few]) * 1e6),
        "take_last_us": round(median(takes[-few:]) * 1e6),
        "restart_ms": round(restart_s * 1e3, 1),
        "look_up_us": round(look_up_s * 1e6, 2),
    }
