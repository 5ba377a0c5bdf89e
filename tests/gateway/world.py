"""A small network for the gateway's tests: soft keys, two meters, four validators."""

import json
from dataclasses import dataclass
from typing import Any

from tests.gateway.authorities import Authorities
from tests.gateway.street import START_S
from wire.genesis import Genesis
from wire.keys import EDDSA, ES256, SoftSigner

GOOD = """
id = "gw-1"
genesis = "genesis.json"
spool = "spool.sqlite"
status = "127.0.0.1:1"
paced_time_file = ""

[token]
witness = "pkcs11:token=t;object=witness"
reader = "pkcs11:token=t;object=reader"
softhsm2_conf = "softhsm2.conf"

[mqtt]
host = "127.0.0.1"
port = 8883
ca = "ca.pem"
certificate = "mqtt.pem"
key = "mqtt.key"

[place]
lat_e7 = 137563000
lon_e7 = 1005018000
accuracy_dm = 50

[batches]
max_readings = 500
max_wait_s = 60

[[bus]]
name = "b"
kind = "tcp"
host = "127.0.0.1"
tcp_port = 502
timeout_ms = 100

[[bus.meter]]
id = "m1"
unit = 1
template = "eastron-sdm630"

[[bus.meter]]
id = "m2"
unit = 2
template = "gridwitness"
"""

WITNESS = SoftSigner.from_private(ES256, bytes(31) + b"\x11")
READER = SoftSigner.from_private(ES256, bytes(31) + b"\x12")
METER = SoftSigner.from_private(ES256, bytes(31) + b"\x13")
VALIDATORS = {
    f"val-{name}": SoftSigner.from_private(EDDSA, bytes(31) + bytes([number]))
    for number, name in enumerate("abcd", 1)
}


@dataclass(frozen=True)
class World:
    """A genesis and those who answer for it."""

    genesis: Genesis
    authorities: Authorities


def _meter(name: str, key: str, reader: str) -> dict[str, Any]:
    return {
        "id": name,
        "node": f"node-{name}",
        "zone": "z1",
        "role": "customer",
        "key": key,
        "reader": reader,
        "configuration_id": "0123456789abcdef",
        "software": "",
        "register_wh": 10,
        "rating_w": 20_000,
        "installed_w": 0,
    }


def make_genesis(reader: str = "gw-1") -> World:
    content = {
        "format": 1,
        "name": "test",
        "time_ms": START_S * 1000,
        "paced_time": True,
        "parameters": {},
        "authorities": [],
        "validators": [
            {"id": name, "authority": name, "key": key.public.text}
            for name, key in VALIDATORS.items()
        ],
        "gateways": [
            {
                "id": "gw-1",
                "witness_key": WITNESS.public.text,
                "reader_key": READER.public.text,
            }
        ],
        "meters": [_meter("m1", "", reader), _meter("m2", METER.public.text, reader)],
        "zones": [],
        "unmetered": [],
    }
    genesis = Genesis.from_json(json.dumps(content))
    return World(genesis, Authorities(genesis, VALIDATORS))
