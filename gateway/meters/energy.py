"""A meter's energy registers, asked for over whatever line: found first where they can move.

Decides which requests a template's energy takes, and where a SunSpec device keeps the model that
its energy is in: the list of models begins with "SunS" at one of three addresses, and each model
tells its number and length (SunSpec Device Information Model Specification, section 6). What the
words mean is for `meters.decode`.
"""

from collections.abc import Awaitable, Callable

from gateway.lines.frames import READ_HOLDING, DeviceRefused, Request
from gateway.meters.template import SUNSPEC_BASES, Template
from wire.errors import Refused

Ask = Callable[[Request, int], Awaitable[tuple[int, ...]]]
"""Asks one request after some milliseconds of silence; returns the registers of the reply."""

HEAD_WORDS = 2
"""Registers of a model's head: its number and its length."""

_SUNS = (0x5375, 0x6E53)
_END = 0xFFFF
_MOST_MODELS = 64
_LAST_REGISTER = 0xFFFF


class NoSuchModel(Refused):
    """The device has no list of SunSpec models, or not the model that was looked for."""

    code = "no-such-model"


async def find_base(ask: Ask, unit: int, template: Template) -> int:
    """What to add to the addresses of the template's energy; 0 outside SunSpec.

    Raises:
        NoSuchModel: the device does not have it.
    """
    model = template.energy_registers.model
    if not model:
        return 0
    models = await sunspec_models(ask, unit, template.silence_ms)
    if model not in models:
        there = ", ".join(map(str, models)) or "none"
        raise NoSuchModel(f"unit {unit} has no SunSpec model {model}; its models: {there}")
    return models[model]


async def sunspec_models(ask: Ask, unit: int, silence_ms: int) -> dict[int, int]:
    """The device's SunSpec models with their first registers; empty when it has none."""
    for base in SUNSPEC_BASES:
        if await _read(ask, unit, base, silence_ms) == _SUNS:
            return await _walk(ask, unit, base + len(_SUNS), silence_ms)
    return {}


async def _walk(ask: Ask, unit: int, address: int, silence_ms: int) -> dict[int, int]:
    found: dict[int, int] = {}
    for _ in range(_MOST_MODELS):
        head = await _read(ask, unit, address, silence_ms)
        if head is None or head[0] in (_END, 0):
            break
        found.setdefault(head[0], address)
        address += len(head) + head[1]
        if address + len(head) > _LAST_REGISTER:
            break
    return found


async def _read(ask: Ask, unit: int, address: int, silence_ms: int) -> tuple[int, ...] | None:
    """Two registers, or None when the device says that it has none there."""
    try:
        return await ask(Request(unit, READ_HOLDING, address, HEAD_WORDS), silence_ms)
    except DeviceRefused:
        return None


async def read_energy(ask: Ask, unit: int, template: Template, base: int) -> tuple[int, ...]:
    """The words of the template's energy, for `meters.decode`."""
    words: tuple[int, ...] = ()
    for block in template.energy_registers.blocks:
        request = Request(unit, block.function, base + block.address, block.words)
        words += await ask(request, template.silence_ms)
    return words
