"""Draw the wiring of each board from its own table of pins: `python docs/wiring/draw.py`.

Decides how a drawing looks and what hangs on which line; which pin a line is comes from PINS in
device/firmware/boards. A test compares the drawings with what this makes.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path

HERE = Path(__file__).parent
BOARDS = HERE.parents[1] / "device" / "firmware" / "boards"
TITLES = {"esp32": "ESP32", "rp2040": "Raspberry Pi Pico"}
PREFIX = {"esp32": "GPIO", "rp2040": "GP"}
SUPPLY_5V = {"esp32": "5V", "rp2040": "VBUS"}

ISOLATOR = "Digital isolator|4 channels"
BOARD_X, MIDDLE_X, PART_X, FAR_X, WIDTH = 20, 400, 700, 920, 1080
BOARD_W, MIDDLE_W, PART_W = 150, 130, 175
ROW, HEAD, GAP = 28, 54, 26
SIGNAL, POWER, GROUND, MAINS = "#1f5fa8", "#b03030", "#222222", "#c05000"


@dataclass(frozen=True, slots=True)
class Row:
    """One wire, from the board to the part."""

    board: str
    """A name of PINS, or "3V3", "5V", "GND", or nothing."""

    part: str = ""
    """The part's pin."""

    through: tuple[str, str] | None = None
    """The pins of the part in the middle, left and right."""

    pull: str = ""
    """A resistor from the part's end of the wire to a supply."""

    series: str = ""
    """A resistor in the wire."""

    smooth: str = ""
    """A capacitor from the board's end of the wire to ground."""

    far: str = ""
    """A terminal on the far side of the part."""

    mains: bool = False
    """Whether that terminal is dangerous to touch."""


@dataclass(frozen=True, slots=True)
class Group:
    """A part and its wires."""

    title: str
    """Name of the part; lines are separated by |."""

    rows: list[Row]
    """From top to bottom."""

    middle: str = ""
    """Name of what sits between board and part."""

    barrier: bool = False
    """Whether galvanic isolation runs through the part, or the isolator before it."""

    words: list[str] = field(default_factory=list)
    """What must be known, below the part."""


def drawings(board: str) -> dict[str, list[Group]]:
    """The drawings of a board by their names."""
    pull_up = "10 kΩ to 3V3" if board == "esp32" else ""
    line = Group(
        "RS-485 transceiver|3.3 V, isolated",
        [
            Row("rs485_tx", "DI", far="A"),
            Row("rs485_rx", "RO", far="B"),
            Row("rs485_de", "DE + /RE", pull="10 kΩ to GND", far="GND of the line"),
            Row("3V3", "VCC"),
            Row("GND", "GND"),
        ],
        barrier=True,
        words=["120 Ω between A and B at both ends of the line, and nowhere else."],
    )
    secure = Group(
        "ATECC608|secure element",
        [
            Row("i2c_sda", "SDA", pull="4.7 kΩ to 3V3"),
            Row("i2c_scl", "SCL", pull="4.7 kΩ to 3V3"),
            Row("3V3", "VCC"),
            Row("GND", "GND"),
        ],
    )
    contacts = Group(
        "Contacts|closed = in order",
        [
            Row("cover", "cover switch to GND", pull=pull_up),
            Row("terminal_cover", "terminal cover to GND", pull=pull_up),
            Row("magnet", "reed contact to GND", pull=pull_up),
            Row("jumper", "service jumper to GND"),
        ],
        words=[
            "The reed contact opens in a magnetic field. Inputs that are not used go to GND.",
            "The jumper is set for service only.",
        ],
    )
    return {
        "common": [line, secure, contacts],
        "pzem004t": [_pzem()],
        "atm90e32": [_atm90e32()],
        "s0": [_s0()],
        "receiver": [_receiver()],
    }


def _pzem() -> Group:
    return Group(
        "PZEM-004T v3",
        [
            Row("3V3", "", ("LV", "")),
            Row("uart_tx", "RX", ("LV1", "HV1"), far="L", mains=True),
            Row("uart_rx", "TX", ("LV2", "HV2"), far="N", mains=True),
            Row("5V", "5V", ("HV", "HV"), far="CT", mains=True),
            Row("GND", "GND", ("GND", "GND"), far="CT", mains=True),
        ],
        middle="Level shifter|2 x BSS138",
        barrier=True,
        words=[
            "The optocouplers of the PZEM work at 5 V; the board's pins bear 3.3 V only.",
            "The current transformer goes around L, its arrow towards the load.",
        ],
    )


