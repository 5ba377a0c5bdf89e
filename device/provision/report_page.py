"""The commissioning report as a page: one HTML file that prints on one sheet of A4.

Decides how it looks, and that nothing in it can act: every text is escaped, what a browser would
not show is written out, the policy forbids scripts and everything from elsewhere. What it says is
decided by `device.provision.report`.
"""

from collections.abc import Iterable
from html import escape
from typing import Any

from device.provision.at_prompt import Proof
from device.provision.label import groups, spki
from device.provision.report import Measured, Report, Step
from wire.event import time_words

_STYLE = """
:root { --ink: #16202b; --soft: #5a6774; --line: #d5dbe1; --paper: #fff; --field: #f4f6f8;
  --good: #1b6e3c; --bad: #a8201a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7ecf1; --soft: #9aa7b4; --line: #36414d;
  --paper: #12181f; --field: #1b232c; --good: #6fcf97; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 8mm; max-width: 196mm; color: var(--ink); background: var(--paper);
  font: 10pt/1.4 "Noto Sans", "Noto Sans Thai", "DejaVu Sans", system-ui, sans-serif; }
header { display: flex; justify-content: space-between; align-items: flex-start; gap: 8mm;
  border-bottom: 0.6mm solid var(--ink); padding-bottom: 3mm; }
h1 { font-size: 17pt; line-height: 1.2; margin: 0 0 1mm; }
h2 { font-size: 9pt; letter-spacing: .06em; text-transform: uppercase; color: var(--soft);
  margin: 5mm 0 1mm; }
p { margin: 1mm 0; }
.soft { color: var(--soft); }
.warning { color: var(--bad); font-weight: bold; }
.label { flex: none; border: 0.2mm dashed var(--line); line-height: 0; background: #fff; }
.columns { display: flex; gap: 8mm; } .columns > section { flex: 1; min-width: 0; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: normal; color: var(--soft); vertical-align: top;
  padding: .4mm 3mm .4mm 0; white-space: nowrap; }
td { padding: .4mm 3mm .4mm 0; vertical-align: top; overflow-wrap: anywhere; }
tr + tr > * { border-top: 0.1mm solid var(--line); }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.outcome { white-space: nowrap; } .ok, .already { color: var(--good); }
.failed { color: var(--bad); font-weight: bold; }
code { font: 8.5pt/1.35 "DejaVu Sans Mono", ui-monospace, Consolas, monospace; }
.key { display: block; background: var(--field); padding: 1.5mm 2mm; overflow-wrap: anywhere; }
.signatures { display: flex; gap: 8mm; margin-top: 11mm; }
.signatures div { flex: 1; border-top: 0.2mm solid var(--ink); padding-top: 1mm; }
.wide { overflow-x: auto; }
.holder { break-before: page; margin-top: 12mm; } .holder .label { display: inline-block; }
@media screen and (max-width: 600px) { body { padding: 4mm; } header, .columns { display: block; }
  .label { display: inline-block; margin-top: 3mm; }
  .steps tr { display: block; padding: 1mm 0; border-top: 0.1mm solid var(--line); }
  .steps tr > * { display: inline; border: 0; padding: 0 2mm 0 0; } }
@page { size: A4; margin: 10mm; }
@media print { :root { --ink: #000; --soft: #444; --line: #bbb; --paper: #fff; --field: #f4f4f4;
  --good: #000; --bad: #000; } body { padding: 0; max-width: none; font-size: 9pt; }
  section, tr { break-inside: avoid; } }
"""


def text(value: Any) -> str:
    """A value as HTML text; what has no shape on paper (controls, direction marks) is spelt out."""
    shown = "".join(char if char.isprintable() else repr(char)[1:-1] for char in str(value))
    return escape(shown)


def as_html(report: Report) -> str:
    """The report as one page without anything from elsewhere."""
    content = report.record.content
    meter = text(content["meter"])
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy"'
        " content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>Commissioning report {meter}</title><style>{_STYLE}</style></head><body>\n"
        f"{_head(report)}\n"
        '<div class="columns">'
        f"<section><h2>Place and registers</h2>{_rows(_place(report))}</section>"
        f"<section><h2>Meter</h2>{_rows(_meter(report))}</section></div>\n"
        f"<section><h2>Measured at commissioning</h2>{_measured(report.measured)}</section>\n"
        f"<section><h2>Steps</h2>{_steps(report)}</section>\n"
        f"<section><h2>Public key</h2>{_key(report)}</section>\n"
        f"<section><h2>Verified</h2>{''.join(f'<p>{text(x)}</p>' for x in report.statement)}"
        "</section>\n"
        '<div class="signatures"><div>Technician, date</div><div>Customer, date</div></div>\n'
        f"{_holder(report)}</body></html>\n"
    )


def _head(report: Report) -> str:
    simulated = (
        '<p class="warning">A simulated board: no meter of metal was commissioned.</p>'
        if report.simulated
        else ""
    )
    technician = text(report.visit.get("technician", "not named"))
    node = report.record.content["node"]
    return (
        f"<header><div><h1>Meter {text(report.label.meter)}</h1>"
        f"<p>Commissioning report, {text(time_words(report.commissioned_at_s))}</p>"
        f"<p>Technician {technician}, key <code>{_kid(report.technician_key.kid)}</code></p>"
        f'{simulated}<p class="soft">Not type-approved: built so that a type-approved element can'
        f' sit behind it.</p></div><div class="label">{report.label.svg(node)}</div></header>'
    )


