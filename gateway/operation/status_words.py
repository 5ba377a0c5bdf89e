"""A running gateway's report as text for a terminal: what is out of order stands in it, in words.

Pure. What the words mean, and what to do, says `operation.symptoms`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.operation.symptoms import AS_IN_FILE, CLOCKS, symptoms

_STATES = ("closed", "queued", "witnessed", "published", "final", "refused")


def status_words(report: Mapping[str, Any]) -> Iterator[str]:
    """The lines of `gridwitness gateway status`."""
    yield (
        f"{report['gateway']} of {report['network']}: "
        f"broker {report['broker']}, token {report['token']}"
    )
    if report["configuration"] != AS_IN_FILE:
        yield f"configuration: {report['configuration']}"
    if report["time"] != "known":
        yield f"time: {report['time']}"
    for each in symptoms(report):
        if each.what == "place" or (each.what in CLOCKS and not each.good):
            yield f"{each.what}: {each.words}"
    yield "readings: " + ", ".join(f"{report[name]} {name}" for name in _STATES)
    for name, bus in report["buses"].items():
        reason = f", {bus['reason']}" if bus["reason"] else ""
        yield f"bus {name}: {bus['state']}{reason}"
        for meter in bus["meters"]:
            yield f"  {meter}: {_meter(report['meters'][meter])}"


def _meter(meter: Mapping[str, Any]) -> str:
    last = meter["last_sequence"]
    return f"{meter['state']}, {meter['kind']}, " + (
        f"last sequence {last}" if last >= 0 else "no reading yet"
    )