def _atm90e32() -> Group:
    return Group(
        "ATM90E32AS",
        [
            Row("spi_sck", "SCLK", ("in", "out"), far="U A, B, C", mains=True),
            Row("spi_mosi", "SDI", ("in", "out"), far="N", mains=True),
            Row("spi_miso", "SDO", ("out", "in"), far="CT A", mains=True),
            Row("spi_cs", "CS", ("in", "out"), far="CT B", mains=True),
            Row("3V3", "", ("VCC 1", ""), far="CT C", mains=True),
            Row("GND", "", ("GND 1", "")),
            Row("", "VDD, PM0, PM1", ("", "VCC 2")),
            Row("", "GND", ("", "GND 2")),
        ],
        middle=ISOLATOR,
        barrier=True,
        words=[
            "With voltage dividers the chip's GND is a mains conductor: the isolator must be, and",
            "an isolated supply for VCC 2. With voltage transformers, wire straight through.",
        ],
    )


def _s0() -> Group:
    pull, series, smooth = "1.5 kΩ to 3V3", "1 kΩ", "100 nF to GND"
    export = Row("s0_export", "S0+ export", pull=pull, series=series, smooth=smooth)
    return Group(
        "Meter with S0|(IEC 62053-31)",
        [
            replace(export, board="s0_import", part="S0+ import", far="L, N, loads", mains=True),
            export,
            Row("GND", "S0 minus of both"),
        ],
        barrier=True,
        words=[
            "2.2 mA flow while an output conducts, as class B of the standard wants.",
            "An export that does not exist stays open.",
        ],
    )


def _receiver() -> Group:
    return Group(
        "Satellite receiver|NMEA 0183, 3.3 V",
        [
            Row("uart_rx", "TX", far="antenna"),
            Row("uart_tx", "RX"),
            Row("3V3", "VCC"),
            Row("GND", "GND"),
        ],
        words=["It shares UART 1 with a PZEM-004T: a meter has one or the other."],
    )


