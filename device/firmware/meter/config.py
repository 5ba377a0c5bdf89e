"""The meter's configuration: who it is, where it sits, what it measures with; one JSON object.

Decides what a complete configuration is. The object is the content of the commissioning record: its
deterministic CBOR is what meter and technician have signed, and the hash of that CBOR, made here
from the file that the meter really runs with, is the configuration id in every record. So nobody
changes a word of it without the records saying so. Integers, texts, lists and objects only.

    meter             id as on the nameplate, 1 to 20 characters
    node              metering point, 1 to 33 characters
    zone              zone whose balance it is part of
    unit              Modbus unit, 1 to 247
    element           {"kind": "pzem004t" | "atm90e32" | "s0" | "simulated", what the kind needs}
    baudrate          of the RS-485 line, 9600 when absent
    interval_s        900 when absent
    key               "flash", or "atecc608" for a secure element
    receiver          {"kind": "nmea", "baudrate": 9600} when there is a satellite receiver
    service_window_ms how long a console may stop the meter after a reset; 3000
    locked            1: only then, and the watchdog runs; 0: at any time
    watchdog_ms       8000
    log_days          days of records that are kept; 35
    paced_time_file   path, in a simulation whose network time is paced; absent in life
    site, commissioning   for people and registries; the meter only signs them
"""

import json

from meter import NotConfigured, record, signing
from meter.cbor import encode

PATH = "/config.json"
_RECORD_PATH = "/commissioning.cbor"
_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
_REQUIRED = ("meter", "node", "zone", "unit", "element")
_OPTIONAL = {
    "baudrate": 9600,
    "interval_s": 900,
    "key": "flash",
    "receiver": {},
    "service_window_ms": 3000,
    "locked": 0,
    "watchdog_ms": 8000,
    "log_days": 35,
    "paced_time_file": "",
    "site": [],
    "commissioning": {},
}
_NUMBERS = {
    "unit": (1, 247),
    "baudrate": (1200, 115200),
    "interval_s": (1, 3600),
    "service_window_ms": (0, 60000),
    "locked": (0, 1),
    "watchdog_ms": (2000, 8388),
    "log_days": (2, 400),
}


def content(path=PATH):
    """The object as it stands in the file; raises NotConfigured."""
    try:
        with open(path) as f:
            return json.load(f)
    except OSError:
        raise NotConfigured("%s is missing: provision this board" % path)
    except ValueError:
        raise NotConfigured(path + " is not JSON")


def load(path=PATH, record_path=_RECORD_PATH):
    """The checked configuration, with its id and whether it is commissioned."""
    found = content(path)
    complete = check(found)
    payload = encode(found)
    complete["configuration_id"] = signing.sha256(payload)[:8]
    complete["commissioned"] = payload in _read(record_path)
    return complete


def _read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return b""


def check(found):
    """A copy with the defaults filled in; raises NotConfigured naming the key."""
    if not isinstance(found, dict):
        raise NotConfigured("not an object")
    for key in _REQUIRED:
        if key not in found:
            raise NotConfigured("%s is missing" % key)
    for key in found:
        if key not in _REQUIRED and key not in _OPTIONAL:
            raise NotConfigured("%s is not known" % key)
    _check_kinds(found)
    complete = dict(_OPTIONAL)
    complete.update(found)
    _check_values(complete)
    for key in ("meter", "node", "zone"):
        _check_identifier(key, complete[key])
    _check_length(complete["meter"], complete["node"], bool(complete["receiver"]))
    return complete


def _check_values(complete):
    for key, (least, most) in _NUMBERS.items():
        value = complete[key]
        if not isinstance(value, int) or not least <= value <= most:
            raise NotConfigured("%s: not from %d to %d" % (key, least, most))
    if not isinstance(complete["element"], dict) or "kind" not in complete["element"]:
        raise NotConfigured("element: an object with its kind")
    if complete["key"] not in ("flash", "atecc608"):
        raise NotConfigured("key: flash or atecc608")


def _check_kinds(value):
    """What has no place in a commissioning record is refused: it could not be signed alike."""
    if isinstance(value, dict):
        for key in value:
            _check_kinds(value[key])
    elif isinstance(value, list):
        for item in value:
            _check_kinds(item)
    elif isinstance(value, bool) or not isinstance(value, (int, str)):
        raise NotConfigured("only integers, texts, lists and objects, not " + repr(value))


def _check_identifier(key, value):
    """What no reader of records would accept is not signed in the first place."""
    if not isinstance(value, str) or not 1 <= len(value) <= (20 if key == "meter" else 33):
        raise NotConfigured("meter has 1 to 20 characters, node and zone 1 to 33")
    # Not by characters: each would be kept as a name.
    if value.encode()[0] in b"._-" or not all([c in _CHARACTERS for c in value.encode()]):
        raise NotConfigured(key + ": only letters, digits, '.', '_' and '-'")


def _check_length(meter, node, with_position):
    """A record of ten years from now must still fit the Modbus window."""
    largest = {2: meter, 3: node, 15: bytes(32), 16: bytes(4), 17: bytes(8), 19: 0}
    for number in (4, 6, 7, 10, 12, 13):
        largest[number] = 0xFFFFFFFF
    for number in (5, 8, 9, 11, 18):
        largest[number] = 0xFFFF
    largest[14] = [3, 0xFFFF, 0xFFFFFFFF, 0xFFFF]
    if with_position:
        largest[21] = [0xFFFFFFFF, 0xFFFFFFFF, 0xFFFF, 0xFF]
    if len(record.envelope(bytes(8), record.payload(largest), bytes(64))) > record.LONGEST:
        raise NotConfigured("meter and node are too long together for a record of 256 bytes")
