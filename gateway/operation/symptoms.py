"""What a running gateway's report means, in words: what is wrong, why probably, what to do.

Pure: a report of the status page in, findings out. Doctor, the status page and the tests of the
disasters read the same words.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.delivery.relay import NOBODY
from gateway.operation.clock_words import clock_words, meters_clock_words
from gateway.timing import ClockQuality

OLD_S = 3 * 3_600
"""A reading that has no receipt for so long is worth a word."""

CLOCKS = ("clock", "meters' clocks")
"""Findings of clocks: the gateway's own, and those of meters that sign."""

AS_IN_FILE = "as in its file"
"""What a gateway says whose newest configuration is in force."""

WORTHLESS = 10
"""Answers that prove nothing: a few can be an old session's."""

_GARBLED_SHARE = 100
"""One garbled answer in so many is a line that wants looking at."""

_FEW = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    """Its name."""

    good: bool
    """Whether it is as it should be."""

    words: str
    """What was found, and what to do."""


def symptoms(report: Mapping[str, Any]) -> list[Finding]:
    """Everything that a report says of a running gateway."""
    found = [_disk(report["disk"]), _readings(report), _kept(report), _token(report)]
    found += [_broker(report), _answers(report["answers"]), _time(report)]
    found += _clocks(report["clock"])
    found += [_place(report["place"]), _configuration(report["configuration"])]
    for name, bus in report["buses"].items():
        found += _bus(name, bus, report)
    return found


def age_words(seconds: int) -> str:
    """A duration for people."""
    for unit, length_s in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds // length_s} {unit}"
    return f"{seconds} s"


def disk_finding(used_percent: int, free_mb: int, alarm_percent: int, full: bool) -> Finding:
    """A disk's marks in words."""
    words = f"{used_percent} % full, {free_mb} MB free"
    if full:
        words += (
            ": FULL. New readings wait and nothing is dropped; acknowledgements go on. Make room"
            " now: each boundary that passes without room is a gap"
        )
    elif alarm_percent:
        words += f": above the mark of {alarm_percent} %; make room" + (
            " now" if alarm_percent > 90 else " soon"
        )
    return Finding("disk", not (full or alarm_percent), words)


def _disk(disk: Mapping[str, Any]) -> Finding:
    return disk_finding(disk["used_percent"], disk["free_mb"], disk["alarm_percent"], disk["full"])


def _readings(report: Mapping[str, Any]) -> Finding:
    """Those on their way to a receipt, and where they wait."""
    age_s = report["oldest_age_s"]
    waiting = {name: report[name] for name in ("closed", "queued", "witnessed", "published")}
    if age_s < 0:
        return Finding("readings", True, f"all {report['final']} have their receipts")
    words = f"{sum(waiting.values())} without a receipt, the oldest {age_words(age_s)} old"
    if age_s < OLD_S:
        return Finding("readings", True, words)
    if waiting["closed"] or (waiting["queued"] and report["token"] != "ready"):
        words += "; they wait for a signature: see token"
    elif report["broker"] != "connected":
        words += "; they wait for the broker: nothing is lost, and they go when it is back"
    elif waiting["published"] or waiting["witnessed"]:
        words += "; the broker has them and no receipt comes: are the validators up?"
    else:
        words += "; they were refused for a reason that can be cured, and are tried again"
    return Finding("readings", False, words)


def _kept(report: Mapping[str, Any]) -> Finding:
    refused, apart = report["refused"], report["apart"]
    if not refused and not apart:
        return Finding("refused", True, "no reading was refused for good")
    return Finding(
        "refused",
        False,
        f"{refused} readings refused by the validators, {apart} records of meters that do not hold:"
        " `gridwitness gateway refused` shows why; they are kept until a person removes them",
    )


def _token(report: Mapping[str, Any]) -> Finding:
    if report["token"] == "ready":
        return Finding("signing", True, "both keys sign")
    return Finding(
        "signing",
        False,
        f"{report['token_reason'] or 'the token is away'}; readings wait and none is lost",
    )


def _broker(report: Mapping[str, Any]) -> Finding:
    refusal = report["broker_refusal"]
    if refusal:
        if refusal == NOBODY:
            return Finding(
                "relay",
                False,
                f"the broker: {refusal}; are the validators up, and do "
                "they use this broker? Nothing is lost: batches are sent again",
            )
        hint = "is the gateway's name in the broker's access list, and its certificate the newest?"
        return Finding("relay", False, f"the broker refuses ({refusal}): {hint}")
    if report["broker"] != "connected":
        return Finding("relay", False, "the broker is away; batches wait, and none is lost")
    return Finding("relay", True, "connected to the broker")


def _answers(answers: Mapping[str, int]) -> Finding:
    worthless = answers.get("worthless", 0)
    if worthless < WORTHLESS:
        return Finding("answers", True, f"{answers.get('settled', 0)} batches settled by receipts")
    return Finding(
        "answers",
        False,
        f"{worthless} answers prove nothing (of another network, too few seals, or forged) and"
        " changed nothing: is this gateway's genesis file the network's?",
    )


