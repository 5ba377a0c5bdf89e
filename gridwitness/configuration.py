"""The TOML files of a network's programs, written with a word on each key.

Decides their text only; each program checks its own file whole when it starts.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

# By the key's place in the file; said where it first occurs.
_WORDS = {
    "id": "registered id; also the common name of the MQTT certificate",
    "genesis": "the network; paths are relative to this file's folder",
    "peers": "signed addresses and TLS certificates of the validators",
    "bootnodes": "host:port of who tells where the others are; with one, peers may be left out",
    "advertise": "where others reach this validator when it is not the address it listens on",
    "data": "ledger, log and sign-state; never run two validators on copies of it",
    "key": "votes and seals; whoever reads it can speak for the authority. A file, or pkcs11:…",
    "passphrase_file": "opens the key; mode 0600",
    "tls_certificate": "shown to other validators; its fingerprint is signed in the peers' file",
    "listen": "host:port for other validators",
    "api": "host:port of the HTTP API; plain HTTP, so loopback only",
    "spool": "readings that have no verified receipt yet; losing it loses them",
    "status": "host:port of the status page and metrics; loopback only",
    "paced_time_file": "set in demos and tests only; a production genesis refuses it",
    "token.witness": "the key that signs batches",
    "token.reader": "the key that signs readings of meters that cannot sign",
    "token.softhsm2_conf": "for SoftHSM only; empty for other tokens",
    "mqtt.ca": "who vouches for the broker",
    "mqtt.certificate": "its common name must be this program's id",
    "place.lat_e7": "the fixed site, 1e-7 degrees",
    "place.accuracy_dm": "how well the fixed site is known, decimetres",
    "batches.max_readings": "a batch closes at this many readings, at most 1,000",
    "batches.max_wait_s": "or when its oldest reading has waited this long, network seconds",
    "bus.kind": "rtu, tcp or iec62056-21; gridwitness gateway init explains every key",
    "bus.timeout_ms": "a meter that says nothing for so long has not answered",
    "bus.meter.id": "as registered; node, zone and key come from the registry",
    "bus.meter.unit": "Modbus address, 1 to 247",
    "bus.meter.template": "of docs/METER-TEMPLATES.md, or gridwitness for a meter that signs",
}


def toml(document: Mapping[str, Any]) -> str:
    """Return a document as TOML: scalars first, then tables and arrays of tables."""
    return "\n".join(_lines(document, "", set())).lstrip("\n") + "\n"


def _lines(table: Mapping[str, Any], path: str, said: set[str]) -> list[str]:
    lines = []
    for key, value in table.items():
        if not _is_table(value):
            lines += _word(f"{path}{key}", said)
            # JSON's strings, integers, booleans and arrays of these are TOML's too.
            lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}")
    for key, value in table.items():
        inner = f"{path}{key}"
        if isinstance(value, Mapping):
            lines += ["", f"[{inner}]", *_lines(value, f"{inner}.", said)]
        elif _is_table(value):
            for entry in value:
                lines += ["", f"[[{inner}]]", *_lines(entry, f"{inner}.", said)]
    return lines


def _word(place: str, said: set[str]) -> list[str]:
    if place in said or place not in _WORDS:
        return []
    said.add(place)
    return [f"# {_WORDS[place]}"]


def _is_table(value: object) -> bool:
    if isinstance(value, Mapping):
        return True
    if not isinstance(value, Sequence) or isinstance(value, str):
        return False
    return all(isinstance(each, Mapping) for each in value)