def pins(board: str) -> dict[str, int]:
    """PINS of a board file, without running it."""
    tree = ast.parse((BOARDS / f"{board}.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PINS":
            found: dict[str, int] = ast.literal_eval(node.value)
            return found
    raise ValueError(f"{board}.py has no PINS")


def _text(x: float, y: float, words: str, style: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" {style}>{escape(words)}</text>'


def _box(x: float, y: float, width: float, height: float, title: str) -> Iterator[str]:
    yield f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" class="box"/>'
    for i, words in enumerate(title.split("|")):
        style = 'class="title"' if i == 0 else 'class="small"'
        yield _text(x + width / 2, y + 20 + 16 * i, words, style, "middle")


def _wire(x1: float, x2: float, y: float, colour: str) -> str:
    return f'<path d="M{x1:g} {y:g}H{x2:g}" stroke="{colour}" class="wire"/>'


def _label(board: str, name: str, numbers: dict[str, int]) -> tuple[str, str]:
    """What the board's pin is called, and the wire's colour."""
    if name in numbers:
        return f"{PREFIX[board]}{numbers[name]}", SIGNAL
    if name == "GND":
        return "GND", GROUND
    return (SUPPLY_5V[board] if name == "5V" else name), POWER


def _row(board: str, numbers: dict[str, int], row: Row, y: float) -> Iterator[str]:
    label, colour = _label(board, row.board, numbers)
    right = PART_X
    if row.through:
        left_pin, right_pin = row.through
        right = MIDDLE_X
        yield _text(MIDDLE_X + 6, y + 4, left_pin, 'class="pin"')
        yield _text(MIDDLE_X + MIDDLE_W - 6, y + 4, right_pin, 'class="pin"', "end")
        if right_pin:
            yield _wire(MIDDLE_X + MIDDLE_W, PART_X, y, _far_colour(right_pin, colour))
    if label:
        yield _text(BOARD_X + BOARD_W - 8, y + 4, label, 'class="pin"', "end")
        yield _wire(BOARD_X + BOARD_W, right, y, colour)
    if row.board in numbers:
        yield _text(BOARD_X + BOARD_W + 8, y - 5, row.board, 'class="net"')
    yield from _components(row, right, y)
    yield _text(PART_X + 8, y + 4, row.part, 'class="pin"')
    if row.far:
        far_colour = MAINS if row.mains else SIGNAL
        yield _wire(PART_X + PART_W, FAR_X, y, far_colour)
        yield f'<circle cx="{FAR_X + 4}" cy="{y:g}" r="4" fill="{far_colour}"/>'
        yield _text(FAR_X + 16, y + 4, row.far, f'class="pin" style="fill:{far_colour}"')


def _components(row: Row, right: float, y: float) -> Iterator[str]:
    """Resistors and a capacitor at a wire that ends at `right`."""
    if row.pull:
        x = right - 135
        yield f'<circle cx="{x:g}" cy="{y:g}" r="3" fill="{SIGNAL}"/>'
        yield f'<path d="M{x:g} {y:g}V{y - 9:g}h8" class="thin"/>'
        yield f'<rect x="{x + 8:g}" y="{y - 12.5:g}" width="22" height="7" class="part"/>'
        yield _text(x + 34, y - 5, row.pull, 'class="net"')
    if row.series:
        x = right - 230
        yield f'<rect x="{x:g}" y="{y - 4:g}" width="28" height="8" class="part"/>'
        yield _text(x + 14, y - 8, row.series, 'class="net"', "middle")
    if row.smooth:
        x = BOARD_X + BOARD_W + 100
        yield f'<circle cx="{x:g}" cy="{y:g}" r="3" fill="{SIGNAL}"/>'
        yield f'<path d="M{x:g} {y:g}V{y - 9:g}h8m0 -5v10m4 -10v10m0 -5h6" class="thin"/>'
        yield _text(x + 22, y - 5, row.smooth, 'class="net"')


def _far_colour(right_pin: str, colour: str) -> str:
    if "GND" in right_pin:
        return GROUND
    return POWER if "VCC" in right_pin else colour


def _group(board: str, numbers: dict[str, int], group: Group, top: float) -> Iterator[str]:
    height = HEAD + ROW * len(group.rows)
    yield from _box(PART_X, top, PART_W, height, group.title)
    if group.middle:
        yield from _box(MIDDLE_X, top, MIDDLE_W, height, group.middle)
    if group.barrier:
        x = MIDDLE_X + MIDDLE_W // 2 if group.middle == ISOLATOR else PART_X + PART_W - 14
        yield f'<path d="M{x} {top + 44:g}V{top + height:g}" class="barrier"/>'
    for i, row in enumerate(group.rows):
        yield from _row(board, numbers, row, top + HEAD + ROW * i + 4)
    for i, words in enumerate(group.words):
        yield _text(PART_X + PART_W, top + height + 18 + 16 * i, words, 'class="small"', "end")


STYLE = """text{font-family:"DejaVu Sans",Verdana,sans-serif;font-size:13px;fill:#222}
.box{fill:#fbfaf7;stroke:#444;stroke-width:1.5}.title{font-weight:bold}
.small{font-size:12px;fill:#444}.pin{font-size:12.5px}.net{font-size:11px;fill:#555}
.wire{stroke-width:2;fill:none}.thin{stroke:#444;fill:none;stroke-width:1.2}
.part{fill:#fff;stroke:#444;stroke-width:1.2}
.barrier{stroke:#c05000;stroke-width:2;stroke-dasharray:6 4}
.warn{font-size:13px;font-weight:bold;fill:#c05000}"""


def draw(board: str, groups: list[Group]) -> str:
    """One drawing as SVG."""
    numbers = pins(board)
    heights = [HEAD + ROW * len(group.rows) + 18 * len(group.words) for group in groups]
    dangerous = any(row.mains for group in groups for row in group.rows)
    total = 20 + sum(heights) + GAP * len(groups) + (24 if dangerous else 0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {total}">',
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{total}" fill="#ffffff"/>',
    ]
    board_height = sum(heights) + GAP * (len(groups) - 1) - 18 * len(groups[-1].words)
    parts += _box(BOARD_X, 20, BOARD_W, board_height, TITLES[board])
    top = 20
    for group, height in zip(groups, heights, strict=True):
        parts += _group(board, numbers, group, top)
        top += height + GAP
    if dangerous:
        words = (
            "Orange: mains. Dead, secured and tested before anybody touches it. Qualified persons."
        )
        parts.append(_text(BOARD_X, total - 12, words, 'class="warn"'))
    return "\n".join([*parts, "</svg>"]) + "\n"


def files() -> dict[str, str]:
    """All drawings by their file names."""
    return {
        f"{board}-{name}.svg": draw(board, groups)
        for board in TITLES
        for name, groups in drawings(board).items()
    }


if __name__ == "__main__":
    for file_name, content in files().items():
        (HERE / file_name).write_text(content, encoding="utf-8")
