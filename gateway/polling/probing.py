"""Who answers at an address, and whether it counts what its template says: reads only.

Decides how a template's identity and mode checks are asked and judged: an answer that holds, one
that differs, a question that the device refuses (then nobody knows). A device is taken for a make
when all its identity checks hold; the make is sure when one of them names it. What is done about a
wrong one is the asker's business: `check` for a bus's actor, `identify` for people.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from gateway.config import SIGNING
from gateway.lines.frames import READ_HOLDING, DeviceRefused, Garbled, Request
from gateway.lines.line import NoAnswer
from gateway.meters.energy import Ask, NoSuchModel, find_base
from gateway.meters.template import Check, Template
from gateway.meters.words import number_of, words_bytes
from gateway.polling.window import BASE, LAYOUT, MAGIC, WrongMeter

_SIGNING_ID, _ID_WORDS = BASE + 16, 40


class Verdict(StrEnum):
    """What came of a check."""

    HOLDS = "holds"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """One check and what the device said."""

    check: Check
    """What was asked."""

    verdict: Verdict
    """UNKNOWN: the device refused the question."""

    says: str
    """The registers in words, for people."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A device held against a template."""

    template: Template
    """Which one."""

    base: int
    """Where the SunSpec model begins; 0 outside SunSpec, -1 when it is not there."""

    identity: tuple[Answer, ...]
    """What it is."""

    modes: tuple[Answer, ...]
    """How it is set; only asked when the identity holds."""

    @property
    def matches(self) -> bool:
        """Whether the device can be one of these: nothing differs, and something holds."""
        if self.template.energy_registers.model:
            return self.base >= 0
        verdicts = {each.verdict for each in self.identity}
        return verdicts == {Verdict.HOLDS}

    @property
    def sure(self) -> bool:
        """Whether it names itself."""
        if self.template.energy_registers.model:
            return self.matches
        return self.matches and any(each.check.sure for each in self.identity)

    @property
    def wrong_modes(self) -> tuple[Answer, ...]:
        """Settings with which its registers mean something else."""
        return tuple(
            each for each in self.modes if each.check.holds and each.verdict is Verdict.DIFFERS
        )

    @property
    def as_made(self) -> bool:
        """Whether no harmless mode differs; a harmful one is told, never a reason to hide it."""
        return all(each.check.holds or each.verdict is not Verdict.DIFFERS for each in self.modes)


async def check(ask: Ask, unit: int, template: Template) -> int:
    """See that a meter is what its template says; returns the base of its SunSpec model.

    Hints (voltages, frequencies) are no reason to refuse a meter: a phase can be without voltage.

    Raises:
        WrongMeter: it names itself as something else, or its setting makes other values.
        NoAnswer, Garbled: it could not be asked.
    """
    try:
        base = await find_base(ask, unit, template)
    except NoSuchModel as reason:
        raise WrongMeter(f"{template.name}: {reason}") from None
    for each in (*template.identity, *template.modes):
        mode = each in template.modes
        if not each.sure or (mode and not each.holds):
            continue
        answer = await _ask(ask, unit, each, template.silence_ms)
        if answer.verdict is Verdict.DIFFERS:
            harm = f": {each.harm}" if mode else f"; it is no {template.name}"
            raise WrongMeter(f"unit {unit}: {each.what} is {answer.says}{harm}")
    return base


async def probe(ask: Ask, unit: int, template: Template) -> Probe:
    """Hold a device against a template; raises NoAnswer or Garbled."""
    base = 0
    try:
        base = await find_base(ask, unit, template)
    except NoSuchModel:
        base = -1
    identity: list[Answer] = []
    for each in template.identity:
        identity.append(await _ask(ask, unit, each, template.silence_ms))
        if identity[-1].verdict is Verdict.DIFFERS:
            return Probe(template, base, tuple(identity), ())
    modes = [await _ask(ask, unit, each, template.silence_ms) for each in template.modes]
    return Probe(template, base, tuple(identity), tuple(modes))


async def identify(ask: Ask, unit: int, templates: Sequence[Template]) -> list[Probe]:
    """All templates that a device may be read with, the sure ones alone when there are any.

    Among hints those with the most that holds, among the sure those with the modes that they were
    made for: a variant without export is named when there is no other.

    Args:
        ask: asks; each request is asked once, however many templates want it.
        unit: the device's address.
        templates: what it can be.
    """
    remembered = _Remembered(ask)
    found: list[Probe] = []
    for template in templates:
        if template.identity or template.energy_registers.model:
            held = await probe(remembered.ask, unit, template)
            found += [held] if held.matches else []
    if sure := [each for each in found if each.sure]:
        return [each for each in sure if each.as_made] or sure
    most = max((len(each.identity) for each in found), default=0)
    return [each for each in found if len(each.identity) == most]


async def signing_id(ask: Ask, unit: int) -> str:
    """The id of a meter that signs its readings; empty when it is none."""
    try:
        if await ask(Request(unit, READ_HOLDING, BASE, 2), 0) != (MAGIC, LAYOUT):
            return ""
        words = await ask(Request(unit, READ_HOLDING, _SIGNING_ID, _ID_WORDS), 0)
    except (DeviceRefused, NoAnswer, Garbled):
        return ""
    return _text(words_bytes(words)) or SIGNING


class _Remembered:
    """Asks each request once; a device that stays silent to one is taken to refuse it."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._answers: dict[Request, tuple[int, ...] | DeviceRefused] = {}

    async def ask(self, request: Request, silence_ms: int) -> tuple[int, ...]:
        """The answer, from memory when it was given before."""
        if request not in self._answers:
            try:
                self._answers[request] = await self._ask(request, silence_ms)
            except DeviceRefused as reason:
                self._answers[request] = reason
            except NoAnswer:
                self._answers[request] = DeviceRefused(0)
        answer = self._answers[request]
        if isinstance(answer, DeviceRefused):
            raise answer
        return answer


async def _ask(ask: Ask, unit: int, check_: Check, silence_ms: int) -> Answer:
    block = check_.block
    try:
        words = await ask(Request(unit, block.function, block.address, block.words), silence_ms)
    except DeviceRefused as reason:
        return Answer(check_, Verdict.UNKNOWN, f"refused (exception {reason.exception})")
    octets = words_bytes(words)
    if check_.equals:
        return Answer(check_, _verdict(octets in check_.equals), octets.hex(" ", 2))
    if check_.text:
        text = _text(octets)
        return Answer(check_, _verdict(text.startswith(check_.text)), repr(text))
    number = number_of(check_.number, words)
    if number is None or check_.between is None:
        return Answer(check_, Verdict.DIFFERS, octets.hex(" ", 2))
    low, high = check_.between
    return Answer(check_, _verdict(low <= number <= high), f"{float(number):g}")


def _verdict(holds: bool) -> Verdict:
    return Verdict.HOLDS if holds else Verdict.DIFFERS


def _text(octets: bytes) -> str:
    """A text in registers: up to the first zero, what is not printable shown as such."""
    return octets.partition(b"\0")[0].decode("ascii", "replace")