def _time(report: Mapping[str, Any]) -> Finding:
    if report["time"] == "known":
        return Finding("time", True, "boundaries can be trusted")
    return Finding(
        "time",
        False,
        f"{report['time']}: no boundary is read before, and zones of its meters are INCONCLUSIVE;"
        " check chrony's sources",
    )


def _clocks(clock: Mapping[str, Any]) -> list[Finding]:
    quality = ClockQuality(clock["quality"], clock["error_ms"])
    found = [Finding(CLOCKS[0], *clock_words(quality, clock["skew_missing_s"]))]
    meters = meters_clock_words(clock)
    return [*found, Finding(CLOCKS[1], False, meters)] if meters else found


def _place(place: Mapping[str, Any]) -> Finding:
    if place["moved"]:
        return Finding(
            "place",
            False,
            f"the receiver says {place['from_site_m']} m from the surveyed site, and statements"
            " name that: was the gateway moved? If so, have its site registered anew; if not,"
            " look at the receiver's antenna",
        )
    if place["receiver"] in ("none", "fixes"):
        return Finding("place", True, f"by {place['source']}, within {place['accuracy_m']:.0f} m")
    words = f"{place['receiver']}; statements name the surveyed site meanwhile and say so"
    return Finding("place", place["receiver"] == "starting", words)


def _configuration(words: str) -> Finding:
    return Finding("configuration", words == AS_IN_FILE, words)


def _bus(name: str, bus: Mapping[str, Any], report: Mapping[str, Any]) -> Iterator[Finding]:
    what = f"bus {name}"
    meters = {each: report["meters"][each]["state"] for each in bus["meters"]}
    dead = [each for each, state in meters.items() if state == "dead"]
    held = [each for each, state in meters.items() if state == "held"]
    refusing = [each for each, state in meters.items() if state == "refusing"]
    errors = bus["errors"]
    garbled = errors.get("garbled", 0)
    if bus["state"] == "down":
        yield Finding(what, False, f"the line cannot be opened: {bus['reason']}")
    elif bus["state"] == "babbling":
        units = ", ".join(map(str, bus["babbling_units"])) or "nobody knows which"
        yield Finding(
            what, False, f"someone talks without being asked (unit {units}): take it off the line"
        )
    elif dead and len(dead) == len(meters):
        yield Finding(what, False, _nobody(garbled))
    elif dead or held or refusing:
        words = [_some(dead, held, report["meter_errors"]), *map(_refusing, refusing)]
        yield Finding(what, False, "; ".join(filter(None, words)))
    elif garbled >= _FEW and garbled * _GARBLED_SHARE > bus["answers"]:
        yield Finding(what, False, _noise(garbled, bus, report["meter_errors"]))
    else:
        echo = "; the adapter hears its own requests, which is allowed for" if bus["echoes"] else ""
        yield Finding(what, True, f"{len(meters)} meters answer{echo}")


def _nobody(garbled: int) -> str:
    if garbled >= _FEW:
        return (
            f"nobody is understood, and {garbled} answers were garbled: baud rate, parity or stop"
            " bits are not the meters'"
        )
    return (
        "nobody answers: A and B swapped, no power, the wrong adapter, or another baud rate."
        " Swap A and B at the adapter first; it harms nothing"
    )


def _some(dead: list[str], held: list[str], errors: Mapping[str, Mapping[str, int]]) -> str:
    said = []
    for meter in dead:
        if errors.get(meter, {}).get("garbled", 0) >= _FEW:
            said.append(
                f"{meter} answers garbled: a second device with its address, or a bad joint there"
            )
        else:
            said.append(f"{meter} is silent while others answer: its address, power or cable")
    said += [
        f"{meter} is not what is registered, or is set so that it counts otherwise: gateway probe"
        " says which; nothing is read from it"
        for meter in held
    ]
    return "; ".join(said)


def _refusing(meter: str) -> str:
    return (
        f"{meter} answers and gives no energy, and is asked again at each interval's end: another"
        " make than its template, or it has not woken up; gateway probe says which"
    )


def _noise(garbled: int, bus: Mapping[str, Any], errors: Mapping[str, Mapping[str, int]]) -> str:
    by_meter = {each: errors.get(each, {}).get("garbled", 0) for each in bus["meters"]}
    worst = max(by_meter, key=lambda each: by_meter[each])
    if len(by_meter) > 1 and by_meter[worst] * 10 >= garbled * 9:
        return (
            f"{garbled} garbled answers, nearly all of {worst}: a second device with its address,"
            " or a bad joint there"
        )
    return (
        f"{garbled} garbled answers in {bus['answers']}: termination (120 ohms at both ends, and"
        " nowhere else), a missing common wire, or noise from a cable beside it"
    )
