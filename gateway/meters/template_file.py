"""One template's file: read, and refused whole when it says too little or contradicts itself.

Decides which keys there are and which combinations make sense: a fence whose length no other read
has, registers inside their request, a request not longer than the meter allows, golden frames with
right check sums. What the values mean is written at `meters.template`.
"""

import hashlib
import itertools
import re
import tomllib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from gateway.config_table import BadConfiguration, Table
from gateway.lines.frames import READ_HOLDING, READ_INPUT, check_sum
from gateway.meters.template import (
    HIGH_FIRST,
    LOW_FIRST,
    MOST_EVIDENCE,
    SIZES,
    Block,
    Check,
    Energy,
    Golden,
    LineDefaults,
    Number,
    Template,
    UnknownTemplate,
)

_ORDERS = (HIGH_FIRST, LOW_FIRST)
_PARITIES = ("none", "even", "odd")
_MOST_WORDS = 125
_LAST_REGISTER = 0xFFFF
_SHORTEST_FRAME = 5


def parse(content: bytes) -> Template:
    """Read a template's file; raises UnknownTemplate when something is missing or contradictory."""
    try:
        table = Table(tomllib.loads(content.decode()), "template", Path())
        template = _template(table, hashlib.sha256(content).digest()[:8])
        table.end()
        _check(template)
    except (ArithmeticError, BadConfiguration, RecursionError, TypeError, ValueError) as reason:
        raise UnknownTemplate(f"a template that cannot be used: {reason}") from None
    return template


def _template(top: Table, digest: bytes) -> Template:
    name = top.take("name", str)
    source, line, fence = top.table("source"), top.table("line"), top.table("fence")
    function = line.number("function", READ_HOLDING, READ_INPUT)
    template = Template(
        name=name,
        hash=digest,
        source=f"{source.take('document', str)}, {source.take('place', str)}",
        meters=_strings(source, "meters"),
        traps=_strings(source, "traps"),
        doubts=_strings(source, "doubts"),
        by_hand=_strings(source, "by_hand"),
        factory=LineDefaults(
            line.number("baudrate", 0, 1_000_000, 0),
            line.one_of("parity", _PARITIES),
            line.number("stopbits", 1, 2, 1),
        ),
        silence_ms=line.number("silence_ms", 0, 5_000),
        most_words=line.number("most_words", 1, _MOST_WORDS),
        energy_registers=_energy(top.table("energy"), function),
        fence=_block(fence, function),
        identity=tuple(_check_of(each, function) for each in top.tables("identity")),
        modes=tuple(_check_of(each, function) for each in top.tables("mode")),
        golden=tuple(_golden(each) for each in top.tables("golden")),
    )
    for each in (source, line, fence):
        each.end()
    return template


def _strings(table: Table, key: str) -> tuple[str, ...]:
    found = table.take(key, list, [])
    if not all(isinstance(each, str) for each in found):
        raise table.wrong(key, "needs to be a list of texts")
    return tuple(found)


def _block(table: Table, function: int) -> Block:
    return Block(
        table.number("function", READ_HOLDING, READ_INPUT, function),
        table.number("address", 0, _LAST_REGISTER),
        table.number("words", 1, _MOST_WORDS),
    )


def _energy(table: Table, function: int) -> Energy:
    reads = table.tables("read")
    blocks = tuple(_block(each, function) for each in reads)
    for each in reads:
        each.end()
    energy = Energy(
        blocks=blocks,
        number=_number(table),
        unit_wh=Fraction(table.take("unit_wh", str)),
        import_at=_place(table, "import_at"),
        export_at=_place(table, "export_at"),
        scale_at=_place(table, "scale_at"),
        model=table.number("sunspec_model", 0, 0xFFFF, 0),
        resolution_wh=table.number("resolution_wh", 1, 1_000_000),
        rollover_wh=table.number("rollover_wh", 0, 2**63, 0),
        resettable=table.take("resettable", bool, False),
        no_value=_with_dots(table, "no_value"),
        zero_is_asleep=table.take("zero_is_asleep", bool, False),
    )
    table.end()
    return energy