def _holder(report: Report) -> str:
    """A page of its own, for the holder to take away."""
    if report.holder is None:
        return ""
    meter = text(report.label.meter)
    use = (
        "Scan it, or open it in a browser"
        if report.holder.is_link
        else "Give it to a validator's page, or: gridwitness verify --from URL --holder SECRET"
    )
    return (
        '<section class="holder"><h2>For the holder of the meter</h2>'
        f"<h1>Your own readings of meter {meter}</h1>"
        "<p>Whoever has this link can read what this meter measured, every quarter of an hour, and"
        " check each reading back to the meter. The network keeps no copy of it: keep this page, do"
        " not leave it with the report, and do not publish a photograph of it.</p>"
        f'<div class="label">{report.holder.qr}</div><p>{use}:</p>'
        f'<code class="key">{text(report.holder.text)}</code></section>\n'
    )


def _kid(kid: bytes) -> str:
    return groups(kid.hex())


def _place(report: Report) -> Iterable[tuple[str, str]]:
    content = report.record.content
    yield "Node", text(content["node"])
    yield "Zone", text(content["zone"])
    if content.get("site"):
        latitude, longitude = content["site"]
        yield "Site", f"{latitude / 1e7:.5f}, {longitude / 1e7:.5f}"
    yield "Import register", kilowatt_hours(report.registers_wh[0])
    yield "Export register", kilowatt_hours(report.registers_wh[1])
    match report.visit.get("start_wh"):
        case [int(import_wh), int(export_wh)]:
            energies = f"{kilowatt_hours(import_wh)} import, {kilowatt_hours(export_wh)} export"
            yield "Element at start", energies
    yield "Seals", ", ".join(map(text, report.seals)) or "none"
    match report.visit.get("old_meter"):
        case {"id": name, "import_wh": int(import_wh), "export_wh": int(export_wh)}:
            energies = f"{kilowatt_hours(import_wh)} import, {kilowatt_hours(export_wh)} export"
            yield "Meter before", f"{text(name)}: {energies}"
    if report.visit.get("note"):
        yield "Note", text(report.visit["note"])


def _meter(report: Report) -> Iterable[tuple[str, str]]:
    content = report.record.content
    yield "Key", f"<code>{_kid(report.meter_key.kid)}</code>"
    yield "Software", f"<code>{report.software_id.hex()}</code>"
    yield "Configuration", f"<code>{groups(report.record.configuration_id.hex())}</code>"
    yield "Element", text(content["element"]["kind"])
    if report.proof is not None:
        yield from _proof(report.proof)
    yield "Modbus unit", text(content["unit"])
    yield "Clock error", f"{report.clock_error_ms / 1000:.3f} s"
    yield "Locked", "yes" if content.get("locked") == 1 else "no"
    if report.board:
        yield "Board", text(report.board)


def _proof(proof: Proof) -> Iterable[tuple[str, str]]:
    event = proof.snapshot.event
    record = "no record yet"
    if proof.record is not None:
        record = f"record {proof.record.reading.sequence}"
    when = text(time_words(event.time_s))
    yield "Meter signed", f"its registers (event {event.number}, {when}), {record}"
    if proof.acknowledged is not None:
        what = "; ".join(each.words for each in proof.stood)
        yield "Acknowledged", f"{text(what)} (event {proof.acknowledged.event.number})"


def kilowatt_hours(energy_wh: int) -> str:
    """A register for people: `12 345.678 kWh`."""
    whole, rest = divmod(abs(energy_wh), 1000)
    grouped = f"{whole:,}".replace(",", "\u202f")
    return f"{'-' if energy_wh < 0 else ''}{grouped}.{rest:03d} kWh"


def _rows(rows: Iterable[tuple[str, str]]) -> str:
    cells = (f'<tr><th scope="row">{name}</th><td>{value}</td></tr>' for name, value in rows)
    return f"<table>{''.join(cells)}</table>"


def _measured(measured: Measured | None) -> str:
    if measured is None:
        return "<p>Nothing was connected: the element was not measured.</p>"
    head = "".join(
        f'<th scope="col" class="number">{name}</th>'
        for name in ("Voltage", "Current", "Power", "Apparent power", "Frequency")
    )
    rows = []
    for number, (voltage_mv, current_ma, power_mw) in enumerate(measured.phases, start=1):
        apparent_va = abs(voltage_mv * current_ma) / 1e6
        values = (
            f"{voltage_mv / 1000:.1f} V",
            f"{current_ma / 1000:.3f} A",
            f"{power_mw / 1000:+.1f} W",
            f"{apparent_va:.1f} VA",
            f"{measured.frequency_mhz / 1000:.2f} Hz",
        )
        cells = "".join(f'<td class="number">{value}</td>' for value in values)
        rows.append(f'<tr><th scope="row">L{number}</th>{cells}</tr>')
    return f'<div class="wide"><table><tr><td></td>{head}</tr>{"".join(rows)}</table></div>'


def _steps(report: Report) -> str:
    rows = "".join(map(_step, report.steps))
    total = (
        '<tr><td></td><td></td><td></td><th scope="row">Together</th>'
        f'<td class="number">{report.seconds:.1f} s</td></tr>'
    )
    return f'<table class="steps">{rows}{total}</table>'


def _step(step: Step) -> str:
    return (
        f'<tr><td class="number">{step.number}</td><th scope="row">{text(step.title)}</th>'
        f'<td class="outcome {step.outcome}">{step.outcome}</td><td>{text(step.words)}</td>'
        f'<td class="number">{step.seconds:.1f} s</td></tr>'
    )


def _key(report: Report) -> str:
    digits = spki(report.meter_key).hex()
    return (
        f'<code class="key">{groups(digits)}</code>'
        '<p class="soft">SubjectPublicKeyInfo, DER in hexadecimal. Fingerprint on the label:'
        f" <code>{groups(report.label.fingerprint)}</code></p>"
    )
