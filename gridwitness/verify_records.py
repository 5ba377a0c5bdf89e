"""`gridwitness verify` of a file of records: what they prove, and which field was forged.

Decides how findings are told. Whether records hold is decided by `wire.series`.
"""

from collections.abc import Callable
from typing import Any

from gridwitness.own_account import words_of
from wire.errors import Malformed, Refused
from wire.faults import Fault, when
from wire.history import History
from wire.reading import Reading
from wire.record_rules import Registered, shown, status_words
from wire.series import Findings, examine

_MOST_TOLD = 10


def damaged_records(reason: Refused) -> tuple[dict[str, Any], str]:
    """The outcome, for scripts and for people, of what is no file of records."""
    words = f"NOT VERIFIED: this is no file of records, or not as it was made: {reason}."
    return {"verified": False, "reason": str(reason), "faults": []}, words


def examine_records(history: History, registered: Registered) -> tuple[dict[str, Any], str]:
    """Check a file of records; returns the outcome for scripts and for people."""
    findings = examine(history, registered)
    if not findings.faults and not findings.records:
        return damaged_records(Malformed("no record follows the commissioning record"))
    return _fields(findings, registered), "\n".join(_lines(findings, registered))


def _fields(found: Findings, registered: Registered) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "verified": not found.faults,
        "reason": _where(found.faults[0]) if found.faults else "",
        "faults": [fault_fields(each) for each in found.faults],
        "complete": found.complete,
        "records": found.records,
        "key": registered.key.text,
        "key_known_from": registered.known_from,
        "duplicates": found.duplicates,
        "missing": [list(run) for run in found.missing],
        "outages": [list(time) for time in found.outages],
        "boots": found.boots,
        "events": found.events,
        "status": found.status,
        "status_words": words_of(found.status),
        "cleared": [list(each) for each in found.cleared],
        "import_advance_wh": found.import_wh,
        "export_advance_wh": found.export_wh,
    }
    if found.records:
        first, last = _ends(found)
        fields |= {
            "meter": first.meter,
            "node": last.node,
            "first_sequence": first.sequence,
            "last_sequence": last.sequence,
            "start_s": first.interval_start_s,
            "end_s": last.interval_start_s + last.interval_s,
            "import_wh": last.import_wh,
            "export_wh": last.export_wh,
        }
    return fields


def fault_fields(fault: Fault) -> dict[str, Any]:
    """A fault for scripts."""
    return {
        "place": fault.place,
        "sequence": fault.sequence,
        "part": fault.part,
        "field": fault.key if fault.part == "payload" else None,
        "header": fault.key if fault.part == "header" else None,
        "name": fault.name,
        "found": fault.found,
        "expected": fault.expected,
        "proved": fault.proved,
        "words": fault.words,
    }


def _where(fault: Fault) -> str:
    """A fault with the record that it is about."""
    if fault.part == "file":
        return f"the file breaks off: {fault.words}"
    if fault.sequence is None:
        return f"item {fault.place + 1} of the file: {fault.words}"
    return f"record {fault.sequence}: {fault.words}"


def _lines(found: Findings, registered: Registered) -> list[str]:
    lines: list[str] = []
    if found.faults:
        first, *others = found.faults
        lines.append(f"NOT VERIFIED: {_where(first)}.")
        lines += [f"  also      {_where(each)}." for each in others[: _MOST_TOLD - 1]]
        if len(found.faults) > _MOST_TOLD:
            lines.append(f"  and       {len(found.faults) - _MOST_TOLD} more")
        if not found.complete:
            lines.append("  the file was not read to its end")
        if not found.records:
            return [*lines, f"Nothing holds under the key {registered.key.kid.hex()}."]
        put_right = all(fault.proved for fault in found.faults)
        lines.append(f"{'With that put right' if put_right else 'What holds'}: {_who(found)}")
    else:
        lines.append(f"VERIFIED: {_who(found)}")
    return [*lines, *_measured(found), *_gaps(found), *_rests_on(found, registered)]


