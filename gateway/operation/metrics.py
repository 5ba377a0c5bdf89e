"""A gateway's report as Prometheus text (exposition format 0.0.4).

Decides the names: each begins with `gridwitness_gateway_`, and a class of errors is a label. What
is counted is decided where it is counted.
"""

from collections.abc import Iterable, Mapping
from typing import Any

COUNTED = (
    "closed",
    "queued",
    "witnessed",
    "published",
    "final",
    "refused",
    "duplicates",
    "apart",
    "gaps",
)
_PREFIX = "gridwitness_gateway_"
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

Sample = tuple[Mapping[str, str], float | int]
"""Labels and value."""

Family = tuple[str, str, Iterable[Sample]]
"""Name, kind and samples of a metric."""


def metrics(report: Mapping[str, Any]) -> str:
    """The text of a report."""
    disk = report["disk"]
    families: list[Family] = [
        ("readings", "gauge", [({"state": name}, report[name]) for name in COUNTED]),
        ("final_total", "counter", [({}, report["final"])]),
        ("oldest_reading_age_seconds", "gauge", [({}, report["oldest_age_s"])]),
        ("newest_final_start_seconds", "gauge", [({}, report["newest_final_s"])]),
        ("last_interval_start_seconds", "gauge", [({}, report["last_interval_start_s"])]),
        ("up", "gauge", _up(report)),
        ("clock_error_ms", "gauge", [({}, report["clock"]["error_ms"])]),
        ("answers_total", "counter", _classes(report["answers"], {})),
        ("disk_used_percent", "gauge", [({}, disk["used_percent"])]),
        ("disk_alarm_percent", "gauge", [({}, disk["alarm_percent"])]),
        ("disk_full", "gauge", [({}, int(disk["full"]))]),
        ("disk_reserve", "gauge", [({}, int(disk["reserve"]))]),
        *_of_lines(report["meters"], report["buses"], report["meter_errors"]),
    ]
    return "".join(_family(*family) for family in families)


def _of_lines(
    meters: Mapping[str, Any], buses: Mapping[str, Any], meter_errors: Mapping[str, Any]
) -> list[Family]:
    return [
        (
            "meter_live",
            "gauge",
            [({"meter": name}, int(each["state"] == "live")) for name, each in meters.items()],
        ),
        (
            "meter_errors_total",
            "counter",
            [
                sample
                for name, kinds in meter_errors.items()
                for sample in _classes(kinds, {"meter": name})
            ],
        ),
        (
            "bus_up",
            "gauge",
            [({"bus": name}, int(each["state"] == "up")) for name, each in buses.items()],
        ),
        (
            "bus_answers_total",
            "counter",
            [({"bus": name}, each["answers"]) for name, each in buses.items()],
        ),
        (
            "bus_errors_total",
            "counter",
            [
                sample
                for name, each in buses.items()
                for sample in _classes(each["errors"], {"bus": name})
            ],
        ),
    ]


def _up(report: Mapping[str, Any]) -> list[Sample]:
    good = {"broker": "connected", "token": "ready", "time": "known"}
    return [({"part": part}, int(report[part] == state)) for part, state in good.items()]


def _classes(counts: Mapping[str, int], labels: Mapping[str, str]) -> list[Sample]:
    return [({**labels, "kind": kind}, count) for kind, count in counts.items()]


def _family(name: str, kind: str, samples: Iterable[Sample]) -> str:
    lines = [f"# TYPE {_PREFIX}{name} {kind}"]
    for labels, value in samples:
        inside = ",".join(f'{key}="{text.translate(_ESCAPES)}"' for key, text in labels.items())
        lines.append(
            f"{_PREFIX}{name}{{{inside}}} {value}" if inside else f"{_PREFIX}{name} {value}"
        )
    return "\n".join(lines) + "\n"
