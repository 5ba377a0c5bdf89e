"""What a commissioning leaves behind: a folder with record, report, label, key and enrolment.

Decides the names of the files; what they say is decided by `report`, `label` and the record.
"""

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from device.provision import enrolment, faults
from device.provision.holder import NAME as HOLDER_SECRET
from device.provision.holder import HolderLink
from device.provision.label import spki
from device.provision.order import Found
from device.provision.report import Report, Step, as_json
from device.provision.report_page import as_html
from hsm.durable import replace
from wire.errors import Malformed
from wire.keys import PublicKey
from wire.transaction import Transaction, enrolment_of

_WRITTEN_OVER = ("commissioning.cbor", "report.json", "label.svg", "label.png", "key.der")


def of_walk(
    found: Found,
    steps: Sequence[Step],
    technician: PublicKey,
    simulated: bool,
    holder: HolderLink | None = None,
) -> Report:
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
        registers_wh=found.registers_wh if found.proof is None else found.proof.registers_wh,
        steps=tuple(steps),
        measured=found.measured,
        proof=found.proof,
        board=f"{found.identity.machine}, MicroPython {found.identity.version_text}",
        simulated=simulated,
        holder=holder,
    )


def check_folder(folder: Path) -> None:
    """Raise a Fault when papers could not be written there; makes nothing."""
    path = folder
    try:
        place = next(each for each in (folder, *folder.parents) if each.exists())
        with tempfile.TemporaryFile(dir=place):
            pass
        for path in (folder / name for name in _WRITTEN_OVER):
            if path.exists():
                with path.open("r+b"):
                    pass
    except OSError as reason:
        raise faults.NO_PAPERS.fault(path=path, why=reason.strerror) from None


def write(report: Report, folder: Path, enrolled: Transaction | None = None) -> list[Path]:
    """Write all papers of a meter into its folder; raises a Fault when that cannot be."""
    node = str(report.record.content["node"])
    files = {
        "commissioning.cbor": report.record.encoded,
        "report.html": as_html(report).encode(),
        "report.json": (json.dumps(as_json(report), indent=2) + "\n").encode(),
        "label.svg": report.label.svg(node).encode(),
        "label.png": report.label.png(),
        "key.der": spki(report.meter_key),
    }
    written = []
    for name, data in files.items():
        path = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # The report has the holder's link on it; the others are for everybody.
            (replace if name == "report.html" else Path.write_bytes)(path, data)
        except OSError as reason:
            raise faults.NOT_WRITTEN.fault(path=path, why=reason.strerror) from None
        written.append(path)
    if report.holder is not None:
        written.append(folder / HOLDER_SECRET)
    if enrolled is not None:
        written.append(_write_enrolment(folder / f"{report.label.meter}.gwe", enrolled))
    return written


def _write_enrolment(path: Path, enrolled: Transaction) -> Path:
    """An enrolment of the same record that is there already may be on its way: it stays.

    Once its first interval has begun no block takes it any more; then it is replaced.
    """
    try:
        if path.exists():
            there = enrolment_of(enrolment.read(path))
            same = there.commissioning == enrolment_of(enrolled).commissioning
            if same and there.from_s > time.time():
                return path
        enrolment.write(path, enrolled)
    except Malformed:
        enrolment.write(path, enrolled)
    except OSError as reason:
        raise faults.NOT_WRITTEN.fault(path=path, why=reason.strerror) from None
    return path
