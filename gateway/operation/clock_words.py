"""What a clock's error makes of the readings that it dates: in words, with the cure.

Decides when a gateway's clock, or that of a meter which signs, is so badly known that the network's
rules count its readings as missing (`skew_missing_s`): then each is accepted, and the zones of its
meters are sealed INCONCLUSIVE. Pure; who asks the kernel and the meters is `gateway.service`.
"""

from collections.abc import Mapping
from typing import Any

from gateway.polling.meter_time import MeterState, may_give
from gateway.timing import SYNCHRONISED, UNKNOWN, ClockQuality
from wire.genesis import Genesis

SKEW_MISSING_S = 10
"""What the rules take where the genesis file names no other."""

CURE = (
    "apt-get install chrony, and see that `chronyc sources` names one with a star; where the clock"
    " is good and the kernel cannot know (a container), authorities set skew_missing_s higher"
)
METERS_CURE = "it is given the time within the hour while the gateway's clock is good"


def skew_missing_s(genesis: Genesis) -> int:
    """Above which error a reading counts as missing, seconds, as the network began."""
    return int(genesis.parameters.get("skew_missing_s", SKEW_MISSING_S))


def clock_report(
    quality: ClockQuality, genesis: Genesis, signing: Mapping[str, MeterState]
) -> dict[str, Any]:
    """What a running gateway tells of clocks: its own, and those of meters that sign.

    Args:
        quality: of the gateway's clock.
        genesis: the network's.
        signing: what meters have said of themselves, by id.
    """
    return {
        "quality": quality.quality,
        "error_ms": quality.error_ms,
        "skew_missing_s": skew_missing_s(genesis),
        "meters": {
            name: {"quality": each.clock_quality, "error_s": each.clock_error_s}
            for name, each in signing.items()
        },
    }


def clock_words(quality: ClockQuality, most_s: int) -> tuple[bool, str]:
    """Whether a gateway's clock is good enough, and what follows when it is not.

    Args:
        quality: what its kernel says.
        most_s: the network's `skew_missing_s` in its genesis file.
    """
    error_s = -(-quality.error_ms // 1000)
    if quality.quality >= SYNCHRONISED and error_s <= most_s:
        return True, f"synchronised, off by at most {quality.error_ms} ms"
    words = ["nothing disciplines this machine's clock"]
    if quality.quality >= SYNCHRONISED:
        words = [f"this machine's clock may be {error_s} s off"]
    elif quality.quality == UNKNOWN:
        words = ["nobody knows how far this machine's clock is off"]
    if error_s > most_s:
        words.append(
            f"readings that the gateway signs say {error_s} s, more than {_began(most_s)}. Unless"
            " it was, each counts as missing, and the zones of its meters are INCONCLUSIVE"
        )
    if not may_give(quality):
        words.append(
            "meters that sign are given no time, and count as missing too once their own clocks"
            " admit more than that parameter allows"
        )
    return False, f"{'; '.join(words)}. {CURE}"


def _began(most_s: int) -> str:
    """The limit, of which a gateway knows only what it was when the network began."""
    return (
        f"skew_missing_s ({most_s} in the genesis file; raised since? ask a validator:"
        " /api/v1/governance/parameters)"
    )


def meters_clock_words(report: Mapping[str, Any]) -> str:
    """Which meters that sign have a clock whose readings count as missing; empty when none has."""
    most_s = report["skew_missing_s"]
    found = []
    for name, clock in sorted(report["meters"].items()):
        if clock["quality"] == UNKNOWN:
            found.append(f"{name} does not know the time")
        elif clock["error_s"] > most_s:
            found.append(f"{name} says that its clock may be {clock['error_s']} s off")
    if not found:
        return ""
    return (
        f"{'; '.join(found)}: above {_began(most_s)}; above what is in force a reading counts as"
        f" missing, and its zone is INCONCLUSIVE; {METERS_CURE}"
    )
