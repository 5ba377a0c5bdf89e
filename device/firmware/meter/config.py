"""The meter's configuration: who it is, where it sits, what it measures with; one JSON file.

Decides what a complete configuration is. Provisioning writes the file; nothing changes it while the
meter runs. Keys:

    meter             id as on the nameplate, 1 to 20 characters
    node              metering point, 1 to 33 characters
    unit              Modbus unit, 1 to 247
    baudrate          of the RS-485 line, 9600 when absent
    configuration_id  16 hex digits: prefix of the commissioning record's hash
    element           {"kind": "simulated", "profile": path}
    paced_time_file   path, in a simulation whose network time is paced; absent in life
    interval_s        900 when absent
"""

import json

from meter import record

PATH = "/config.json"
CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
REQUIRED = ("meter", "node", "unit", "configuration_id", "element")
OPTIONAL = {"baudrate": 9600, "paced_time_file": "", "interval_s": 900}


class NotConfigured(Exception):
    """No configuration, or one that a meter cannot run with; says what is wrong."""


def load(path=PATH):
    """The checked configuration; raises NotConfigured."""
    try:
        with open(path) as f:
            found = json.load(f)
    except OSError:
        raise NotConfigured("no " + path + ": provision this board")
    except ValueError:
        raise NotConfigured(path + " is not JSON")
    return check(found)


def check(found):
    """A copy with the defaults filled in; raises NotConfigured naming the key."""
    for key in REQUIRED:
        if key not in found:
            raise NotConfigured("missing: " + key)
    for key in found:
        if key not in REQUIRED and key not in OPTIONAL:
            raise NotConfigured("unknown: " + key)
    complete = dict(OPTIONAL)
    complete.update(found)
    if complete["unit"] not in range(1, 248):
        raise NotConfigured("unit: not from 1 to 247")
    if len(_octets(complete["configuration_id"])) != 8:
        raise NotConfigured("configuration_id: not 16 hex digits")
    for key in ("meter", "node"):
        _check_identifier(key, complete[key])
    _check_length(complete["meter"], complete["node"])
    return complete


def _octets(digits):
    try:
        return bytes.fromhex(digits)
    except ValueError:
        return b""


def _check_identifier(key, value):
    """What no reader of records would accept is not signed in the first place."""
    if not value or value[0] in "._-" or not all([c in CHARACTERS for c in value]):
        raise NotConfigured(key + ": only letters, digits, '.', '_' and '-'")


def _check_length(meter, node):
    """A record of ten years from now must still fit the Modbus window."""
    if not (1 <= len(meter) <= 20 and 1 <= len(node) <= 33):
        raise NotConfigured("meter has 1 to 20 characters, node 1 to 33")
    largest = {2: meter, 3: node, 15: bytes(32), 16: bytes(4), 17: bytes(8), 19: 0}
    for number in (4, 6, 7, 10, 12, 13):
        largest[number] = 0xFFFFFFFF
    for number in (5, 8, 9, 11, 18):
        largest[number] = 0xFFFF
    largest[14] = [3, 0xFFFF, 0xFFFFFFFF, 0xFFFF]
    if len(record.envelope(bytes(8), record.payload(largest), bytes(64))) > record.LONGEST:
        raise NotConfigured("meter and node are too long together for a record of 256 bytes")