def _number(table: Table) -> Number:
    return Number(table.one_of("type", tuple(SIZES)), table.one_of("order", _ORDERS))


def _place(table: Table, key: str) -> int | None:
    at = table.number(key, -1, _MOST_WORDS, -1)
    return None if at < 0 else at


def _patterns(table: Table, key: str) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(each) for each in _strings(table, key))


def _with_dots(table: Table, key: str) -> tuple[str, ...]:
    found = tuple(each.replace(" ", "").lower() for each in _strings(table, key))
    if any(re.fullmatch("[0-9a-f.]+", each) is None for each in found):
        raise table.wrong(key, "needs hexadecimal digits, and a dot for any digit")
    return found


def _check_of(table: Table, function: int) -> Check:
    limits = table.take("between", list, [])
    check = Check(
        what=table.take("what", str),
        block=_block(table, function),
        equals=_patterns(table, "equals"),
        text=_strings(table, "text"),
        between=(Fraction(limits[0]), Fraction(limits[1])) if len(limits) == 2 else None,
        number=_number(table),
        harm=table.take("harm", str, ""),
        holds=table.take("must", bool, True),
    )
    if sum(map(bool, (check.equals, check.text, limits))) != 1 or len(limits) not in (0, 2):
        raise table.wrong(check.what, "needs one of: equals, text, between = [low, high]")
    table.end()
    return check


def _golden(table: Table) -> Golden:
    value = table.take("value", str, "")
    golden = Golden(
        request=_frame(table, "request"),
        reply=_frame(table, "reply"),
        origin=table.take("origin", str),
        import_wh=_wh(table, "import_wh"),
        export_wh=_wh(table, "export_wh"),
        number=_number(table) if value else None,
        value=value,
    )
    table.end()
    return golden


def _wh(table: Table, key: str) -> int | None:
    value = table.number(key, -1, 2**63, -1)
    return None if value < 0 else value


def _frame(table: Table, key: str) -> bytes:
    frame = bytes.fromhex(table.take(key, str, ""))
    if frame and (len(frame) < _SHORTEST_FRAME or check_sum(frame[:-2]) != frame[-2:]):
        raise table.wrong(key, f"has check sum {frame[-2:].hex()}, not {_sum_of(frame)}")
    return frame


def _sum_of(frame: bytes) -> str:
    return check_sum(frame[:-2]).hex()


def _check(template: Template) -> None:
    energy = template.energy_registers
    if not energy.blocks:
        raise ValueError(f"{template.name}: no [[energy.read]]")
    if any(_clashes(one, other) for one, other in _kept_apart(template)):
        raise ValueError(
            f"{template.name}: the fence and every other read must differ in length, "
            "and so must the reads of energy"
        )
    longest = max(each.words for each in (*energy.blocks, template.fence))
    if longest > template.most_words:
        raise ValueError(f"{template.name}: a read of {longest} registers is too long for it")
    if energy.import_at is None and energy.export_at is None:
        raise ValueError(f"{template.name}: neither import_at nor export_at")
    total = sum(each.words for each in energy.blocks)
    if any(at + size > total for at, size in energy.used):
        raise ValueError(f"{template.name}: a register lies outside what is read")
    if sum(size for _, size in energy.used) > MOST_EVIDENCE:
        raise ValueError(f"{template.name}: more registers than a reading can carry")
    if energy.unit_wh <= 0:
        raise ValueError(f"{template.name}: unit_wh is not above 0")


def _kept_apart(template: Template) -> Iterator[tuple[Block, Block]]:
    """Pairs of reads whose replies must not look alike."""
    blocks = template.energy_registers.blocks
    yield from itertools.combinations((template.fence, *blocks), 2)
    for check in (*template.identity, *template.modes):
        yield template.fence, check.block


def _clashes(one: Block, other: Block) -> bool:
    return (one.function, one.words) == (other.function, other.words)