def _who(found: Findings) -> str:
    first, last = _ends(found)
    records = "1 record" if found.records == 1 else f"{found.records} records"
    span = f"sequence {first.sequence}"
    if found.records > 1:
        span += f" to {last.sequence}"
    return f"{records} of meter {first.meter} at {last.node}, {span}"


def _ends(found: Findings) -> tuple[Reading, Reading]:
    assert found.first is not None, "records were counted"
    assert found.last is not None, "records were counted"
    return found.first, found.last


def _measured(found: Findings) -> list[str]:
    first, last = _ends(found)
    import_wh = first.import_wh - first.import_advance_wh
    export_wh = first.export_wh - first.export_advance_wh
    start, end = when(first.interval_start_s), when(last.interval_start_s + last.interval_s)
    return [
        f"  measured  {found.import_wh} Wh in, {found.export_wh} Wh out",
        f"            from {start} to {end}",
        f"            registers from {import_wh} to {last.import_wh} Wh in,"
        f" {export_wh} to {last.export_wh} Wh out",
    ]


def _gaps(found: Findings) -> list[str]:
    lines = [f"  chain     {_chain(found)}"]
    if found.missing:
        lines.append(f"  missing   {_some(found.missing, _run)}")
    if found.outages:
        lines.append(f"  outages   nothing was recorded from {_some(found.outages, _time)}")
    if found.duplicates:
        times = "once" if found.duplicates == 1 else f"{found.duplicates} times"
        lines.append(f"  twice     the file repeats records, byte for byte, {times}")
    lines += [f"  cleared   {_cleared(each)}" for each in found.cleared[:_MOST_TOLD]]
    if len(found.cleared) > _MOST_TOLD:
        lines.append(f"  and       {len(found.cleared) - _MOST_TOLD} times more")
    return lines


def _cleared(cleared: tuple[int, int, int]) -> str:
    """A bit that only somebody's acknowledgement takes away; the records do not say whose."""
    bits, before, after = cleared
    were = "bit {} was" if bits & (bits - 1) == 0 else "bits {} were"
    return (
        f"{were.format(status_words(bits))} cleared between record {before} and {after}:"
        " who acknowledged it stands in the meter's event log only"
    )


def _chain(found: Findings) -> str:
    first, _ = _ends(found)
    if found.faults:
        return "not as the meter made it, see above"
    if found.missing:
        return "with gaps: what is there holds, and something is missing"
    if found.records == 1:
        return "not to be seen: a single record says nothing about others"
    begins = "" if first.sequence == 0 else " from there on"
    if first.origin:
        return "complete: the gateway's numbers follow one another"
    return f"complete{begins}: each record carries the hash of the one before"


def _run(run: tuple[int, int]) -> str:
    first, last = run
    if first == last:
        return f"record {first}"
    return f"{last - first + 1} records, {first} to {last}"


def _time(span: tuple[int, int]) -> str:
    return f"{when(span[0])} to {when(span[1])}"


def _some(entries: list[tuple[int, int]], words: Callable[[tuple[int, int]], str]) -> str:
    told = "; ".join(map(words, entries[:_MOST_TOLD]))
    return told if len(entries) <= _MOST_TOLD else f"{told}; and more"


def _rests_on(found: Findings, registered: Registered) -> list[str]:
    what = ", ".join(shown(value) for _, value in sorted(registered.fields.items()))
    known = f", and {registered.source} ({what})" if what else ""
    whence = f" ({registered.known_from})" if registered.known_from else ""
    return [
        f"  meter     {_life(found)}status bits seen: {status_words(found.status)}",
        f"This rests on the key {registered.key.kid.hex()}{whence}{known}.",
    ]


def _life(found: Findings) -> str:
    """What changed between a meter's own records: a single one, and a gateway, tell nothing."""
    first, _ = _ends(found)
    if found.records == 1 or first.origin:
        return ""
    boots = "once" if found.boots == 1 else f"{found.boots} times" if found.boots else "never"
    events = "1 event" if found.events == 1 else f"{found.events} events"
    return f"booted {boots}, logged {events}; "
