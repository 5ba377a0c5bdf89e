# mypy: ignore-errors
"""Verifies a COSE_Sign1 with pycose: bytes and key come on standard input, the verdict goes out.

Runs under .venv/strangers/pycose/bin/python, which has nothing of ours.
"""

import json
import sys

import cbor2
from pycose.keys import EC2Key
from pycose.keys.curves import P256
from pycose.messages import CoseMessage

asked = json.load(sys.stdin)
message = CoseMessage.decode(bytes.fromhex(asked["cose"]))
public = bytes.fromhex(asked["public"])
message.key = EC2Key(crv=P256, x=public[:32], y=public[32:])
fields = cbor2.loads(message.payload)
print(
    json.dumps(
        {
            "kind": type(message).__name__,
            "headers": sorted(header.fullname for header in message.phdr),
            "verified": message.verify_signature(),
            "meter": fields[2],
            "sequence": fields[10],
        }
    )
)
