"""What a commissioning leaves behind: a folder with the record, the report, the label, the key.

Decides the names of the files; what they say is decided by `report`, `label` and the record.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path

from device.provision import faults
from device.provision.label import spki
from device.provision.order import Found
from device.provision.report import Report, Step, as_json
from device.provision.report_page import as_html
from wire.keys import PublicKey


def of_walk(found: Found, steps: Sequence[Step], technician: PublicKey, simulated: bool) -> Report:
    """The report of a walk that came to its end."""
    assert found.record is not None
    assert found.public is not None
    assert found.identity is not None
    assert found.bundle is not None
    return Report(
        record=found.record,
        meter_key=found.public,
        technician_key=technician,
        software_id=found.bundle.software_id,
        made_at_s=int(time.time()),
        clock_error_ms=found.clock_error_ms,
        registers_wh=found.registers_wh,
        steps=tuple(steps),
        measured=found.measured,
        board=f"{found.identity.machine}, MicroPython {found.identity.version_text}",
        simulated=simulated,
    )


def write(report: Report, folder: Path) -> list[Path]:
    """Write all papers of a meter into its folder; raises a Fault when that cannot be."""
    node = str(report.record.content["node"])
    files = {
        "commissioning.cbor": report.record.encoded,
        "report.html": as_html(report).encode(),
        "report.json": (json.dumps(as_json(report), indent=2) + "\n").encode(),
        "label.svg": report.label.svg(node).encode(),
        "key.der": spki(report.meter_key),
    }
    written = []
    for name, data in files.items():
        path = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        except OSError as reason:
            raise faults.NOT_WRITTEN.fault(path=path, why=reason.strerror) from None
        written.append(path)
    return written
